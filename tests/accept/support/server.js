/**
 * A real HTTP server with REST collections under `/api`, whose faults can be switched on, and which writes down what arrives.
 *
 * - `new FaultServer({ site, cross })`: `site(path)` gives the file at a path outside `/api`, as `{ type, content }`; `cross` lets
 *   pages of other origins in, `{ exposed }` also shows them the headers.
 * - `start()` / `stop()`: after `stop()` nothing listens; the next `start()` goes on with the same rows at the same port.
 * - `collection(name, habits)` → a `Collection` at `/api/name`, with its feed at `/api/name/events` and `/api/name/socket`.
 * - `fault({ method, path, when, skip, times, hold, position, answer, end })` → switches a fault on, for requests of that method to that
 *   path (text without `/api`, or a RegExp) for which `when(request)` holds, after the first `skip`, `times` times (Infinity). Of
 *   several the one that was switched on last is taken.
 *   `position`: `"before"` the request is applied (default), `"after"`, or in the `"middle"` of the answer's body. What happens there:
 *   `answer`, `{ status, headers, body }` or a function of the request and the right answer, is given instead of the right one; `end` is `"cut"` (the
 *   connection breaks, and the browser says so), `"drop"` (a connection that is kept for more is closed, as by a server that dies: then browsers
 *   send the request again by themselves) or `"hang"` (no answer at all). `hold`: the request waits, as it arrived, until `release()`.
 *   `late(request)`: the answer, made at arrival, is given when this promise settles.
 *   The handle: `seen`, `lift()`, `release()`.
 * - `log`: `{ at, answeredAt, method, path, query, id, headers, body, status, retry, applied, replayed, fault, count }` of each request, in order of
 *   arrival; times in ms since the epoch. `writes(…)` and `reads(…)` pick from it.
 * - `isCut = true`: every request is met by a broken connection, and nothing is applied.
 * - `guard(request)`: whatever it returns is answered instead.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { Collection } from "./collection.js";
import { Feed } from "./feed.js";

const HOST = "127.0.0.1";
const PREFIX = "/api";
const ALLOWED =
  "Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Unmodified-Since, If-Modified-Since, Authorization";
/** Nothing that could be an answer. A connection that is closed without a byte may be one that was open before it was needed, and then the
 *  browser sends the request again by itself, at once (measured in Chromium, for POST as well). */
const NO_ANSWER = "\0\r\n\r\n";
const EXPOSED = "ETag, Link, Location, Retry-After";

export class FaultServer {
  log = [];
  isCut = false;
  guard = () => undefined;
  #site;
  #cross;
  #port = 0;
  #server;
  #faults = [];
  #collections = new Map();
  #feeds = new Map();

  constructor({ site = () => undefined, cross } = {}) {
    this.#site = site;
    this.#cross = cross;
  }

  get origin() {
    return `http://${HOST}:${this.#port}`;
  }

  async start() {
    this.#server = createServer((request, response) => this.#serve(request, response));
    this.#server.on("upgrade", (request, socket, head) => {
      const feed = this.#feeds.get(request.url);
      if (feed && !this.isCut) feed.upgrade(request, socket, head);
      else socket.destroy();
    });
    this.#server.listen(this.#port, HOST);
    await once(this.#server, "listening");
    this.#port = this.#server.address().port;
    return this;
  }

  async stop() {
    if (!this.#server) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const feed of this.#feeds.values()) feed.end();
    this.#server.closeAllConnections();
    await closed;
    this.#server = undefined;
  }

  collection(name, habits) {
    const path = `${PREFIX}/${name}`;
    const collection = new Collection(path, habits);
    const feed = new Feed();
    collection.onChange = (change) => feed.send(change);
    collection.feed = feed;
    this.#collections.set(name, collection);
    for (const kind of ["events", "socket"]) this.#feeds.set(`${path}/${kind}`, feed);
    return collection;
  }

  fault(spec) {
    const fault = { skip: 0, times: 1, position: "before", seen: 0, ...spec };
    const held = spec.hold ? new Promise((resolve) => (fault.release = resolve)) : undefined;
    Object.assign(fault, { held, lift: () => (fault.times = 0) });
    this.#faults.unshift(fault);
    return fault;
  }

  /** Requests that wanted to change something, in order of arrival; `pick` narrows by `{ method, path, … }`. */
  writes(pick = {}) {
    return this.#picked(pick).filter(({ method }) => !["GET", "OPTIONS"].includes(method));
  }

  reads(pick = {}) {
    return this.#picked(pick).filter(({ method }) => method === "GET");
  }

  #picked(pick) {
    return this.log.filter((entry) => Object.entries(pick).every(([name, value]) => entry[name] === value));
  }

  #serve(incoming, outgoing) {
    const url = new URL(incoming.url, this.origin);
    if (!url.pathname.startsWith(`${PREFIX}/`)) return void this.#serveFile(url.pathname, outgoing);
    const feed = this.#feeds.get(url.pathname);
    if (feed) return void (this.isCut ? outgoing.destroy() : feed.stream(outgoing));
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => void this.#answer(incoming, url, Buffer.concat(chunks).toString(), outgoing));
    return undefined;
  }

  async #serveFile(path, outgoing) {
    const file = await this.#site(path);
    outgoing.writeHead(file ? 200 : 404, { "Content-Type": file?.type ?? "text/plain", "Cache-Control": "no-store" });
    outgoing.end(file?.content ?? "not here");
  }

  async #answer(incoming, url, text, outgoing) {
    const { method, headers } = incoming;
    const path = url.pathname.slice(PREFIX.length);
    const [, name, id] = path.split("/").map(decodeURIComponent);
    const body = text === "" ? undefined : JSON.parse(text);
    const entry = { at: now(), method, path, query: url.searchParams, id, headers, body };
    this.log.push(entry);
    if (this.isCut) return void outgoing.destroy();
    if (method === "OPTIONS") return this.#send(outgoing, entry, { status: 204 });
    const fault = this.#faults.find((one) => matches(one, entry));
    if (fault) {
      const turn = (fault.seen += 1) > fault.skip;
      if (!turn) return this.#send(outgoing, entry, this.#done(name, entry));
      entry.fault = fault;
      await fault.held;
      return this.#fail(outgoing, name, entry, fault);
    }
    return this.#send(outgoing, entry, this.#done(name, entry));
  }

  async #fail(outgoing, name, entry, { position, answer, end, late }) {
    const right = position === "before" && (answer || end) ? undefined : this.#done(name, entry);
    const given = (typeof answer === "function" ? answer(entry, right) : answer) ?? right;
    await late?.(entry);
    if (end === "hang") return undefined;
    entry.answeredAt = now();
    if (end === "cut") return void outgoing.socket.end(NO_ANSWER);
    if (end === "drop") return void outgoing.destroy();
    return position === "middle" ? this.#break(outgoing, entry, given) : this.#send(outgoing, entry, given);
  }

  /** What the collection makes of it, written into the log. */
  #done(name, entry) {
    const collection = this.#collections.get(name);
    const {
      applied = false,
      replayed = false,
      count,
      ...answer
    } = this.guard(entry) ?? collection?.answer(entry) ?? { status: 404, headers: {} };
    Object.assign(entry, { applied, replayed, count });
    return answer;
  }

  #head(entry, { status, headers = {}, body }) {
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    Object.assign(entry, { status, retry: headers["Retry-After"], answeredAt: now() });
    const lines = {
      ...(body !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }),
      ...(this.#cross && crossHeaders(this.#cross)),
      ...headers,
    };
    return [status, lines, text];
  }

  #send(outgoing, entry, answer) {
    const [status, lines, text] = this.#head(entry, answer);
    outgoing.writeHead(status, lines);
    outgoing.end(text);
  }

  /** The head and half of the body, then nothing. */
  #break(outgoing, entry, answer) {
    const [status, lines, text] = this.#head(entry, answer);
    outgoing.writeHead(status, lines);
    outgoing.write(text.slice(0, text.length / 2), () => outgoing.destroy());
  }
}

/** With the fraction, as pages have it. */
const now = () => performance.timeOrigin + performance.now();

function matches({ method, path, when, seen, skip, times }, entry) {
  if (seen >= skip + times || (method !== undefined && method !== entry.method)) return false;
  if (path !== undefined && !(typeof path === "string" ? path === entry.path : path.test(entry.path))) return false;
  return when === undefined || when(entry);
}

function crossHeaders({ exposed }) {
  return {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": ALLOWED,
    "Access-Control-Max-Age": "600",
    ...(exposed && { "Access-Control-Expose-Headers": EXPOSED }),
  };
}
