/* global requestIdleCallback */

// What rexie keeps to itself: its IDBDatabase and its IDBTransactions. Without them nobody can say why a
// transaction was aborted (quota or not), ask for strict durability, or hear that a connection was closed.
//
// rexie opens by calling `indexedDB.open` at once, so `open` is shadowed for the length of that one synchronous call
// and put back before anything else can run. The shadow of `transaction` sits on our own connection alone.

/** One connection. `fate`: 0 in use, 1 closed by the browser, 2 a newer version is coming, 3 being deleted.
 *  `openError`, `refusal`: the name of the error of a failed open, or of the last transaction that could not be begun. */
export class Link {
  fate = 0;
  openError = "";
  refusal = "";
  begun = undefined;
  #strict;
  #restore = () => {};

  constructor(strict) {
    this.#strict = strict;
    try {
      const factory = globalThis.indexedDB;
      const own = Object.getOwnPropertyDescriptor(factory, "open");
      const open = factory.open;
      const shadow = (...args) => this.#watch(open.apply(factory, args));
      Object.defineProperty(factory, "open", { configurable: true, writable: true, value: shadow });
      this.#restore = () => (own ? Object.defineProperty(factory, "open", own) : delete factory.open);
    } catch {
      // No IndexedDB, or one that cannot be shadowed: rexie works or fails without us.
    }
  }

  /** Ends the shadow; to be called in the same turn as the constructor. */
  release() {
    this.#restore();
    this.#restore = () => {};
  }

  #watch(request) {
    request.addEventListener("error", () => (this.openError = request.error?.name ?? ""));
    request.addEventListener("success", () => this.#adopt(request.result));
    return request;
  }

  #adopt(database) {
    database.addEventListener("close", () => (this.fate ||= 1));
    database.addEventListener("versionchange", (event) => (this.fate = event.newVersion === null ? 3 : 2));
    const begin = database.transaction;
    database.transaction = (stores, mode) => {
      this.begun = undefined;
      const options = this.#strict && mode === "readwrite" ? { durability: "strict" } : undefined;
      try {
        const transaction = begin.call(database, stores, mode, options);
        this.begun = new Ending(transaction);
        return transaction;
      } catch (error) {
        if (error.name === "InvalidStateError") this.fate ||= 1;
        else this.refusal = error.name;
        throw error;
      }
    };
  }
}

/** One transaction, and how it ends. */
export class Ending {
  #transaction;
  #reason;

  constructor(transaction) {
    this.#transaction = transaction;
    this.#reason = new Promise((settle) => {
      transaction.addEventListener("complete", () => settle(""));
      transaction.addEventListener("abort", () => settle(transaction.error?.name ?? "AbortError"));
    });
  }

  /** Issues all requests of a job; false when one was refused, and then the whole transaction is undone. */
  issue(job) {
    try {
      job.issue(this.#transaction);
      return true;
    } catch {
      // Left alone, what was issued until now would be committed.
      this.#abort();
      return false;
    }
  }

  /** "" when it was committed, else the name of the DOMException. */
  reason() {
    return this.#reason;
  }

  /** rexie drops its handlers at the first error but leaves them on the transaction, where calling them throws. */
  unhand() {
    const t = this.#transaction;
    t.onabort = t.oncomplete = t.onerror = null;
  }

  #abort() {
    try {
      this.#transaction.abort();
    } catch {
      // It has ended already.
    }
  }
}

export const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

/** Something to wait for: `passed` settles when it is opened, or when the time is over, if one is given. */
export class Gate {
  constructor(ms) {
    this.passed = new Promise((pass) => {
      const timer = ms === undefined ? undefined : setTimeout(pass, ms);
      this.open = () => {
        clearTimeout(timer);
        pass();
      };
    });
  }
}

/** Settles when the page has nothing better to do, 5 s later at the latest. */
export const idle = () =>
  new Promise((resume) =>
    typeof requestIdleCallback === "function"
      ? requestIdleCallback(resume, { timeout: 5000 })
      : setTimeout(resume, 200),
  );
