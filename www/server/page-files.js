/**
 * The files of the page and of the package, and `/shell.js`, which tells the service worker which files to keep and
 * under which version. The version is a hash over all of them, so a changed file is a new shell.
 *
 * What is not in the shell is not served, but for the service worker itself.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import express from "express";

const PAGE = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../pkg", import.meta.url));
const PAGE_TYPES = new Set([".html", ".js", ".css", ".webmanifest", ".svg", ".png"]);
const NOT_PAGE = new Set(["data", "examples", "server", "server.js", "sw.js"]);
/** What a page loads of the package; the rest of the folder is what that is made of. */
const PACKAGE_FILES = ["index.js", "wasm/concordia_bg.wasm"];
const POLICY =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

export function pageFiles() {
  const router = express.Router();
  router.use((request, response, next) => {
    response.set({
      "Cache-Control": "no-cache",
      "Content-Security-Policy": POLICY,
      "X-Content-Type-Options": "nosniff",
    });
    next();
  });
  router.get("/", (request, response) => response.sendFile("index.html", { root: PAGE }));
  router.get("/sw.js", (request, response) => response.sendFile("sw.js", { root: PAGE }));
  router.get("/shell.js", (request, response) => {
    response.type("text/javascript").send(`self.SHELL = ${JSON.stringify(shell())};\n`);
  });
  router.use((request, response, next) => {
    const file = shellFiles().find(({ path }) => path === request.path);
    if (!file) return next();
    response.sendFile(relative(file.root, file.name), { root: file.root });
  });
  router.use((request, response) => response.status(404).type("text/plain").send("There is no such page.\n"));
  return router;
}

function shell() {
  const files = shellFiles();
  const hash = createHash("sha256");
  for (const { path, name } of files) hash.update(path).update(readFileSync(name));
  return { version: hash.digest("hex").slice(0, 16), files: ["/", ...files.map(({ path }) => path)] };
}

function shellFiles() {
  return [
    ...listFiles(PAGE, "/", PAGE_TYPES, NOT_PAGE),
    ...PACKAGE_FILES.map((path) => ({ root: PACKAGE, name: join(PACKAGE, path), path: `/concordia/${path}` })),
  ];
}

function listFiles(root, prefix, types, except, folder = root) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !except.has(entry.name))
    .flatMap((entry) => {
      const name = join(folder, entry.name);
      if (entry.isDirectory()) return listFiles(root, prefix, types, except, name);
      if (!types.has(extname(entry.name))) return [];
      return [{ root, name, path: prefix + relative(root, name).split(sep).join("/") }];
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
