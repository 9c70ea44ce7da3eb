// Whether addresses of a kind can be reached, asked of one address that is made for the question. Owns the question and
// who waits for the answer. When it is asked is the engine's word, as long as a store uses the checker.

import { ConcordiaError } from "./error.js";

/** A question that takes longer is no answer. */
const LIMIT_MS = 10_000;

/** Pauses between the questions of a checker that no store uses. */
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [1_000, 60_000];

const refuse = (what) => {
  throw new ConcordiaError("E_OPTIONS", `an offline checker needs ${what}`);
};

/** Whether the glob covers the whole text; `*` stands for anything. Each piece is looked for once, from where the one before it ended. */
function covers(pieces, text) {
  const [first, last] = [pieces[0], pieces.at(-1)];
  if (pieces.length === 1) return text === first;
  const end = text.length - last.length;
  if (!text.startsWith(first) || !text.endsWith(last) || end < first.length) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= end;
}

/** The path of an address and what follows it. */
const pathOf = (url) => url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");

function matcher(pattern) {
  if (pattern instanceof RegExp) {
    // A copy: the flag g makes an expression remember where it stopped.
    const own = new RegExp(pattern);
    return (url) => {
      own.lastIndex = 0;
      return own.test(url);
    };
  }
  if (typeof pattern !== "string" || pattern === "")
    refuse("a `pattern`: a RegExp, or a text in which * stands for anything");
  const pieces = pattern.split("*");
  return pattern.startsWith("/") ? (url) => covers(pieces, pathOf(url)) : (url) => covers(pieces, url);
}

function addressOf(checkUrl) {
  const page = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    const url = new URL(checkUrl, page);
    if (typeof checkUrl === "string" && /^https?:$/.test(url.protocol) && url.username + url.password === "")
      return url;
  } catch {
    // Refused below.
  }
  return refuse("a `checkUrl`: an http: or https: address, and an absolute one where there is no page");
}

/** Probes `checkUrl` while the addresses that it speaks for cannot be reached. */
export class HttpOfflineChecker {
  #matches;
  #address;
  #method;
  /** Stores that use it: `{lost(), reachable()}`. */
  #users = new Set();
  /** Who waits for the end of the outage; undefined while there is none. */
  #back;
  #timer;

  constructor(options) {
    const { pattern, checkUrl, method = "GET" } = options ?? {};
    this.#matches = matcher(pattern);
    this.#address = addressOf(checkUrl);
    if (!/^(GET|HEAD|OPTIONS)$/i.test(method)) refuse("a `method` that changes nothing: GET, HEAD or OPTIONS");
    this.#method = String(method).toUpperCase();
  }

  test(url) {
    return this.#matches(String(url));
  }

  get isOffline() {
    return this.#back !== undefined;
  }

  setOffline() {
    if (this.#back === undefined) {
      let settle;
      const promise = new Promise((resolve) => {
        settle = resolve;
      });
      this.#back = { promise, settle };
      for (const user of [...this.#users]) user.lost();
      this.#watch(0);
    }
    return this.#back.promise;
  }

  setOnline() {
    const back = this.#back;
    if (back === undefined) return;
    this.#back = undefined;
    clearTimeout(this.#timer);
    back.settle();
    for (const user of [...this.#users]) user.reachable();
  }

  onceAvailable() {
    return this.#back?.promise ?? Promise.resolve();
  }

  /** Where no store does so, it asks by itself. */
  #watch(failures) {
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
    this.#timer = setTimeout(
      async () => {
        const asks = this.#back !== undefined && this.#users.size === 0;
        if (asks) await HttpOfflineChecker.check(this);
        if (this.#back !== undefined) this.#watch(asks ? failures + 1 : failures);
      },
      pause * (0.5 + Math.random() / 2),
    );
    // It keeps no program alive.
    this.#timer.unref?.();
  }

  /** A store begins, or ceases, to use it; for the package's own use. */
  static attach(checker, user, uses) {
    if (uses) checker.#users.add(user);
    else checker.#users.delete(user);
  }

  /** Asks. True if there was an answer of the address itself; for the package's own use. */
  static async check(checker) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), LIMIT_MS);
    try {
      const answer = await fetch(checker.#address, {
        method: checker.#method,
        cache: "no-store",
        // Nothing is to be had there, and a captive portal redirects.
        credentials: "omit",
        redirect: "error",
        signal: controller.signal,
      });
      answer.body?.cancel().catch(() => {});
      // From 500 on somebody says in the server's stead that it is not there.
      if (answer.status >= 500) return false;
      checker.setOnline();
      return true;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }
}
