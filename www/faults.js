/**
 * The network switch and the panel of server faults. Both speak to the server's `/control`, which answers whatever
 * faults are on; when it does not, the server itself is down, and the panel says so.
 */
const ASK_EVERY_MS = 3_000;
const GIVE_UP_MS = 5_000;
const MAX_LOG_SHOWN = 12;

export class FaultPanel {
  #announcer;
  #onReachable;
  #panel = document.querySelector("#faults");
  #form = document.querySelector("#fault-form");
  #network = document.querySelector("#network input");
  #state = "unknown";

  /** `onReachable` is called when the person has turned the network on again. */
  constructor(announcer, onReachable) {
    this.#announcer = announcer;
    this.#onReachable = onReachable;
    this.#network.addEventListener("change", () => this.#set({ offline: !this.#network.checked }));
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("change", ({ target }) => this.#setFrom(target));
    document.querySelector("#faults-reset").addEventListener("click", () => this.#reset());
    document.querySelector("#log-clear").addEventListener("click", () => this.#clearLog());
    this.#panel.addEventListener("toggle", () => this.#ask());
    document.addEventListener("visibilitychange", () => this.#ask());
    this.#panel.open = matchMedia("(min-width: 60rem)").matches;
    setInterval(() => this.#ask(), ASK_EVERY_MS);
    this.#ask();
  }

  async #ask() {
    if (document.hidden) return;
    try {
      this.#show(await control("GET"));
      if (this.#panel.open) showLog(await control("GET", "/log"));
    } catch {
      this.#showDown();
    }
  }

  async #set(changes) {
    try {
      this.#show(await control("PUT", "", changes));
    } catch {
      this.#showDown();
    }
    if (changes.offline === false) this.#onReachable();
  }

  #setFrom(input) {
    if (!input.checkValidity()) return input.reportValidity();
    this.#set({ [input.name]: input.type === "checkbox" ? input.checked : input.valueAsNumber });
  }

  #reset() {
    this.#set({ offline: false, status503: false, loseAnswers: 0, delayMs: 0 });
  }

  async #clearLog() {
    try {
      await control("DELETE", "/log");
      showLog([]);
    } catch {
      this.#showDown();
    }
  }

  #show(faults) {
    for (const [name, value] of Object.entries(faults)) {
      const input = this.#form.elements[name];
      if (input.type === "checkbox") input.checked = value;
      else if (input !== document.activeElement) input.value = value;
    }
    this.#network.checked = !faults.offline;
    this.#setState(isFaulty(faults) ? "faulty" : "running");
  }

  #showDown() {
    this.#network.checked = false;
    this.#setState("down");
  }

  #setState(state) {
    const down = state === "down";
    this.#form.querySelector("fieldset").disabled = down;
    document.querySelector("#log-clear").disabled = down;
    this.#network.disabled = down;
    if (state === this.#state) return;
    this.#state = state;
    const box = document.querySelector("#server-state");
    box.dataset.state = state;
    box.textContent = SENTENCES[state];
    this.#announcer.say("server", SENTENCES[state]);
  }
}

const SENTENCES = {
  running: "The server runs and answers as it should.",
  faulty: "The server runs with the faults below.",
  down: "The server is down. Nothing below can be changed until it runs again; your edits are kept here.",
};

const isFaulty = ({ offline, status503, loseAnswers, delayMs }) =>
  offline || status503 || loseAnswers > 0 || delayMs > 0;

async function control(method, path = "", body) {
  const response = await fetch(`/control${path}`, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(GIVE_UP_MS),
  });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response.status === 204 ? undefined : response.json();
}

function showLog(entries) {
  const template = document.querySelector("#log-template").content.firstElementChild;
  const shown = entries.slice(-MAX_LOG_SHOWN).reverse();
  const rows = shown.map(({ method, path, status, outcome, idempotencyKey }) => {
    const row = template.cloneNode(true);
    row.dataset.outcome = outcome;
    if (idempotencyKey) row.title = `Idempotency-Key ${idempotencyKey}`;
    row.querySelector("[data-part=method]").textContent = method;
    row.querySelector("[data-part=path]").textContent = path;
    row.querySelector("[data-part=outcome]").textContent = describe(status, outcome);
    return row;
  });
  document.querySelector("#log").replaceChildren(...rows);
  document.querySelector("#log-empty").hidden = rows.length > 0;
}

function describe(status, outcome) {
  if (outcome === "replayed") return `${status}, as the first time`;
  if (outcome === "refused") return "connection broken";
  if (outcome === "lost") return "done, answer lost";
  return status === null ? "open" : String(status);
}
