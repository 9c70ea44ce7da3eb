// The object that a case looks at: driven as the engine drives it, and through real stores. Owns time limits and tidying up.

import init, { Schema, Store, TransporterError } from "../index.js";
import { ConformanceError, demand, fail, isError, isObject, isRow, show } from "./failing.js";
import { CALL_LIMIT_MS, LOOK_AGAIN_MS } from "./values.js";

/** Settles as `act` does, or fails when that takes too long. */
export function within(ms, what, act) {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => {
      try {
        fail(
          `${what} settles within ${ms} ms`,
          "nothing: the promise is still pending",
          "settle every promise, with a TransporterError when there is no answer, or give the suite a longer `timeoutMs`",
        );
      } catch (error) {
        reject(error);
      }
    }, ms);
  });
  return Promise.race([Promise.resolve().then(act), over]).finally(() => clearTimeout(timer));
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A UUID (RFC 9562, version 4); `crypto.randomUUID` is not everywhere. */
export function uuid() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const SAYS_MORE = ["data", "version", "res"];
const ENVELOPE = [...SAYS_MORE, "req", "status", "location", "complete", "deleted", "next", "cursor"];

/** The row, or the object that says more than the row: in one form. */
function opened(value) {
  if (!isRow(value)) return { data: value };
  const names = Object.keys(value);
  const isEnvelope = names.some((name) => SAYS_MORE.includes(name)) && names.every((name) => ENVELOPE.includes(name));
  return isEnvelope ? value : { data: value };
}

/** How often a middleware may have one request made again. */
const MOST_REPEATS = 3;

export async function through(end, method, input, field) {
  let current = input;
  for (const middleware of [...(end.constructor?.middleware ?? []), ...(end.ownMiddleware ?? [])]) {
    if (typeof middleware?.[method] !== "function") continue;
    let result = await middleware[method](current);
    if (result === undefined) result = current[field];
    else if (isObject(result) && Object.keys(input).every((name) => Object.hasOwn(result, name)))
      result = result[field];
    current = { ...current, [field]: result };
  }
  return current[field];
}

/** One request, made as the engine makes it. */
export async function request(end, action, prepare, make, item) {
  for (let repeats = 0; ; repeats++) {
    let req;
    try {
      req = await prepare();
      req = await through(end, "send", { action, req, ...(item && { item }) }, "req");
      const answer = opened(await make(req));
      const { status, data, res } = answer;
      return { ...answer, data: await through(end, "receive", { action, status, data, req, res }, "data") };
    } catch (error) {
      const verdict = await through(end, "transmissionError", { action, req, res: error?.res, error }, "error");
      if (verdict !== "retry") throw verdict;
      if (repeats >= MOST_REPEATS) throw error;
    }
  }
}

export const isNotFound = (error) =>
  error instanceof TransporterError || error.status === undefined
    ? error.kind === "notFound"
    : [404, 410].includes(error.status);

let stores = 0;

/** A store's name that no other has. */
export const freshName = () => `conformance-${++stores}`;

/** What one case works with: the object, how to speak with it, and what is to be closed in the end. */
export class Subject {
  #made;
  #stores = [];

  constructor(end, handle, options) {
    this.end = end;
    this.#made = handle;
    this.limit = options.timeoutMs ?? CALL_LIMIT_MS;
    this.options = options;
  }

  get made() {
    return this.#made;
  }

  /** `{value}` or `{error}`. An error that is none is a failure, wherever it comes up. */
  async attempt(what, act) {
    try {
      return { value: await within(this.limit, what, act) };
    } catch (error) {
      if (error instanceof ConformanceError) throw error;
      demand(
        isError(error),
        `what ${what} throws or rejects with is an Error`,
        () => show(error),
        "throw `new TransporterError(kind, {…})`, or any Error",
      );
      return { error };
    }
  }

  async succeed(what, act, remedy = "find its cause: the suite asks for nothing that a store would not ask for") {
    const { value, error } = await this.attempt(what, act);
    if (error) fail(`${what} succeeds`, `it threw ${show(error)}`, remedy, error);
    return value;
  }

  /** A store that is closed at the end of the case. */
  open(properties, ends, name = freshName()) {
    try {
      this.#stores.push(new Store({ name, schema: new Schema({ properties }), ...ends }));
    } catch (error) {
      fail(
        "a store can be made with it",
        show(error),
        "write the methods that are named, or look at the options",
        error,
      );
    }
    return this.#stores.at(-1);
  }

  /** Waits for a promise of a store or of one of its items. */
  async settle(what, store, promise) {
    let timer;
    const over = new Promise((resolve) => {
      timer = setTimeout(() => resolve("over"), this.limit);
    });
    const first = promise.then(
      () => undefined,
      (error) => error ?? "over",
    );
    const error = await Promise.race([first, over]);
    clearTimeout(timer);
    if (error === undefined) return;
    const { lastError, storageError, connection } = store.status;
    const said = [error === "over" ? `nothing within ${this.limit} ms` : show(error)];
    said.push(`the store is ${connection}`);
    if (lastError) said.push(`its last error: ${lastError.message}`);
    if (storageError) said.push(`its storage's error: ${storageError.message}`);
    fail(what, said.join("; "), "look at the cases that call the methods one by one, they say more");
  }

  async close() {
    for (const store of this.#stores) await within(this.limit, "closing a store over it", () => store.close());
    await this.#made?.close?.();
  }
}

/** `list`: `[name, (subject) => …, condition]`; a case whose condition is false is not part of the suite. */
export function casesOf(list, options, makeSubject) {
  if (typeof options?.make !== "function")
    throw new TypeError("the suite needs `make`, a function that gives the object to be tested, for an empty endpoint");
  const wanted = list.filter(([, , condition = true]) => condition);
  return wanted.map(([name, act]) => ({ name, run: () => run(act, makeSubject) }));
}

async function run(act, makeSubject) {
  await init();
  const subject = await makeSubject();
  let failure;
  try {
    await act(subject);
  } catch (error) {
    failure = { error };
  }
  try {
    await subject.close();
  } catch (error) {
    failure ??= { error };
  }
  if (failure) throw failure.error;
}

/** What `make` gave: the object itself, or an object in which it is under `name`. */
export async function made(options, name) {
  const given = await options.make();
  const handle = isObject(given) && isObject(given[name]) ? given : undefined;
  const end = handle ? handle[name] : given;
  demand(isObject(end), `\`make()\` gives an object, or \`{ ${name}, … }\``, () => show(end), "return it from `make`");
  return [end, handle];
}

export function demandMethods({ end }, optional) {
  for (const name of ["_prepareSend", "_send", "_fetch"])
    demand(
      typeof end[name] === "function" && !end[name].isMissing,
      `the method \`${name}\``,
      () => (end[name]?.isMissing ? "the one of the base class, which does nothing" : show(end[name])),
      "write it: without it `new Store` throws E_OPTIONS",
    );
  for (const name of optional)
    demand(
      ["function", "undefined"].includes(typeof end[name]),
      `\`${name}\` is a method, or is not there`,
      () => show(end[name]),
      "make it a method, or leave it out",
    );
  const { timeout } = end;
  demand(
    timeout === undefined || (Number.isFinite(timeout) && timeout > 0),
    "`timeout` is a number of milliseconds, or is not there",
    () => show(timeout),
    "set it to a number, or leave it out for 30 000",
  );
}

const TYPES = { string: String, number: Number, boolean: Boolean };

/** The properties of a schema for such values. */
export function propertiesFor(values) {
  const typeOf = (value) =>
    TYPES[typeof value] ?? (Array.isArray(value) ? Array : value instanceof Date ? Date : Object);
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeOf(value)]));
}

export async function until(ms, check) {
  for (const end = Date.now() + ms; Date.now() < end && !check();) await pause(LOOK_AGAIN_MS);
}
