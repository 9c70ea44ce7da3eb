/**
 * What the examples' servers have in common: the files of one page, the package under `/concordia/`, listening, and
 * stopping. The API is each example's own.
 */
import { createServer as createHttpServer } from "node:http";
import { basename, extname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import express from "express";

const EXAMPLES = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../../pkg", import.meta.url));
const SHARED = ["style.css", "list-page.js"];
const PAGE_TYPES = new Set([".html", ".css", ".js"]);

/**
 * Starts a server that answers with `api`, an express router, and with the page in `folder`, and settles when it
 * listens. `port` 0 takes any free port.
 *
 * Gives `http` (Node's server), `url`, `port` and `close()`, which destroys every open socket like a process that was
 * killed.
 */
export async function serveExample({ folder, api, port, host }) {
  const app = express();
  app.disable("x-powered-by");
  if (api) app.use(api);
  app.use(pageFiles(folder));
  const http = createHttpServer(app);
  await listen(http, port, host);
  const bound = http.address().port;
  return { http, url: `http://${host}:${bound}/`, port: bound, close: () => close(http) };
}

/** Runs an example from the command line. PORT and HOST (default 127.0.0.1) can be set. */
export async function runExample(name, createServer, defaultPort) {
  const { PORT = String(defaultPort), HOST = "127.0.0.1" } = process.env;
  try {
    const server = await createServer({ port: Number(PORT), host: HOST });
    process.stdout.write(`The ${name} example is at ${server.url}\n`);
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
    console.error(`Port ${PORT} is taken: stop what listens there, or choose another one, as in PORT=9000.`);
    process.exitCode = 1;
  }
}

/** Whether the module was started by `node`, not imported. */
export const isMain = (moduleUrl) => process.argv[1] === fileURLToPath(moduleUrl);

function pageFiles(folder) {
  const router = express.Router();
  router.use((request, response, next) => {
    response.set({ "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff" });
    next();
  });
  router.get("/", (request, response) => response.sendFile("index.html", { root: folder }));
  router.use("/concordia", express.static(PACKAGE, { cacheControl: false }));
  router.get("/:name", (request, response, next) => {
    const name = basename(request.params.name);
    if (!PAGE_TYPES.has(extname(name)) || name === "server.js") return next();
    response.sendFile(join(SHARED.includes(name) ? EXAMPLES : folder, name), { cacheControl: false }, () => next());
  });
  router.use((request, response) => {
    if (!response.headersSent) response.status(404).type("text/plain").send("There is no such page.\n");
  });
  return router;
}

function listen(http, port, host) {
  return new Promise((resolve, reject) => {
    http.once("error", reject);
    http.listen(port, host, resolve);
  });
}

function close(http) {
  return new Promise((resolve) => {
    http.close(resolve);
    http.closeAllConnections();
  });
}
