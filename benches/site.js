/**
 * Serves the package, the bench's pages and the rows to be fetched.
 *
 * `/api/people` answers with all rows; `/api/held/people` never answers, for measurements in which the server has no part.
 * The isolation headers give the pages a clock of 5 µs instead of 100.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { allRows } from "./page/rows.js";

const FOLDERS = {
  "/concordia/": fileURLToPath(new URL("../pkg/", import.meta.url)),
  "/page/": fileURLToPath(new URL("page/", import.meta.url)),
};
const MEDIA_TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".wasm": "application/wasm" };
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export async function serveBench(count) {
  const people = Buffer.from(JSON.stringify(allRows(count).map((row, index) => ({ id: index + 1, ...row }))));
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/api/held/people") return;
    const content = pathname === "/api/people" ? people : await fileAt(pathname);
    const type = pathname === "/api/people" ? "application/json" : MEDIA_TYPES[extname(pathname)];
    const lasting = pathname.startsWith("/concordia/") ? "max-age=3600" : "no-store";
    const headers = { ...ISOLATION, "Content-Type": type ?? "text/plain", "Cache-Control": lasting };
    response.writeHead(content ? 200 : 404, headers).end(content);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { port: server.address().port, close };
}

async function fileAt(pathname) {
  const mount = Object.keys(FOLDERS).find((prefix) => pathname.startsWith(prefix));
  if (!mount || pathname.includes("..")) return undefined;
  return readFile(join(FOLDERS[mount], pathname.slice(mount.length))).catch(() => undefined);
}
