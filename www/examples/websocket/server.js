/**
 * The WebSocket example's server: the page, and at `/socket` a shopping list for everyone who is connected. The messages
 * are described in `web-socket-transporter.js`.
 *
 * `node www/examples/websocket/server.js` runs it. PORT (default 8081) and HOST (default 127.0.0.1) can be set.
 */
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { Collection, dataFile } from "../server/collection.js";
import { isMain, runExample, serveExample } from "../server/example-server.js";

const ROWS = [
  { title: "Bread", done: false },
  { title: "Apples, the sour ones", done: false },
  { title: "Coffee", done: true },
];
const OPEN = 1;
const MAX_MESSAGE_BYTES = 64 * 1024;

/** `log`: `{ method, params, replayed }` of each edit in the order of arrival. */
export async function createServer({ file = dataFile("websocket"), port = 8081, host = "127.0.0.1" } = {}) {
  const collection = new Collection(file, ROWS);
  const log = [];
  const server = await serveExample({ folder: fileURLToPath(new URL(".", import.meta.url)), port, host });
  const sockets = new WebSocketServer({ server: server.http, path: "/socket", maxPayload: MAX_MESSAGE_BYTES });

  sockets.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on("message", (text) => {
      const { answer, change } = respond(String(text), collection, log);
      socket.send(JSON.stringify({ jsonrpc: "2.0", ...answer }));
      if (change) tellOthers(sockets, socket, change);
    });
  });

  const close = () => {
    for (const socket of sockets.clients) socket.terminate();
    return server.close();
  };
  return { ...server, collection, log, close };
}

function respond(text, collection, log) {
  let id = null;
  try {
    const request = JSON.parse(text);
    id = request.id;
    const { result, change } = carryOut(request, collection, log);
    return { answer: { id, result }, change };
  } catch (error) {
    const refused = error instanceof Refusal;
    if (!refused) console.error(error);
    const { code, message } = refused ? error : { code: 500, message: "The server failed." };
    return { answer: { id, error: { code, message, data: { detail: message } } } };
  }
}

/** An edit that comes again is answered as the first time, and the others are not told again. */
function carryOut({ method, params }, collection, log) {
  if (method === "list") return { result: collection.list() };
  if (method === "get") return { result: rowOf(params.id, collection) };
  const edit = EDITS[method];
  if (!edit) throw new Refusal(400, `There is no method "${method}".`);
  const entry = { method, params, replayed: false };
  log.push(entry);
  const { answer, replayed } = collection.once(params.idempotencyKey, () => edit(params, collection));
  entry.replayed = replayed;
  const data = answer ?? { id: params.id };
  return { result: answer, change: replayed ? undefined : { action: method, data } };
}

const EDITS = {
  create({ values }, collection) {
    check(values);
    return collection.add(values);
  },
  update({ id, values }, collection) {
    check({ ...rowOf(id, collection), ...values });
    return collection.merge(id, values);
  },
  delete({ id }, collection) {
    rowOf(id, collection);
    collection.remove(id);
    return null;
  },
};

/** The one rule of this server, so that an edit can be refused for a reason that a person can put right. */
function check({ title }) {
  if (typeof title !== "string" || title.trim() === "") throw new Refusal(422, "A thing to buy needs a name.");
}

function rowOf(id, collection) {
  const row = collection.get(id);
  if (!row) throw new Refusal(404, `There is nothing with the id ${id} on the list.`);
  return row;
}

/** Whoever made the change has it in the answer. */
function tellOthers(sockets, author, change) {
  const message = JSON.stringify({ jsonrpc: "2.0", method: "changed", params: change });
  for (const socket of sockets.clients) {
    if (socket !== author && socket.readyState === OPEN) socket.send(message);
  }
}

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

if (isMain(import.meta.url)) await runExample("WebSocket", createServer, 8081);
