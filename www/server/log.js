/**
 * What arrived at `/api`, in the order of arrival, and what became of it. In memory: it is gone with the process.
 *
 * `outcome`: "refused" (the socket was destroyed unread), "lost" (carried out, the answer thrown away), "replayed"
 * (answered as the first time, without a second effect), "answered", or "open" while none of these is decided.
 */
const MAX_ENTRIES = 1_000;

export class Log {
  #entries = [];

  get entries() {
    return this.#entries;
  }

  clear() {
    this.#entries = [];
  }

  /** Opens an entry for the request and completes it when its answer has been sent. */
  record = (request, response, next) => {
    const entry = {
      time: new Date().toISOString(),
      method: request.method,
      path: request.originalUrl,
      idempotencyKey: request.get("Idempotency-Key") ?? null,
      body: null,
      status: null,
      outcome: "open",
    };
    this.#entries.push(entry);
    this.#entries.splice(0, this.#entries.length - MAX_ENTRIES);
    request.logged = entry;
    response.once("finish", () => {
      entry.status = response.statusCode;
      if (entry.outcome === "open") entry.outcome = "answered";
    });
    next();
  };
}
