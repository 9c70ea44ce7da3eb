/**
 * The demo's server: the page, the package under `/concordia/`, the REST collection `/api/people`, and `/control`,
 * where faults are switched on and the log of what arrived is read.
 *
 * It deliberately knows nothing of the package: any server with such a collection would do.
 *
 * `node www/server.js` runs it. PORT (default 8080), HOST (default 127.0.0.1) and DATA_FILE can be set.
 */
import { createServer as createHttpServer } from "node:http";
import { fileURLToPath } from "node:url";
import express from "express";
import { api } from "./server/api.js";
import { control } from "./server/control.js";
import { Faults } from "./server/faults.js";
import { Log } from "./server/log.js";
import { People } from "./server/people.js";
import { pageFiles } from "./server/page-files.js";

const DEFAULT_DATA_FILE = fileURLToPath(new URL("./data/people.json", import.meta.url));

/**
 * Starts the server and settles when it listens. `port` 0 takes any free port.
 *
 * Gives `url`, `port`, `people` (the rows as they are now), `log`, `faults`, and `close()`, which destroys every
 * open socket like a process that was killed.
 */
export async function createServer({ dataFile = DEFAULT_DATA_FILE, port = 8080, host = "127.0.0.1" } = {}) {
  const people = new People(dataFile);
  const faults = new Faults();
  const log = new Log();

  const app = express();
  app.disable("x-powered-by");
  app.set("etag", false);
  app.use(closeConnection);
  app.use("/api", api({ people, faults, log }));
  app.use("/control", control({ faults, log }));
  app.use(pageFiles());

  const server = createHttpServer(app);
  await listen(server, port, host);
  const bound = server.address().port;
  return { url: `http://${host}:${bound}/`, port: bound, people, faults, log, close: () => close(server) };
}

/** A browser silently resends a request when a reused connection breaks: with one connection per request, every lost
 *  answer reaches the page. */
function closeConnection(request, response, next) {
  response.set("Connection", "close");
  next();
}

function listen(server, port, host) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
}

function close(server) {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

async function run() {
  const { PORT = "8080", HOST = "127.0.0.1", DATA_FILE = DEFAULT_DATA_FILE } = process.env;
  try {
    const server = await createServer({ dataFile: DATA_FILE, port: Number(PORT), host: HOST });
    console.log(`The demo is at ${server.url}`);
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
    console.error(`Port ${PORT} is taken: stop what listens there, or choose another one, as in PORT=8081.`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run();
