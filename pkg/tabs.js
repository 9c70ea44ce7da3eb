// One store and the same store in other tabs: a lock that says which of them sends, and a channel on which they talk. The browser
// has both; what is said, and what follows, is the engine's matter. A lock is held until the store is closed, the page is gone, or
// another tab takes it.

import { leads, told } from "./wasm/concordia.js";

/** Of the messages; what a tab with another version of the package says in another format is passed over. */
const FORMAT = 1;

/** As the engine numbers them. */
const WORDS = ["hello", "noted", "flush", "flushed", "here", "committed"];
const HELLO = 0;
const NOTED = 1;
const COMMITTED = 5;

export class Tabs {
  /** Whether another tab was ever heard. */
  hasPeers = false;
  #name;
  #channel;
  #waiting;
  #release;
  #isFrozen = false;
  #isLeft = false;
  #store;
  /** A frozen page still hears and could answer, but its timers, its requests and its transactions stand still (measured in Chromium): so
   *  it lets go of the lock, and begins nothing, since what it began in the database would keep others from writing. */
  #freeze = () => {
    this.#isFrozen = true;
    this.#waiting?.abort();
    this.#release?.();
  };
  #resume = () => {
    this.#isFrozen = false;
    const led = this.#release !== undefined;
    this.#release = undefined;
    // The engine asks again for what it has lost.
    if (led) leads(this.#store, false);
    else this.lead(this.#store, false);
  };

  /** This page may be gone before it hears that its notes are written. Said no sooner, since a transaction that still waits for that of
   *  a tab which reads them goes with the page (measured in Chromium). */
  #hide = () => this.say(NOTED);

  /** Nothing where the browser has no such things, as in an insecure context. */
  static of(database, store) {
    const isPossible = globalThis.navigator?.locks !== undefined && typeof BroadcastChannel === "function";
    return isPossible ? new Tabs(`concordia ${JSON.stringify([database, store])}`) : undefined;
  }

  constructor(name) {
    this.#name = name;
  }

  /** Asks for the lock, and waits for it if another tab has it; or takes it. */
  lead(store, steals) {
    this.#listen(store);
    this.#waiting?.abort();
    if (!this.#isIdle) void this.#request(steals ? { steal: true } : { ifAvailable: true });
  }

  get #isIdle() {
    return this.#isLeft || this.#isFrozen;
  }

  async #request(options) {
    let isHeld = false;
    const hold = (lock) => {
      if (lock === null || this.#isIdle) return undefined;
      isHeld = true;
      leads(this.#store, true);
      return new Promise((release) => (this.#release = release));
    };
    try {
      await navigator.locks.request(this.#name, options, hold);
    } catch {
      // It was stolen; or there are no locks for this page after all, and it is for itself.
      if (this.#isLeft || options.signal?.aborted) return;
      this.#release = undefined;
      leads(this.#store, !isHeld);
      return;
    }
    if (isHeld || this.#isIdle) return;
    this.#waiting = new AbortController();
    void this.#request({ signal: this.#waiting.signal });
    leads(this.#store, false);
    // Whoever has it knows from here on that this tab is there, and tells where it is.
    this.say(HELLO);
  }

  #listen(store) {
    if (this.#channel !== undefined) return;
    this.#store = store;
    globalThis.document?.addEventListener("freeze", this.#freeze);
    globalThis.document?.addEventListener("resume", this.#resume);
    globalThis.addEventListener("pagehide", this.#hide);
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => {
      const word = WORDS.indexOf(data?.word);
      if (data?.format !== FORMAT || word < 0 || this.#isIdle) return;
      this.hasPeers = true;
      told(store, word, Number(data.tab), Number(data.count), Array.isArray(data.news) ? data.news : undefined);
    };
  }

  say(word, tab = 0, count = 0, news = undefined) {
    if (this.#isIdle || (word === COMMITTED && !this.hasPeers)) return;
    try {
      this.#channel.postMessage({ format: FORMAT, word: WORDS[word], tab, count, news });
    } catch {
      // Others read what they were not told.
    }
  }

  leave() {
    this.#isLeft = true;
    this.#waiting?.abort();
    this.#release?.();
    this.#channel?.close();
    globalThis.document?.removeEventListener("freeze", this.#freeze);
    globalThis.document?.removeEventListener("resume", this.#resume);
    globalThis.removeEventListener("pagehide", this.#hide);
  }
}
