/**
 * Faults of a real HTTP server, drawn for each request from a seed.
 *
 * `new Faults(server, draws)` switches them on. `mood`: `"well"`, `"faulty"` or `"away"`, where every connection is cut. `isQuiet`: no
 * request waits in the server any more. `count(log, cells)` adds how often each
 * fault met each kind of request.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { problem } from "../../accept/support/collection.js";

const HTML = { status: 200, headers: { "Content-Type": "text/html" }, body: "<h1>Welcome to the hotel</h1>" };
const soon = (status) => ({ status, headers: { "Retry-After": "1" } });

/** `weight`: how often, of a hundred requests of a faulty server. */
const KINDS = {
  500: { weight: 5, position: "before", answer: problem(500, "It failed.") },
  "500 of what was done": { weight: 5, position: "after", answer: problem(500, "It failed.") },
  "503 with Retry-After": { weight: 3, position: "before", answer: soon(503) },
  "429 with Retry-After": { weight: 3, position: "before", answer: soon(429) },
  422: { weight: 2, position: "before", answer: problem(422, "It does not like this one."), isRefusal: true },
  "a page of HTML": { weight: 3, position: "before", answer: HTML },
  "cut before it is done": { weight: 5, position: "before", end: "cut" },
  "cut when it is done": { weight: 6, position: "after", end: "cut" },
  "cut in the body": { weight: 5, position: "middle" },
  "closed when it is done": { weight: 3, position: "after", end: "drop" },
  "no answer to what was done": { weight: 2, position: "after", end: "hang" },
  "late, then done": { weight: 6, position: "before", early: true },
  "done, answered late": { weight: 8, position: "after", late: true },
};
const LONGEST_MS = 700;

export class Faults {
  mood = "well";
  #server;
  #draws;
  #drawn = new WeakMap();
  #waiting = 0;

  /** `overtakes`: whether a request may be done so late that another overtakes it. */
  constructor(server, draws, { overtakes = true } = {}) {
    this.#server = server;
    this.#draws = draws;
    for (const [name, { early, late, isRefusal, position, answer, end }] of Object.entries(KINDS)) {
      if (early && !overtakes) continue;
      const when = (entry) => this.#kindOf(entry) === name && (!isRefusal || this.#isFirst(entry));
      const wait = () => this.#wait();
      server.fault({
        position,
        answer,
        end,
        when,
        times: Infinity,
        ...(early && { early: wait }),
        ...(late && { late: wait }),
      });
    }
  }

  /** Whether it is the first request for an edit: of one that was done, or may yet be, no honest server says that it is refused. */
  #isFirst({ method, headers }) {
    const key = headers["idempotency-key"];
    return (
      method !== "GET" && this.#server.log.filter((entry) => entry.headers["idempotency-key"] === key).length === 1
    );
  }

  set(mood) {
    this.mood = mood;
    this.#server.isCut = mood === "away";
  }

  get isQuiet() {
    return this.#waiting === 0;
  }

  #kindOf(entry) {
    if (!this.#drawn.has(entry)) this.#drawn.set(entry, this.mood === "faulty" ? this.#draw() : undefined);
    return this.#drawn.get(entry);
  }

  #draw() {
    let left = this.#draws.between(0, 100);
    for (const [name, { weight }] of Object.entries(KINDS)) {
      left -= weight;
      if (left < 0) return name;
    }
    return undefined;
  }

  async #wait() {
    this.#waiting += 1;
    await sleep(this.#draws.between(0, LONGEST_MS));
    this.#waiting -= 1;
  }

  /** Adds to the cells: fault × where it was × kind of request. */
  count(log, cells) {
    for (const entry of log) {
      const kind = entry.fault && this.#drawn.get(entry);
      if (kind) add(cells, `${kind} × ${ACTIONS[entry.method]}`);
    }
  }
}

export const ACTIONS = { GET: "read", POST: "create", PUT: "update", PATCH: "update", DELETE: "delete" };

export const add = (counts, name, more = 1) => counts.set(name, (counts.get(name) ?? 0) + more);
