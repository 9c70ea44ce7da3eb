/**
 * The faults that can be switched on, and what each does to a request. Faults touch `/api` only: the page, the
 * package and `/control` go on being served.
 */
import { sendProblem } from "./problem.js";

const NONE = { offline: false, status503: false, retryAfter: 5, loseAnswers: 0, delayMs: 0 };
const MAX_NUMBER = { retryAfter: 3_600, loseAnswers: 1_000, delayMs: 60_000 };

export class Faults {
  #state = { ...NONE };

  get state() {
    return { ...this.#state };
  }

  /** Sets what is given and leaves the rest as it is; says in a sentence what is wrong with the input, if it is. */
  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (!Object.hasOwn(NONE, name)) return `There is no fault named "${name}".`;
      if (typeof NONE[name] === "boolean" && typeof value !== "boolean") return `"${name}" must be true or false.`;
      if (typeof NONE[name] === "number" && !(Number.isInteger(value) && value >= 0 && value <= MAX_NUMBER[name])) {
        return `"${name}" must be a whole number from 0 to ${MAX_NUMBER[name]}.`;
      }
    }
    Object.assign(this.#state, changes);
  }

  /** Delays, refuses or answers 503, whichever is on, before a request is looked at. */
  beforeRequest = (request, response, next) => {
    const { offline, delayMs } = this.#state;
    if (offline) return this.#refuse(request);
    if (delayMs === 0) return this.#answer503(request, response, next);
    setTimeout(() => this.#answer503(request, response, next), delayMs);
  };

  /** Whether the answer of a write that has just been committed is to be lost. */
  takeLostAnswer() {
    if (this.#state.loseAnswers === 0) return false;
    this.#state.loseAnswers -= 1;
    return true;
  }

  #refuse(request) {
    request.logged.outcome = "refused";
    request.socket.destroy();
  }

  #answer503(request, response, next) {
    if (this.#state.offline) return this.#refuse(request);
    if (!this.#state.status503) return next();
    response.set("Retry-After", String(this.#state.retryAfter));
    sendProblem(response, 503, "Service unavailable", `Try again in ${this.#state.retryAfter} seconds.`);
  }
}
