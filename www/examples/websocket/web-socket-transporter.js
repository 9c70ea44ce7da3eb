/**
 * A transporter over one WebSocket: requests with ids, their answers in any order, and changes that others made, which
 * the server sends of its own accord. The messages are JSON-RPC 2.0 (https://www.jsonrpc.org/specification):
 *
 *   page → server   {"jsonrpc": "2.0", "id": 7, "method": "update", "params": {"id": "3", "values": {…}, "idempotencyKey": "…"}}
 *   server → page   {"jsonrpc": "2.0", "id": 7, "result": {…the row…}}
 *   server → page   {"jsonrpc": "2.0", "id": 7, "error": {"code": 422, "message": "…", "data": {…}}}
 *   server → page   {"jsonrpc": "2.0", "method": "changed", "params": {"action": "update", "data": {…the row…}}}
 *
 * It does not queue, repeat or order anything: the store does. What it owes the store is the truth about each request –
 * in particular "unreachable" for everything whose answer can no longer come.
 */
import { Transporter, TransporterError } from "/concordia/index.js";

/** A socket can be dead long before the browser notices: an answer that is not there by then means that it is. */
const ANSWER_WITHIN_MS = 10_000;

/** Between two attempts to open the socket again: twice as long each time, and not the same for all pages at once. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;

/** What the server's error codes mean to the store. What is not listed is a fault of the server, and tried again later. */
const KINDS = { 400: "rejected", 401: "unauthorized", 404: "notFound", 409: "conflict", 422: "rejected" };

export class WebSocketTransporter extends Transporter {
  /** Updates carry the edited fields only, so that two people can edit different fields of one item. */
  static update = "PATCH";

  #url;
  /** The open socket, and the promise of one that is being opened. */
  #socket;
  #opening;
  /** By request id: how to settle what waits for the answer. */
  #waiting = new Map();
  #lastId = 0;
  #listeners = new Set();
  /** Whether there was a time in which changes of others have passed this page by. */
  #missed = false;

  /** `url`: "wss://…" */
  constructor({ url }) {
    super();
    this.#url = url;
  }

  // ------------------------------------------------------------ what the store asks for

  /** The idempotency key is how the server knows an edit that comes again because its answer was lost. */
  _prepareSend({ action, id, payload, idempotencyKey }) {
    return { method: action, params: { id, values: payload, idempotencyKey } };
  }

  /** The row as the server now holds it; nothing after a delete. */
  async _send(request) {
    return (await this.#call(request)) ?? undefined;
  }

  _prepareFetch() {
    return { method: "list" };
  }

  /** An array, which means: this is everything there is. */
  _fetch(request) {
    return this.#call(request);
  }

  _prepareFetchOne(key) {
    return { method: "get", params: { id: typeof key === "object" ? key.id : key } };
  }

  _fetchOne(request) {
    return this.#call(request);
  }

  /** Called when a request was "unreachable". As soon as it settles, the store sends what is queued. */
  async onceAvailable() {
    for (let attempt = 0; this.#listeners.size > 0; attempt += 1) {
      try {
        await this.#open();
        return;
      } catch {
        await pause(Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS));
      }
    }
  }

  /** Called when a store opens; what it returns is called when the store closes. */
  _subscribe(listener) {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0 && this.#socket) this.#drop(this.#socket);
    };
  }

  // ------------------------------------------------------------------------ the socket

  async #call({ method, params }) {
    const socket = await this.#open();
    this.#lastId += 1;
    const id = this.#lastId;
    const timer = setTimeout(() => this.#drop(socket), ANSWER_WITHIN_MS);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** The open socket. Whoever asks while it is being opened waits for the same one. */
  async #open() {
    if (this.#socket) return this.#socket;
    this.#opening ??= this.#connect().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  #connect() {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.#url);
      const timer = setTimeout(() => socket.close(), ANSWER_WITHIN_MS);
      socket.addEventListener("open", () => {
        clearTimeout(timer);
        this.#socket = socket;
        resolve(socket);
        if (this.#missed) this.#tell("refetch");
        this.#missed = false;
      });
      socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
      socket.addEventListener("close", () => {
        clearTimeout(timer);
        // After "open" this has no effect: a promise settles once.
        reject(unreachable());
        this.#drop(socket);
      });
    });
  }

  #receive({ id, result, error, method, params }) {
    if (method === "changed") {
      this.#tell(params);
      return;
    }
    const waiting = this.#waiting.get(id);
    if (error) waiting?.reject(refusal(error));
    else waiting?.resolve(result);
  }

  /**
   * The socket is gone. Whether the server has carried out what was under way, nobody knows: it is all "unreachable",
   * and comes again under the same idempotency keys.
   *
   * "refetch" has the store ask for the list again. When the socket is open again, that brings what was missed; now it only
   * fails, which is how the store learns at once that it is offline.
   */
  #drop(socket) {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    socket.close();
    for (const { reject } of this.#waiting.values()) reject(unreachable());
    this.#missed = true;
    this.#tell("refetch");
  }

  #tell(change) {
    for (const listener of this.#listeners) listener(change);
  }
}

const unreachable = () => new TransporterError("unreachable", { cause: new Error("The socket is not open.") });

function refusal({ code, message, data }) {
  return new TransporterError(KINDS[code] ?? "failed", { status: code, body: data, cause: new Error(message) });
}

/** Between half and all of the time; over at once when the browser says that the network is back. */
function pause(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms * (0.5 + Math.random() / 2));
    addEventListener("online", done);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
  });
}
