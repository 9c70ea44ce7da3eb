/**
 * A collection's changes as they happen, by Server-Sent Events and by WebSocket: `{ action, data }` as JSON, nothing of what was
 * before. `cut()` ends all connections and refuses new ones until `heal()`; `refused` counts those.
 */
import { WebSocketServer } from "ws";

export class Feed {
  refused = 0;
  #isCut = false;
  #streams = new Set();
  #sockets = new WebSocketServer({ noServer: true });

  get listeners() {
    return this.#streams.size + this.#sockets.clients.size;
  }

  send(change) {
    const text = JSON.stringify(change);
    for (const stream of this.#streams) stream.write(`data: ${text}\n\n`);
    for (const socket of this.#sockets.clients) socket.send(text);
  }

  cut() {
    this.#isCut = true;
    this.end();
  }

  heal() {
    this.#isCut = false;
  }

  end() {
    for (const stream of this.#streams) stream.destroy();
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  /** Answers a GET with a stream of events. */
  stream(response) {
    if (this.#refuses(response)) return;
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(": open\n\n");
    this.#streams.add(response);
    response.once("close", () => this.#streams.delete(response));
  }

  /** Makes a WebSocket of a request. */
  upgrade(request, socket, head) {
    if (!this.#refuses(socket)) this.#sockets.handleUpgrade(request, socket, head, () => {});
  }

  #refuses(connection) {
    if (this.#isCut) {
      this.refused += 1;
      connection.destroy();
    }
    return this.#isCut;
  }
}
