/**
 * The localStorage example's server: the page, and a small REST collection at `/api/todos`. It knows nothing of the
 * package; any server with such a collection would do.
 *
 * `node www/examples/local-storage/server.js` runs it. PORT (default 8082) and HOST (default 127.0.0.1) can be set.
 */
import { fileURLToPath } from "node:url";
import express from "express";
import { Collection, dataFile } from "../server/collection.js";
import { isMain, runExample, serveExample } from "../server/example-server.js";

const ROWS = [
  { title: "Water the plants", done: false },
  { title: "Return the library books", due: "2030-03-01T00:00:00.000Z", done: false },
  { title: "Call Grandma", done: true },
];

/** `log`: `{ method, path, key, body, status, replayed }` of each request in the order of arrival. */
export async function createServer({ file = dataFile("local-storage"), port = 8082, host = "127.0.0.1" } = {}) {
  const collection = new Collection(file, ROWS);
  const log = [];
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const server = await serveExample({ folder, api: todos(collection, log), port, host });
  return { ...server, collection, log };
}

function todos(collection, log) {
  const router = express.Router();
  router.use("/api", express.json(), recordIn(log));
  router.get("/api/todos", (request, response) => response.json(collection.list()));
  router.get("/api/todos/:id", existing(collection), (request, response) => {
    response.json(collection.get(request.params.id));
  });
  router.post(
    "/api/todos",
    valid,
    once(collection, 201, ({ body }) => collection.add(body)),
  );
  router.put(
    "/api/todos/:id",
    existing(collection),
    valid,
    once(collection, 200, ({ params, body }) => collection.replace(params.id, body)),
  );
  router.delete(
    "/api/todos/:id",
    once(collection, 204, ({ params }) => collection.remove(params.id) ?? null),
  );
  return router;
}

/** Carries an edit out once for its `Idempotency-Key`. */
function once(collection, status, change) {
  return (request, response) => {
    const { answer, replayed } = collection.once(request.get("Idempotency-Key"), () => change(request));
    request.entry.replayed = replayed;
    if (answer === null) response.status(status).end();
    else response.status(status).json(answer);
  };
}

function recordIn(log) {
  return (request, response, next) => {
    const { method, originalUrl: path, body } = request;
    request.entry = { method, path, key: request.get("Idempotency-Key"), body, status: undefined, replayed: false };
    log.push(request.entry);
    response.once("finish", () => (request.entry.status = response.statusCode));
    next();
  };
}

function existing(collection) {
  return (request, response, next) => {
    if (collection.get(request.params.id)) next();
    else refuse(response, 404, "Not found", `There is nothing with the id ${request.params.id}.`);
  };
}

/** The one rule of this server, so that an edit can be refused for a reason that a person can put right. */
function valid(request, response, next) {
  const { title } = request.body ?? {};
  if (typeof title === "string" && title.trim() !== "") next();
  else refuse(response, 422, "No title", "A thing to do needs a title.");
}

/** Why, as `application/problem+json` (RFC 9457). */
function refuse(response, status, title, detail) {
  response.status(status).type("application/problem+json").send(JSON.stringify({ title, status, detail }));
}

if (isMain(import.meta.url)) await runExample("localStorage", createServer, 8082);
