/**
 * A REST collection in memory, with everything that helps to read it: pages, deltas with tombstones, ETags, live changes.
 *
 * - `collectionServer({ folder, pages, cors })` → the server, listening. What is not below `/api/` is a static site as of
 *   `packed-site.js`. `cors`: the headers that other origins are told; without it they are refused.
 * - `origin`; `log`: `{ method, path, headers, status, rows }` of each request to `/api/people`, in order of arrival.
 * - `put(row)`, `delete(id)`: somebody else's changes, told to all live connections.
 * - `fail(check)`: the next request for which `check(path)` is true is answered with 500. `broken = true`: connections are cut.
 * - `pageSize`, `linkTo(next)`: how pages are linked. `deltas`, `tags`: what else is offered.
 * - `live`: how many live connections are open. `say(text)`: sends them anything.
 * - `stop()` closes the port and all connections, `start()` opens the same port again.
 *
 * `GET /api/people?page=&since=`, `GET /api/people/:id`, `POST`, `PUT`, `DELETE`, `GET /api/events`, WebSocket at `/api/socket`,
 * `GET /api/ping`.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { closed, contentOf } from "./packed-site.js";

const HOST = "127.0.0.1";

export async function collectionServer(options = {}) {
  const server = new CollectionServer(options);
  await server.start();
  return server;
}

class CollectionServer {
  log = [];
  pings = 0;
  pageSize = Infinity;
  deltas = false;
  tags = false;
  broken = false;
  linkTo = (next) => next;
  #options;
  #server;
  #port = 0;
  #rows = new Map();
  /** id → the revision at which it was deleted. */
  #graves = new Map();
  #revision = 0;
  #failures = [];
  #events = new Set();
  #sockets;

  constructor(options) {
    this.#options = options;
  }

  get origin() {
    return `http://${HOST}:${this.#port}`;
  }

  get rows() {
    return [...this.#rows.values()].map(({ row }) => row);
  }

  get live() {
    return this.#events.size + (this.#sockets?.clients.size ?? 0);
  }

  async start() {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#sockets = new WebSocketServer({ server: this.#server, path: "/api/socket" });
    this.#server.listen(this.#port, HOST);
    await once(this.#server, "listening");
    this.#port = this.#server.address().port;
  }

  async stop() {
    for (const socket of this.#sockets.clients) socket.terminate();
    await closed(this.#server);
    this.#events.clear();
  }

  put(row) {
    this.#rows.set(String(row.id), { row, revision: ++this.#revision });
    this.say(JSON.stringify({ action: "update", data: row }));
  }

  delete(id) {
    this.#rows.delete(String(id));
    this.#graves.set(String(id), ++this.#revision);
    this.say(JSON.stringify({ action: "delete", data: id }));
  }

  say(text) {
    for (const response of this.#events) response.write(`data: ${text}\n\n`);
    for (const socket of this.#sockets?.clients ?? []) socket.send(text);
  }

  fail(check) {
    this.#failures.push(check);
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.origin);
    if (this.broken) return void request.socket.destroy();
    for (const [name, value] of Object.entries(this.#options.cors ?? {})) response.setHeader(name, value);
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    if (url.pathname === "/api/ping") {
      this.pings++;
      return void response.writeHead(204).end();
    }
    if (url.pathname === "/api/events") return void this.#listen(response);
    if (url.pathname.startsWith("/api/people")) return void this.#collection(request, response, url);
    const found = await contentOf(url.pathname, this.#options.folder ?? "/nowhere", this.#options.pages ?? {});
    return void response
      .writeHead(found ? 200 : 404, { "Content-Type": found?.type ?? "text/plain" })
      .end(found?.content ?? "not here");
  }

  #listen(response) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(": hello\n\n");
    this.#events.add(response);
    response.on("close", () => this.#events.delete(response));
  }

  async #collection(request, response, url) {
    const entry = { method: request.method, path: url.pathname + url.search, headers: request.headers };
    this.log.push(entry);
    const chunks = await request.toArray();
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks)) : undefined;
    const end = (status, told, headers = {}) => {
      Object.assign(entry, { status, rows: (told?.rows ?? told)?.length });
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(told === undefined ? undefined : JSON.stringify(told));
    };
    const failure = this.#failures.findIndex((check) => check(entry.path));
    if (failure >= 0) {
      this.#failures.splice(failure, 1);
      return end(500, { title: "as told" });
    }
    const [, , , id] = url.pathname.split("/").map(decodeURIComponent);
    if (request.method === "GET" && id === undefined) return this.#list(request, url, end);
    if (request.method === "GET") return this.#rows.has(id) ? end(200, this.#rows.get(id).row) : end(404);
    if (request.method === "DELETE") {
      this.delete(id);
      return end(204);
    }
    if (request.method === "PUT" && !this.#rows.has(id)) return end(404, { title: "not here" });
    const row = { ...body, id: id ?? body.id ?? `s${this.#revision + 1}` };
    this.put(row);
    return end(request.method === "POST" ? 201 : 200, row);
  }

  #list(request, url, end) {
    const since = Number(url.searchParams.get("since") ?? -1);
    const from = Number(url.searchParams.get("page") ?? 0);
    const changed = [...this.#rows.values()].filter(({ revision }) => revision > since).map(({ row }) => row);
    const deleted = [...this.#graves].filter(([, revision]) => revision > since).map(([id]) => id);
    // The browser's own cache stays out of it.
    const headers = { "Cache-Control": "no-store" };
    if (from + this.pageSize < changed.length) {
      const next = new URL(url);
      next.searchParams.set("page", String(from + this.pageSize));
      headers.Link = `</api/people>; rel="first", <${this.linkTo(next.href)}>; title="a, b; rel=last"; rel="next"`;
    }
    if (this.tags) {
      headers.ETag = `"${this.#revision}"`;
      if (request.headers["if-none-match"] === headers.ETag) return end(304, undefined, headers);
    }
    const rows = changed.slice(from, from + this.pageSize);
    return end(200, this.deltas ? { rows, deleted: since < 0 ? [] : deleted, until: this.#revision } : rows, headers);
  }
}
