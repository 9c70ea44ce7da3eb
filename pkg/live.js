// Changes made elsewhere, told by the server as they happen: Server-Sent Events or a WebSocket. Owns the connection and its
// pauses; what was missed while there was none is read by the engine, which also probes a server that cannot be reached.

import { wordsOf } from "./error.js";

/** Pauses before the next try: anything from half of it to all of it, doubled with each try. */
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [500, 60_000];

/** A connection that lasts as long was a good one: the next pause is the first again. */
const GOOD_AFTER_MS = 10_000;

/** Opens a connection; what comes of it: `{opened(), said(text), ended()}`, `ended` once and last. Returns what closes it. */
function connect({ url, withCredentials }, { opened, said, ended }) {
  const isSocket = /^wss?:/.test(url);
  const [Kind, name] = isSocket ? [globalThis.WebSocket, "WebSocket"] : [globalThis.EventSource, "EventSource"];
  if (Kind === undefined) throw new Error(`there is no ${name} here`);
  const connection = isSocket ? new Kind(url) : new Kind(url, { withCredentials });
  let isOver = false;
  const close = () => {
    isOver = true;
    connection.close();
  };
  const end = () => {
    if (isOver) return;
    // A browser would try again by itself, at its own pace.
    close();
    ended();
  };
  const ifNotOver = (act) => (event) => (isOver ? undefined : act(event));
  connection.addEventListener("open", ifNotOver(opened));
  connection.addEventListener(
    "message",
    ifNotOver(({ data }) => said(data)),
  );
  connection.addEventListener("error", end);
  connection.addEventListener("close", end);
  return close;
}

/** What a message says: `{action, data}`, "refetch", or undefined for nothing. Throws for what makes no sense. */
function read(text, parse) {
  if (typeof text !== "string") throw new Error("it is no text");
  let message = text;
  try {
    message = JSON.parse(text);
  } catch {
    if (parse === undefined && text !== "refetch") throw new Error("it is no JSON");
  }
  return parse === undefined ? message : parse(message);
}

/** One store's live connection. `store`: {heard(change), complained(why), missed(), connection()}. */
export class Live {
  #options;
  #store;
  #close;
  #timer;
  #tries = 0;
  #openedAt;
  #isClosed = false;
  /** Whether what is missed without a connection is being read. */
  #isRead = false;
  /** Whether the next try waits for the server to be reached by other requests. */
  #waits = false;
  #online = () => this.#restart();

  constructor(options, store) {
    this.#options = options;
    this.#store = store;
    globalThis.addEventListener?.("online", this.#online);
    // Not before the store that it is for has been made.
    queueMicrotask(() => this.#try());
  }

  /** The store's connection has another state. */
  told() {
    if (this.#store.connection() === "paused") this.#drop();
    else if (this.#waits) this.#again(0);
  }

  close() {
    this.#isClosed = true;
    globalThis.removeEventListener?.("online", this.#online);
    this.#drop();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#close?.();
    this.#close = undefined;
    this.#openedAt = undefined;
    this.#waits = true;
  }

  /** The network was away: a connection may be dead without knowing. */
  #restart() {
    if (this.#isClosed || this.#store.connection() === "paused") return;
    this.#drop();
    this.#again(0);
  }

  #again(pause) {
    if (this.#timer !== undefined) return;
    this.#waits = false;
    this.#timer = setTimeout(() => this.#try(), pause * (0.5 + Math.random() / 2));
    this.#timer.unref?.();
  }

  #try() {
    this.#timer = undefined;
    if (this.#isClosed || this.#close !== undefined) return;
    // While the server cannot be reached, or must not be asked, the store's own requests find out when that is over.
    this.#waits = ["offline", "paused"].includes(this.#store.connection());
    if (this.#waits) return;
    try {
      this.#close = connect(this.#options, {
        opened: () => {
          this.#openedAt = Date.now();
          this.#isRead = false;
          // What happened before this moment was told to nobody here.
          this.#store.missed();
        },
        said: (text) => this.#said(text),
        ended: () => this.#ended(),
      });
    } catch (error) {
      this.#store.complained(`the live connection cannot be opened: ${error?.message}`);
    }
  }

  #ended() {
    const [lasted, wasOpen] = [Date.now() - this.#openedAt, this.#openedAt !== undefined];
    this.#close = this.#openedAt = undefined;
    if (wasOpen && lasted >= GOOD_AFTER_MS) this.#tries = 0;
    // A server that does not answer here may not answer at all: the read finds out, and goes on until it succeeds.
    if (!wasOpen && !this.#isRead) {
      this.#isRead = true;
      this.#store.missed();
    }
    this.#again(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#tries++));
  }

  #said(text) {
    try {
      const change = read(text, this.#options.parse);
      if (change !== undefined) this.#store.heard(change);
    } catch (error) {
      this.#store.complained(`a live message makes no sense: ${wordsOf(error)}`);
    }
  }
}
