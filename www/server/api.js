/**
 * The REST collection `/api/people`: GET, POST, PUT, PATCH (RFC 7396), DELETE.
 *
 * A write that carries an Idempotency-Key is carried out once: the same key gives the first answer again, and the
 * same key with another request is refused with 422.
 */
import express from "express";
import { sendProblem } from "./problem.js";

const JSON_TYPES = ["application/json", "application/merge-patch+json"];

export function api({ people, faults, log }) {
  const router = express.Router();
  router.use(log.record, faults.beforeRequest, express.json({ type: JSON_TYPES, strict: false, verify }), takeBody);

  router.get("/people", (request, response) => response.json(people.list()));
  router.post("/people", checkRow, write(create));
  router.get("/people/:id", checkKnown, (request, response) => response.json(people.get(request.params.id)));
  router.put("/people/:id", checkRow, write(replace));
  router.patch("/people/:id", checkRow, write(patch));
  router.delete("/people/:id", write(remove));
  router.use((request, response) => {
    sendProblem(response, 404, "Not found", `There is nothing at ${request.method} ${request.originalUrl}.`);
  });
  router.use(sendError);
  return router;

  function checkKnown(request, response, next) {
    if (people.get(request.params.id)) return next();
    sendUnknown(response, request.params.id);
  }

  /** A handler that carries the request out, once per idempotency key, and answers unless the answer is to be lost. */
  function write(change) {
    return (request, response) => {
      const key = request.get("Idempotency-Key");
      const fingerprint = `${request.method} ${request.originalUrl} ${JSON.stringify(request.body ?? null)}`;
      const first = key && people.answerFor(key);
      if (first && first.fingerprint !== fingerprint) {
        return sendProblem(response, 422, "Key used twice", "This idempotency key belongs to another request.");
      }
      if (!first && request.params.id !== undefined && !people.get(request.params.id)) {
        return sendUnknown(response, request.params.id);
      }
      if (first) request.logged.outcome = "replayed";
      const answer = first ?? people.commit(key, fingerprint, () => change(people, request));
      if (faults.takeLostAnswer()) {
        request.logged.outcome = "lost";
        return request.socket.destroy();
      }
      response.status(answer.status);
      if (answer.status === 204) return response.end();
      response.json(answer.row);
    };
  }
}

const create = (people, request) => ({ status: 201, row: people.add(request.body) });
const replace = (people, request) => ({ status: 200, row: people.replace(request.params.id, request.body) });
const patch = (people, request) => {
  const row = mergePatch(people.get(request.params.id), request.body);
  return { status: 200, row: people.replace(request.params.id, row) };
};
const remove = (people, request) => {
  people.remove(request.params.id);
  return { status: 204 };
};

function mergePatch(target, changes) {
  if (!isObject(changes)) return changes;
  const merged = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Called by express for a body of one of the JSON types only. */
function verify(request, response, bytes) {
  request.hasJson = bytes.length > 0;
}

/** Without JSON, express leaves an empty object: that must not become an empty person. */
function takeBody(request, response, next) {
  if (!request.hasJson) request.body = undefined;
  request.logged.body = request.body ?? null;
  next();
}

/** The one rule of this server, so that an edit can be refused for a reason that a person can put right. */
function checkRow(request, response, next) {
  const row = request.body;
  if (!isObject(row))
    return sendProblem(response, 400, "Not a person", "The body must be one JSON object, as application/json.");
  const { age } = row;
  if (age !== undefined && age !== null && !(typeof age === "number" && age >= 0 && age <= 150)) {
    return sendProblem(response, 422, "Unlikely age", "The server takes ages from 0 to 150.");
  }
  next();
}

function sendUnknown(response, id) {
  sendProblem(response, 404, "Not found", `There is no person with the id ${id}.`);
}

function sendError(error, request, response, next) {
  if (response.headersSent) return next(error);
  sendProblem(response, error.status ?? 500, error.name, error.message);
}
