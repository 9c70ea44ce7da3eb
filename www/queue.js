/** The edits that the server has not taken yet, oldest first, with what can be done about the refused ones. */
import { fullName } from "./store.js";

const MAX_DOTS = 6;
const STATES = {
  queued: { icon: "icon-queue", text: "Queued" },
  sending: { icon: "icon-online", text: "Being sent" },
  waiting: { icon: "icon-clock", text: "Waiting to try again" },
  parked: { icon: "icon-alert", text: "Refused" },
};
const ACTIONS = { create: "Add", update: "Change", delete: "Delete" };

export class QueueList {
  #store;
  #announcer;
  #entries = new Map();
  #list = document.querySelector("#queue");

  constructor(store, announcer) {
    this.#store = store;
    this.#announcer = announcer;
    document.querySelector("#flush").addEventListener("click", () => store.flush());
  }

  render() {
    const edits = this.#store.pending();
    const keys = keysOf(edits);
    for (const [key, entry] of this.#entries) {
      if (keys.includes(key)) continue;
      entry.element.remove();
      this.#entries.delete(key);
    }
    edits.forEach((edit, index) => {
      const entry = this.#entryOf(keys[index]);
      const { element } = entry;
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
      entry.render(edit);
    });
    document.querySelector("#queue-empty").hidden = edits.length > 0;
    document.querySelector("#flush").hidden = edits.length === 0;
    this.#renderLastError(edits);
  }

  #entryOf(key) {
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = new QueueEntry((outcome) => this.#settled(outcome));
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #settled(outcome) {
    document.querySelector("#queue-title").focus();
    this.#announcer.say("queue", outcome);
  }

  #renderLastError(edits) {
    const box = document.querySelector("#last-error");
    const { lastError } = this.#store.status;
    box.hidden = !lastError || edits.length === 0;
    box.textContent = lastError ? `Last answer: ${lastError.message}` : "";
  }
}

class QueueEntry {
  element;
  #edit;

  constructor(onSettled) {
    this.element = document.querySelector("#queue-template").content.firstElementChild.cloneNode(true);
    this.#part("retry").addEventListener("click", () => {
      this.#edit.retry();
      onSettled("Trying again.");
    });
    this.#part("discard").addEventListener("click", () => {
      this.#edit.discard();
      onSettled("The edit is discarded.");
    });
  }

  render(edit) {
    this.#edit = edit;
    const { action, attempts, state, idempotencyKey } = edit;
    const name = fullName(edit.item);
    Object.assign(this.element.dataset, { action, state });
    this.element.title = idempotencyKey ? `Idempotency-Key ${idempotencyKey}` : "";
    this.#part("action").textContent = ACTIONS[action];
    this.#part("name").textContent = name;
    this.#part("state").textContent = STATES[state].text;
    this.element.querySelector("use").setAttribute("href", `#${STATES[state].icon}`);
    this.#part("attempts").textContent = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
    this.#renderDots(attempts);
    this.#renderParked(edit, name);
  }

  #renderDots(attempts) {
    const dots = this.#part("dots");
    const wanted = Math.min(attempts, MAX_DOTS);
    while (dots.childElementCount > wanted) dots.lastElementChild.remove();
    while (dots.childElementCount < wanted) dots.append(document.createElement("i"));
  }

  #renderParked({ state, reason }, name) {
    this.#part("parked").hidden = state !== "parked";
    this.#part("reason").textContent = reason ? explain(reason) : "";
    this.#part("retry").setAttribute("aria-label", `Try again: ${name}`);
    this.#part("discard").setAttribute("aria-label", `Discard: ${name}`);
  }

  #part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }
}

/** An edit's key in the list: several edits of one item can wait at the same time. */
function keysOf(edits) {
  const seen = new Map();
  return edits.map(({ item, action }) => {
    const key = `${item.__id} ${action}`;
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return `${key} ${count}`;
  });
}

/** The server's own words where it gave any (RFC 9457), else the package's. */
function explain({ status, body, message }) {
  const words = body?.detail ?? body?.title ?? message;
  return status ? `${words} (${status})` : words;
}
