/**
 * The JSON:API example's server: the page, the collection `/api/books` for requests with a token, and `/token`, which
 * gives one to who has a session. It knows nothing of the package.
 *
 * Sessions are handed out to whoever asks, since this is an example: a real server would ask for a password. They are in
 * memory, and gone when the server is stopped.
 *
 * `node www/examples/json-api/server.js` runs it. PORT (default 8083) and HOST (default 127.0.0.1) can be set.
 */
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import express from "express";
import { Collection, dataFile } from "../server/collection.js";
import { isMain, runExample, serveExample } from "../server/example-server.js";

const MEDIA_TYPE = "application/vnd.api+json";
const TYPE = "books";
const ROWS = [
  { title: "Emma", author: "Jane Austen", year: 1815 },
  { title: "Things Fall Apart", author: "Chinua Achebe", year: 1958 },
  { title: "Kitchen", author: "Banana Yoshimoto", year: 1988 },
];

/**
 * `log`: `{ method, path, authorization, contentType, body, status, replayed }` of each request but those for the page, in
 * the order of arrival. `expireTokens()` makes every token expire now.
 */
export async function createServer({
  file = dataFile("json-api"),
  port = 8083,
  host = "127.0.0.1",
  tokenLifeMs = 30_000,
} = {}) {
  const collection = new Collection(file, ROWS);
  const log = [];
  const access = new Access(tokenLifeMs);
  const api = express.Router();
  api.use(["/api", "/token"], express.json({ type: MEDIA_TYPE }), recordIn(log));
  api.post("/session", (request, response) => access.signIn(response).status(204).end());
  api.post("/token", (request, response) => access.giveToken(request, response));
  api.use("/api", (request, response, next) => access.demandToken(request, response, next));
  api.use(`/api/${TYPE}`, books(collection));
  // Who opens the page is signed in by that.
  api.get("/", (request, response, next) => {
    access.signIn(response);
    next();
  });
  const server = await serveExample({ folder: fileURLToPath(new URL(".", import.meta.url)), api, port, host });
  return { ...server, collection, log, expireTokens: () => access.expireTokens() };
}

/** Sessions, and the tokens that are given for them. */
class Access {
  #tokenLifeMs;
  #sessions = new Set();
  /** When each token expires. */
  #tokens = new Map();

  constructor(tokenLifeMs) {
    this.#tokenLifeMs = tokenLifeMs;
  }

  signIn(response) {
    const session = randomUUID();
    this.#sessions.add(session);
    return response.cookie("session", session, { httpOnly: true, sameSite: "strict" });
  }

  giveToken(request, response) {
    const session = /(?:^|;\s*)session=([^;]*)/.exec(request.get("Cookie") ?? "")?.[1];
    if (!this.#sessions.has(session)) return response.status(401).json({ error: "invalid_grant" });
    const token = randomUUID();
    this.#tokens.set(token, Date.now() + this.#tokenLifeMs);
    return response.json({ access_token: token, token_type: "Bearer", expires_in: this.#tokenLifeMs / 1000 });
  }

  demandToken(request, response, next) {
    const token = /^Bearer (.+)$/.exec(request.get("Authorization") ?? "")?.[1];
    if (this.#tokens.get(token) > Date.now()) return next();
    this.#tokens.delete(token);
    response.set("WWW-Authenticate", 'Bearer error="invalid_token"');
    return refuse(response, 401, { title: "Not signed in", detail: "The token is missing or has expired." });
  }

  expireTokens() {
    this.#tokens.clear();
  }
}

function books(collection) {
  const router = express.Router();
  const existing = (request, response, next) => {
    if (collection.get(request.params.id)) return next();
    return refuse(response, 404, { title: "Not found", detail: `There is no book with the id ${request.params.id}.` });
  };
  router.get("/", (request, response) => answer(response, 200, collection.list().map(resourceOf)));
  router.get("/:id", existing, (request, response) => {
    answer(response, 200, resourceOf(collection.get(request.params.id)));
  });
  router.post(
    "/",
    valid,
    once(collection, 201, ({ body }) => resourceOf(collection.add(body.data.attributes))),
  );
  router.patch(
    "/:id",
    existing,
    valid,
    once(collection, 200, ({ params, body }) => resourceOf(collection.merge(params.id, body.data.attributes))),
  );
  router.delete(
    "/:id",
    once(collection, 204, ({ params }) => collection.remove(params.id) ?? null),
  );
  return router;
}

/** Carries an edit out once for its `Idempotency-Key`. */
function once(collection, status, change) {
  return (request, response) => {
    const result = collection.once(request.get("Idempotency-Key"), () => change(request));
    request.entry.replayed = result.replayed;
    if (result.answer === null) response.status(status).end();
    else answer(response, status, result.answer);
  };
}

/** The rules of this server: the format's (a document of this type), and two that a person can put right. */
function valid(request, response, next) {
  const { data } = request.body ?? {};
  if (request.get("Content-Type") !== MEDIA_TYPE) {
    return refuse(response, 415, { title: "Unsupported media type", detail: `This server takes ${MEDIA_TYPE}.` });
  }
  if (data?.type !== TYPE || data.id !== request.params.id) {
    return refuse(response, 409, { title: "Conflict", detail: `This is the place of ${request.params.id ?? TYPE}.` });
  }
  const { title, year } = data.attributes ?? {};
  const errors = [];
  if (title !== undefined && String(title).trim() === "") {
    errors.push({ title: "No title", detail: "A book needs a title.", source: { pointer: "/data/attributes/title" } });
  }
  if (year > new Date().getFullYear()) {
    const detail = `The year ${year} is in the future.`;
    errors.push({ title: "Unlikely year", detail, source: { pointer: "/data/attributes/year" } });
  }
  return errors.length > 0 ? refuse(response, 422, ...errors) : next();
}

function recordIn(log) {
  return (request, response, next) => {
    request.entry = {
      method: request.method,
      path: request.originalUrl,
      authorization: request.get("Authorization"),
      contentType: request.get("Content-Type"),
      body: request.body,
      status: undefined,
      replayed: false,
    };
    log.push(request.entry);
    response.once("finish", () => (request.entry.status = response.statusCode));
    next();
  };
}

const resourceOf = ({ id, ...attributes }) => ({ type: TYPE, id, attributes });

function answer(response, status, data) {
  send(response, status, { data });
}

function refuse(response, status, ...errors) {
  send(response, status, { errors: errors.map((error) => ({ status: String(status), ...error })) });
}

/** Not by `response.send`, which would add a `charset`: the format allows none. */
function send(response, status, document) {
  response.status(status).set("Content-Type", MEDIA_TYPE).end(JSON.stringify(document));
}

if (isMain(import.meta.url)) await runExample("JSON:API", createServer, 8083);
