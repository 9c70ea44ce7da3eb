// Conformance suites for whoever writes a transporter or a client storage of their own: cases for any test runner. Owns what
// such an object has to do, and the sentence for what it does not do.
//
// Each case gets an empty endpoint, speaks with the object as the engine does (`_prepareX`, middleware, `_X`) or through a real
// store, and rejects with an error that says what was expected, what came, and what to do about it.

import init, { Key, NumberKey, Schema, Store, TransporterError } from "./index.js";

const CALL_LIMIT_MS = 5000;
const LOOK_AGAIN_MS = 10;
const MANY = 1000;
const CONCURRENT = 20;

/** Where a key goes into an address or a file's name, one of these is what breaks it. */
const DIFFICULT_KEYS = [
  "a b/ü?#%",
  "100%25",
  "../x",
  "a+b&c=d",
  "日本語 🏳️‍🌈",
  "quote\"'`",
  "UPPER",
  "upper",
  "semi;colon:",
];

/** What JSON can carry, and what is lost by those who nearly can. */
const DIFFICULT_VALUES = {
  unicode: "naïve 日本語 🏳️‍🌈 \u2028 \" \\ <b>&amp;</b> ' \t\r\n",
  empty: "",
  long: "x".repeat(10_000),
  likeADate: "2020-01-02T03:04:05.678Z",
  likeANumber: "007",
  nothing: null,
  yes: true,
  no: false,
  zero: 0,
  big: Number.MAX_SAFE_INTEGER,
  huge: 1e300,
  small: -1.5e-7,
  list: [1, "2", null, [true, []], { a: {} }],
  emptyList: [],
  nested: { street: "Ä 1", deep: { deeper: [{ deepest: null }] }, "a.b": 1, constructor: "data", length: 0 },
  emptyObject: {},
};

const plainValues = (n) => ({ title: `Row ${n}`, amount: n * 10, done: n % 2 === 0, note: "" });

// ------------------------------------------------------------------------------------------------------------ failing

class ConformanceError extends Error {
  get name() {
    return "ConformanceError";
  }
}

function fail(expected, came, todo, cause) {
  const message = `expected: ${expected}. What came: ${came}. What to do: ${todo}.`;
  throw new ConformanceError(message, cause === undefined ? undefined : { cause });
}

function demand(holds, expected, came, todo) {
  if (!holds) fail(expected, typeof came === "function" ? came() : came, todo);
}

const LONGEST_SHOWN = 200;

/** A value in words, whatever it is. */
function show(value) {
  let text;
  try {
    if (isError(value)) text = `${value.name}: ${value.message}${value.kind ? ` (kind "${value.kind}")` : ""}`;
    else text = typeof value === "object" || typeof value === "string" ? JSON.stringify(value) : String(value);
  } catch {
    text = `a ${typeof value} that cannot be shown`;
  }
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

const isError = (value) => value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
const isObject = (value) => typeof value === "object" && value !== null;
const isRow = (value) => isObject(value) && !Array.isArray(value);

/** Where two values differ, as sentences; `more`: the second may have properties that the first has not. */
function differences(expected, actual, path, more = false) {
  if (Object.is(expected, actual) || (expected === 0 && actual === 0)) return [];
  // JSON has no dates: their text says the same.
  if (expected instanceof Date)
    return String(new Date(actual).getTime()) === String(expected.getTime()) ? [] : [differs(path, expected, actual)];
  const sameForm = isObject(expected) && isObject(actual) && Array.isArray(expected) === Array.isArray(actual);
  if (!sameForm) return [differs(path, expected, actual)];
  const added = more ? [] : Object.keys(actual).filter((name) => !Object.hasOwn(expected, name));
  return [
    ...Object.keys(expected).flatMap((name) =>
      Object.hasOwn(actual, name) || expected[name] === undefined
        ? differences(expected[name], actual[name], `${path}.${name}`)
        : [`${path}.${name} is missing (it was ${show(expected[name])})`],
    ),
    ...added
      .filter((name) => actual[name] !== undefined)
      .map((name) => `${path}.${name} is ${show(actual[name])}, and was not given`),
  ];
}

const differs = (path, expected, actual) => `${path} is ${show(actual)}, not ${show(expected)}`;

function demandSame(expected, actual, path, what, todo, more = false) {
  const found = differences(expected, actual, path, more);
  demand(found.length === 0, what, () => found.slice(0, 3).join("; "), todo);
}

/** The same entries, whatever their order. */
function demandList(expected, actual, what, todo) {
  const [wanted, came] = [expected, actual].map((list) => show([...list].sort()));
  demand(wanted === came, `${what}: ${wanted}`, came, todo);
}

// ------------------------------------------------------------------------------------------------------------ driving

/** Settles as `act` does, or fails when that takes too long. */
function within(ms, what, act) {
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

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A UUID (RFC 9562, version 4); `crypto.randomUUID` is not everywhere. */
function uuid() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const SAYS_MORE = ["data", "version", "res"];
const ENVELOPE = [...SAYS_MORE, "req", "status", "location", "complete", "deleted", "cursor"];

/** The row, or the object that says more than the row: in one form. */
function opened(value) {
  if (!isRow(value)) return { data: value };
  const names = Object.keys(value);
  const isEnvelope = names.some((name) => SAYS_MORE.includes(name)) && names.every((name) => ENVELOPE.includes(name));
  return isEnvelope ? value : { data: value };
}

/** How often a middleware may have one request made again. */
const MOST_REPEATS = 3;

async function through(end, method, input, field) {
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
async function request(end, action, prepare, make, item) {
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

const isNotFound = (error) =>
  error instanceof TransporterError || error.status === undefined
    ? error.kind === "notFound"
    : [404, 410].includes(error.status);

let stores = 0;

/** What one case works with: the object, how to speak with it, and what is to be closed in the end. */
class Subject {
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

  async succeed(what, act, todo = "find its cause: the suite asks for nothing that a store would not ask for") {
    const { value, error } = await this.attempt(what, act);
    if (error) fail(`${what} succeeds`, `it threw ${show(error)}`, todo, error);
    return value;
  }

  /** A store that is closed at the end of the case. */
  open(properties, ends, name = `conformance-${++stores}`) {
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
function casesOf(list, options, makeSubject) {
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
async function made(options, name) {
  const given = await options.make();
  const handle = isObject(given) && isObject(given[name]) ? given : undefined;
  const end = handle ? handle[name] : given;
  demand(isObject(end), `\`make()\` gives an object, or \`{ ${name}, … }\``, () => show(end), "return it from `make`");
  return [end, handle];
}

function demandMethods({ end }, optional) {
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
function propertiesFor(values) {
  const typeOf = (value) =>
    TYPES[typeof value] ?? (Array.isArray(value) ? Array : value instanceof Date ? Date : Object);
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeOf(value)]));
}

// -------------------------------------------------------------------------------------------------------- transporter

class TransporterSubject extends Subject {
  #keys = 0;

  get key() {
    return this.options.key ?? "id";
  }

  values(n) {
    return (this.options.values ?? plainValues)(n);
  }

  /** A key that is in no row yet. */
  ownKey() {
    const n = ++this.#keys;
    return this.options.numericKeys ? 900_000 + n : `own-${n}-${uuid().slice(0, 8)}`;
  }

  queueItem(action, payload, id, idempotencyKey = uuid()) {
    const item = { action, payload, __id: String(++this.#keys), _id: uuid(), id, idempotencyKey };
    return { ...item, store: "conformance" };
  }

  async push(given) {
    const { end } = this;
    const item = await through(end, "addItemToQueue", { queueItem: given, queue: [] }, "queueItem");
    const make = (req) => end._send(req);
    const answer = await request(end, item.action, () => end._prepareSend(item), make, item);
    demand(
      answer.data === undefined || answer.data === null || isRow(answer.data),
      "`_send` gives nothing, the row, or an envelope with `data`, `version` or `res`",
      () => show(answer.data),
      "return the row that the endpoint now holds; at least its key after a create",
    );
    return answer;
  }

  /** Creates the n-th row; its key. */
  async create(n, values = this.values(n), ownKey = this.options.keys === "client" ? this.ownKey() : undefined) {
    const payload = ownKey === undefined ? { ...values } : { ...values, [this.key]: ownKey };
    const item = this.queueItem("create", payload, ownKey);
    return this.keyOf(await this.succeed("a create", () => this.push(item)), ownKey);
  }

  keyOf({ data, location }, ownKey) {
    const told = data?.[this.key] ?? decoded(location) ?? ownKey;
    demand(
      (typeof told === "string" && told !== "") || Number.isFinite(told),
      `the answer to a create says the new row's key as \`${this.key}\``,
      () => show(data),
      `resolve \`_send\` with the created row, or at least with \`{ ${this.key} }\``,
    );
    demand(
      ownKey === undefined || String(told) === String(ownKey),
      `a create that brought the key ${show(ownKey)} keeps it`,
      () => `the key ${show(told)}`,
      'take the key of the payload, or leave `keys` at "server" if the endpoint makes them',
    );
    return told;
  }

  update(key, values) {
    return this.push(this.queueItem("update", this.#updatePayload(key, values), key));
  }

  /** The whole row, or what of it was edited. */
  #updatePayload(key, values) {
    const patches = (this.end.update ?? this.end.constructor?.update) === "PATCH";
    return patches ? { ...values } : { ...values, [this.key]: key };
  }

  delete(key) {
    return this.push(this.queueItem("delete", undefined, key));
  }

  /** All rows by their keys as text, as the engine would collect them: cursor after cursor. */
  async rows() {
    const found = await this.succeed("a fetch", () => this.#fetchAll());
    await this.#compareWithEndpoint(found);
    return found;
  }

  async #fetchAll() {
    const rows = new Map();
    let cursor;
    for (;;) {
      const answer = await this.#fetch(cursor);
      this.#take(rows, answer);
      const next = answer.cursor;
      if (next === undefined || show(next) === show(cursor) || answer.data.length === 0) return rows;
      cursor = next;
    }
  }

  #fetch(cursor) {
    const { end } = this;
    const make = (req) => end._fetch(req, cursor === undefined ? {} : { cursor });
    return request(end, "fetch", () => end._prepareFetch?.(), make);
  }

  #take(rows, { data, deleted = [] }) {
    const todo = "resolve `_fetch` with an array of rows, or with `{ data: [row, …], … }`";
    demand(Array.isArray(data), "`_fetch` gives an array of rows", () => show(data), todo);
    const seen = new Set();
    for (const row of data) {
      const key = isRow(row) ? row[this.key] : undefined;
      demand(
        (typeof key === "string" && key !== "") || Number.isFinite(key),
        `every fetched row is an object with a key in \`${this.key}\``,
        () => show(row),
        "give the key a name with the suite's option `key`, or have the endpoint send it",
      );
      demand(!seen.has(String(key)), "every row is fetched once", `the key ${show(key)} came twice`, "leave out one");
      seen.add(String(key));
      rows.set(String(key), row);
    }
    for (const key of deleted) rows.delete(String(key));
  }

  /** What is behind the endpoint, if `make` told how to look there. */
  async #compareWithEndpoint(found) {
    if (typeof this.made?.rows !== "function") return;
    const there = await this.made.rows();
    demandList(
      Array.from(there, (row) => String(row[this.key])),
      found.keys(),
      "`_fetch` gives the rows that are at the endpoint",
      "let `_fetch` ask the endpoint every time, and `_send` resolve when the endpoint has taken the edit",
    );
  }

  async row(key) {
    const rows = await this.rows();
    demand(
      rows.has(String(key)),
      `the row ${show(key)} is fetched`,
      () => `rows with the keys ${show([...rows.keys()])}`,
      "resolve `_send` only when the endpoint has taken the row, and fetch all rows",
    );
    return rows.get(String(key));
  }

  fetchOne(key) {
    const { end } = this;
    const prepare = () => (end._prepareFetchOne ? end._prepareFetchOne(key) : key);
    return request(end, "fetchOne", prepare, (req) => fetchOneOf(end).call(end, req));
  }

  /** A store whose schema fits the values. */
  openStore() {
    const type = this.options.numericKeys ? NumberKey : Key;
    const key = { type, primary: true, key: this.key, _key: `_${this.key}` };
    return this.open({ ...propertiesFor(this.values(1)), [this.key]: key }, { transporter: this.end });
  }

  createIn(store, n) {
    const key = this.options.keys === "client" ? { [this.key]: this.ownKey() } : {};
    return store.create({ ...this.values(n), ...key });
  }
}

function decoded(location) {
  if (typeof location !== "string") return undefined;
  const last = location
    .replace(/[?#].*$/, "")
    .replace(/\/+$/, "")
    .split("/")
    .pop();
  try {
    return decodeURIComponent(last) || undefined;
  } catch {
    return undefined;
  }
}

const KEEP_VALUES = "store and send values as they are, for instance as JSON; change none on the way";
const ONE_ROW = "look for the row by the key in `queueItem.id`, and touch no other";

async function fetchesNothing(subject) {
  const rows = await subject.rows();
  demand(
    rows.size === 0,
    "an endpoint without rows is fetched as an empty array",
    () => `${rows.size} rows`,
    "give an empty endpoint from `make`, and an empty array for it",
  );
}

async function createIsFetched(subject) {
  const keys = [];
  for (const n of [1, 2, 3]) keys.push(await subject.create(n));
  const rows = await subject.rows();
  demand(
    rows.size === keys.length,
    "three creates make three rows",
    () => `${rows.size} rows`,
    "make exactly one row for each create",
  );
  for (const [at, key] of keys.entries())
    demandSame(
      subject.values(at + 1),
      await subject.row(key),
      `the row ${show(key)}`,
      "a row is fetched under the key that its create answered, with the values that were sent",
      "answer a create with the key of that very row",
      true,
    );
}

async function updateChangesOne(subject) {
  const [changed, other] = [await subject.create(1), await subject.create(2)];
  await subject.succeed("an update", () => subject.update(changed, subject.values(1001)));
  const expected = "an update changes its row, and no other";
  demandSame(subject.values(1001), await subject.row(changed), "the updated row", expected, ONE_ROW, true);
  demandSame(subject.values(2), await subject.row(other), "the other row", expected, ONE_ROW, true);
  const { size } = await subject.rows();
  demand(size === 2, "an update makes no row", () => `${size} rows instead of 2`, ONE_ROW);
}

async function patchLeavesTheRest(subject) {
  const key = await subject.create(1);
  const [[name, value]] = Object.entries(subject.values(1001));
  await subject.succeed("an update of one field", () => subject.update(key, { [name]: value }));
  demandSame(
    { ...subject.values(1), [name]: value },
    await subject.row(key),
    "the row",
    'an update of a transporter with `update = "PATCH"` leaves the fields that were not sent',
    "merge the payload into the row, or leave `update` out to be given whole rows",
    true,
  );
}

async function deleteRemovesOne(subject) {
  const [removed, other] = [await subject.create(1), await subject.create(2)];
  await subject.succeed("a delete", () => subject.delete(removed));
  const rows = await subject.rows();
  const keys = () => `rows with the keys ${show([...rows.keys()])}`;
  demand(!rows.has(String(removed)), `the deleted row ${show(removed)} is gone`, keys, ONE_ROW);
  demand(rows.has(String(other)), `the row ${show(other)}, which was not deleted, is still there`, keys, ONE_ROW);
}

const SAY_NOT_FOUND = 'reject with `new TransporterError("notFound")`, or with an Error whose `status` is 404';

async function deleteTwice(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { error } = await subject.attempt("the second delete", () => subject.delete(key));
  demand(
    error === undefined || isNotFound(error),
    "the delete of a row that is gone resolves, or rejects as not found: a delete is sent again when its answer was lost",
    () => show(error),
    SAY_NOT_FOUND,
  );
}

async function updateOfNothing(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { error } = await subject.attempt("the update", () => subject.update(key, subject.values(1001)));
  demand(
    error !== undefined && isNotFound(error),
    "the update of a row that is gone rejects as not found, so that nobody's edit vanishes unseen",
    () => (error === undefined ? "it resolved" : show(error)),
    SAY_NOT_FOUND,
  );
  const { size } = await subject.rows();
  demand(size === 0, "the update of a row that is gone makes no row", () => `${size} rows`, SAY_NOT_FOUND);
}

async function fetchOneGivesTheRow(subject) {
  await subject.create(1);
  const key = await subject.create(2);
  const { data } = await subject.succeed("a fetch of one row", () => subject.fetchOne(key));
  const todo = "give the row whose key `_prepareFetchOne` was asked for";
  demand(isRow(data), "`_fetchOne` gives the row", () => show(data), todo);
  demandSame(subject.values(2), data, "the row", "`_fetchOne` gives the row of that key", todo, true);
}

async function fetchOneOfNothing(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  const { value, error } = await subject.attempt("the fetch", () => subject.fetchOne(key));
  demand(
    error === undefined ? value.data === undefined || value.data === null : isNotFound(error),
    "`_fetchOne` of a row that is gone gives null or undefined, or rejects as not found",
    () => (error === undefined ? show(value.data) : show(error)),
    `resolve with null, or ${SAY_NOT_FOUND}`,
  );
}

async function leavesPayload(subject) {
  const todo = "copy the payload before changing it: the same one is sent again when an answer was lost";
  const values = subject.values(1);
  const own = subject.options.keys === "client" ? { [subject.key]: subject.ownKey() } : {};
  const item = subject.queueItem("create", { ...values, ...own }, own[subject.key]);
  const key = subject.keyOf(await subject.succeed("a create", () => subject.push(item)), own[subject.key]);
  demandSame({ ...values, ...own }, item.payload, "payload", "a create leaves its payload as it was", todo);
  const edit = subject.queueItem("update", { ...subject.values(1001), [subject.key]: key }, key);
  await subject.succeed("an update", () => subject.push(edit));
  const after = { ...subject.values(1001), [subject.key]: key };
  demandSame(after, edit.payload, "payload", "an update leaves its payload as it was", todo);
}

async function givesCopies(subject) {
  const key = await subject.create(1);
  const row = await subject.row(key);
  for (const name of Object.keys(subject.values(1))) row[name] = "changed by whoever fetched it";
  demandSame(
    subject.values(1),
    await subject.row(key),
    "the row",
    "a fetched row can be changed without changing what is at the endpoint",
    "give copies out, for instance by `structuredClone`",
    true,
  );
}

const UPDATED = "the update of a row with a difficult key arrives at that row";

async function difficultKeys(subject) {
  for (const [n, key] of DIFFICULT_KEYS.entries()) await subject.create(n, subject.values(n), key);
  const todo = "percent-encode a key that goes into an address, and use keys as they are everywhere else";
  for (const [n, key] of DIFFICULT_KEYS.entries()) {
    await subject.succeed(`an update of the row ${show(key)}`, () => subject.update(key, subject.values(n + 1000)));
    demandSame(subject.values(n + 1000), await subject.row(key), `the row ${show(key)}`, UPDATED, todo, true);
  }
  for (const key of DIFFICULT_KEYS)
    await subject.succeed(`the delete of the row ${show(key)}`, () => subject.delete(key));
  const { size } = await subject.rows();
  demand(size === 0, "rows with difficult keys can be deleted", () => `${size} of them are left`, todo);
}

async function concurrentSends(subject) {
  const numbers = Array.from({ length: CONCURRENT }, (_, n) => n);
  const keys = await Promise.all(numbers.map((n) => subject.create(n)));
  demand(
    new Set(keys.map(String)).size === CONCURRENT,
    "creates that are sent at the same time get different keys",
    () => show(keys),
    "share no state between two calls of `_send`",
  );
  await Promise.all(
    numbers.map((n) => subject.succeed("an update", () => subject.update(keys[n], subject.values(n + 1000)))),
  );
  const rows = await subject.rows();
  for (const n of numbers)
    demandSame(
      subject.values(n + 1000),
      rows.get(String(keys[n])),
      `the row ${show(keys[n])}`,
      "edits of different rows that are sent at the same time all arrive, each at its row",
      "share no state between two calls of `_send`",
      true,
    );
}

async function sameKeyTwice(subject) {
  const own = subject.options.keys === "client" ? { [subject.key]: subject.ownKey() } : {};
  const idempotencyKey = uuid();
  const send = () => {
    const item = subject.queueItem("create", { ...subject.values(1), ...own }, own[subject.key], idempotencyKey);
    return subject.succeed("a create", () => subject.push(item));
  };
  const keys = [];
  for (let sent = 0; sent < 2; sent++) keys.push(subject.keyOf(await send(), own[subject.key]));
  const todo = "hand `queueItem.idempotencyKey` on, and let the endpoint answer the second request as it did the first";
  demand(String(keys[0]) === String(keys[1]), "both answers say the same key", () => show(keys), todo);
  const { size } = await subject.rows();
  demand(size === 1, "a create that is sent twice under one idempotency key makes one row", () => `${size} rows`, todo);
}

async function keepsValues(subject) {
  const values = subject.options.difficultValues ?? (subject.options.values ? subject.values(1) : DIFFICULT_VALUES);
  const key = await subject.create(1, structuredClone(values));
  const what = "what was sent comes back as it was";
  demandSame(values, await subject.row(key), "the row", what, KEEP_VALUES, true);
}

async function rejectsWithErrors(subject) {
  const key = await subject.create(1);
  await subject.succeed("a delete", () => subject.delete(key));
  // Refusals are allowed here; that they are errors is demanded in each attempt.
  await subject.attempt("the update of a row that is gone", () => subject.update(key, subject.values(2)));
  await subject.attempt("the delete of a row that is gone", () => subject.delete(key));
  if (hasFetchOne(subject.end)) await subject.attempt("the fetch of a row that is gone", () => subject.fetchOne(key));
}

async function isLive({ end }) {
  const stop = end._subscribe(() => {});
  demand(
    typeof stop === "function",
    "`_subscribe` gives the function that ends the subscription",
    () => show(stop),
    "return a function, and do nothing more after it was called",
  );
  stop();
}

async function tellsWhenAvailable(subject) {
  const what = "`onceAvailable` of an endpoint that can be reached";
  await subject.succeed(what, () => subject.end.onceAvailable());
}

async function storeWrites(subject) {
  const store = subject.openStore();
  await subject.settle("a store over an empty endpoint loads", store, store.onceLoaded());
  const [one, two] = [subject.createIn(store, 1), subject.createIn(store, 2)];
  const taken = "what a store creates is taken";
  await Promise.all([one, two].map((item) => subject.settle(taken, store, item.onceSynced())));
  const keys = [one[subject.key], two[subject.key]];
  one.update(subject.values(1001));
  two.remove();
  await Promise.all(
    [one, two].map((item) => subject.settle("what a store edits and removes is taken", store, item.onceSynced())),
  );
  const rows = await subject.rows();
  demandList([String(keys[0])], rows.keys(), "of two rows one is left, with the key", ONE_ROW);
  const edited = await subject.row(keys[0]);
  demandSame(subject.values(1001), edited, "the row", "the store's edit is at the endpoint", KEEP_VALUES, true);
}

async function storeReads(subject) {
  const keys = [await subject.create(1), await subject.create(2)];
  const store = subject.openStore();
  await subject.settle("a store over an endpoint with rows loads", store, store.onceLoaded());
  for (const [at, key] of keys.entries()) {
    const item = store.findById(key);
    const todo = "give rows whose values have the types that the schema names; set `numericKeys` if keys are numbers";
    const said = () => `no such item (${store.status.lastError?.message ?? "without an error"})`;
    demand(item !== undefined, `a store loads the row ${show(key)}`, said, todo);
    demandSame(subject.values(at + 1), item.toJSON(), "the item", "the item has the row's values", todo, true);
  }
  await subject.succeed("a delete", () => subject.delete(keys[0]));
  await subject.settle("a store fetches again", store, store.fetch());
  demand(
    store.findById(keys[0]) === undefined,
    "an item whose row was deleted elsewhere is gone after a fetch",
    "it is still there",
    "give a plain array when it is the whole collection, or name deleted rows in `deleted`",
  );
}

async function storeFetchesOne(subject) {
  const store = subject.openStore();
  await subject.settle("a store over an empty endpoint loads", store, store.onceLoaded());
  const key = await subject.create(1);
  const item = store.findOneOrFetch({ [subject.key]: key });
  await until(subject.limit, () => differences(subject.values(1), item.toJSON(), "the item", true).length === 0);
  const todo = "let `_fetchOne` give the row of the key that `_prepareFetchOne` was called with";
  demandSame(subject.values(1), item.toJSON(), "the item", "`findOneOrFetch` fills the item", todo, true);
}

async function until(ms, check) {
  for (const end = Date.now() + ms; Date.now() < end && !check();) await pause(LOOK_AGAIN_MS);
}

const fetchOneOf = (end) => end._sendFetchOne ?? end._fetchOne;
const hasFetchOne = (end) => typeof fetchOneOf(end) === "function" && !fetchOneOf(end).isMissing;

/** A case that says nothing about a transporter without that method. */
const ifThere = (is, act) => async (subject) => {
  if (is(subject.end)) await act(subject);
};

const OPTIONAL = ["_prepareFetch", "_prepareFetchOne", "_fetchOne", "_sendFetchOne", "_prepareInitialFetch"];
const patches = (end) => (end.update ?? end.constructor?.update) === "PATCH";

/** Cases for a transporter. */
export function transporterSuite(options) {
  const ownTextKeys = ["client", "both"].includes(options?.keys) && !options.numericKeys;
  const optional = [...OPTIONAL, "_initialFetch", "onceAvailable", "_subscribe"];
  const list = [
    ["it has the methods that a store needs", (subject) => demandMethods(subject, optional)],
    ["an empty endpoint is fetched as an empty array", fetchesNothing],
    ["a create answers with the key of its row, and the row is fetched under it", createIsFetched],
    ["an update changes its row and no other", updateChangesOne],
    ["an update, if it is a PATCH, leaves what was not sent", ifThere(patches, patchLeavesTheRest)],
    ["a delete removes its row and no other", deleteRemovesOne],
    ["a second delete resolves or rejects as not found", deleteTwice],
    ["an update of a missing row rejects as not found", updateOfNothing],
    ["fetching one row, if it can, gives that row", ifThere(hasFetchOne, fetchOneGivesTheRow)],
    [
      "fetching one missing row, if it can, gives nothing or rejects as not found",
      ifThere(hasFetchOne, fetchOneOfNothing),
    ],
    ["a payload is left as it was given", leavesPayload],
    ["a fetched row can be changed without changing the endpoint", givesCopies],
    ["keys with special characters survive", difficultKeys, ownTextKeys],
    ["sends at the same time do not disturb each other", concurrentSends],
    ["a create sent twice under one idempotency key makes one row", sameKeyTwice, options?.idempotent === true],
    ["values survive the way there and back", keepsValues],
    ["what it throws or rejects with is an Error", rejectsWithErrors],
    ["a live subscription, if there is one, can be ended", ifThere((end) => end._subscribe, isLive)],
    [
      "a reachable endpoint, if it can tell, says that it is available",
      ifThere((end) => end.onceAvailable, tellsWhenAvailable),
    ],
    ["a store creates, edits and removes through it", storeWrites],
    ["a store loads rows, and sees what was deleted elsewhere", storeReads],
    ["a store fetches one item, if that can be fetched", ifThere(hasFetchOne, storeFetchesOne)],
  ];
  return casesOf(list, options, async () => {
    const [end, handle] = await made(options, "transporter");
    return new TransporterSubject(end, handle, options);
  });
}

// ----------------------------------------------------------------------------------------------------- client storage

/** What the engine keeps about an item that is not sent yet: of no meaning to a storage, and not to be lost. */
const syncOf = (n, action = "update") => ({
  base: { title: `Before ${n}`, list: [n, null, { deep: "ü" }] },
  pending: { action, key: uuid(), attempts: 0, fields: ["title"] },
});

class StorageSubject extends Subject {
  #items = 0;
  storage = this.end;

  names(store) {
    return { store, key: "id", storageKey: "_id" };
  }

  values(n) {
    return (this.options.values ?? plainValues)(n);
  }

  record(_id, n, action) {
    return { ...this.values(n), _id, id: `server-${n}`, _sync: syncOf(n, action) };
  }

  #queueItem(action, payload, store) {
    const { _id, id } = payload;
    return { action, payload, __id: String(++this.#items), _id, id, store };
  }

  /** Hands a record over; the one that was handed over. */
  async write(action, record, { store = "conformance", todo } = {}) {
    const { storage } = this;
    const item = this.#queueItem(action, structuredClone(record), store);
    const make = (req) => storage._send(req);
    const write = () => request(storage, action, () => storage._prepareSend(item), make, item);
    await this.succeed(`a write with the action "${action}"`, write, todo);
    return item.payload;
  }

  async remove(record) {
    const { storage } = this;
    if (typeof storage.remove !== "function") return this.write("update", record);
    const item = this.#queueItem("update", structuredClone(record), "conformance");
    return this.succeed("`remove`", () => storage.remove(item));
  }

  /** All records by their keys. */
  async records(store = "conformance") {
    const { storage } = this;
    const prepare = () => (storage._prepareInitialFetch ?? storage._prepareFetch)?.call(storage, this.names(store));
    const make = (req) => (storage._initialFetch ?? storage._fetch).call(storage, req);
    const { data } = await this.succeed("the first fetch", () => request(storage, "initialFetch", prepare, make));
    const todo = "resolve `_initialFetch`, or `_fetch` if there is none, with an array of all records";
    demand(Array.isArray(data), "the first fetch gives an array of records", () => show(data), todo);
    const found = new Map();
    for (const record of data) {
      const key = isRow(record) ? record._id : undefined;
      const expected = "every record is an object with the key that it came with in `_id`";
      demand(typeof key === "string" || typeof key === "number", expected, () => show(record), KEEP_RECORDS);
      const twice = () => `the record ${show(key)} came twice`;
      demand(
        !found.has(key),
        "every record is there once",
        twice,
        "write a record in the place of the one with its `_id`",
      );
      found.set(key, record);
    }
    return found;
  }

  async demandRecord(record, what, todo = KEEP_RECORDS, store = undefined) {
    const found = await this.records(store);
    demand(
      found.has(record._id),
      what,
      () => `no record ${show(record._id)} among those with the keys ${show([...found.keys()])}`,
      todo,
    );
    demandSame(record, found.get(record._id), "the record", what, todo);
  }

  /** Another object over what was stored, if `make` told how to get one; else the same. */
  async reopen() {
    if (typeof this.made?.reopen !== "function") return;
    this.storage = await this.made.reopen();
    const came = () => show(this.storage);
    demand(isObject(this.storage), "`reopen()` gives a client storage", came, "return it from `reopen`");
  }
}

const KEEP_RECORDS = "store the whole payload, `_sync` included, under its `_id`, and give it back unchanged";

async function freshIsEmpty(subject) {
  const { size } = await subject.records();
  const todo = "give a storage without records from `make`, and an empty array for it";
  demand(size === 0, "a fresh storage gives an empty array", () => `${size} records`, todo);
}

async function createComesBack(subject) {
  const record = subject.record("key-1", 1);
  await subject.write("create", record);
  await subject.demandRecord(record, "what was written comes back as it was, with its `_sync`");
  // An item that the server does not know yet.
  const unsent = subject.record("key-2", 2, "create");
  delete unsent.id;
  await subject.write("create", unsent);
  await subject.demandRecord(unsent, "a record without `id` comes back as it was");
}

async function valuesComeBack(subject) {
  const values = subject.options.values ? subject.values(1) : { ...DIFFICULT_VALUES, date: new Date(86_400_000) };
  const record = { ...structuredClone(values), _id: "key-1", _sync: { base: structuredClone(DIFFICULT_VALUES) } };
  await subject.write("create", record);
  await subject.demandRecord(record, "all values come back as they were (a Date may be its ISO text)", KEEP_VALUES);
}

async function updateReplaces(subject) {
  const [record, other] = [subject.record("key-1", 1), subject.record("key-2", 2)];
  for (const each of [record, other]) await subject.write("create", each);
  const without = { ...record, ...subject.values(1001) };
  for (const name of [Object.keys(subject.values(1))[0], "_sync"]) delete without[name];
  await subject.write("update", without);
  const what = "an update replaces the whole record: what the new one has not is gone";
  await subject.demandRecord(without, what, "replace the record, do not merge it");
  await subject.demandRecord(other, "an update leaves the other records", ONE_RECORD);
}

const ONE_RECORD = "look for the record by the `_id` of the payload, and touch no other";

async function deleteErases(subject) {
  const [record, other] = [subject.record("key-1", 1), subject.record("key-2", 2)];
  for (const each of [record, other]) await subject.write("create", each);
  await subject.write("delete", { _id: record._id });
  const found = await subject.records();
  demand(!found.has(record._id), "a deleted record is gone", "it is still there", ONE_RECORD);
  await subject.demandRecord(other, "a delete leaves the other records", ONE_RECORD);
}

/** Writes that failed are made again, though part of them may have been committed. */
async function writesCanBeRepeated(subject) {
  const record = subject.record("key-1", 1);
  const todo = "let a create write over a record that is there, and a delete find nothing without an error";
  for (let times = 0; times < 2; times++) await subject.write("create", record, { todo });
  await subject.demandRecord(record, "the same create twice makes one record", todo);
  for (let times = 0; times < 2; times++) await subject.write("delete", { _id: record._id }, { todo });
  const { size } = await subject.records();
  demand(size === 0, "the same delete twice leaves no record", () => `${size} records`, todo);
}

async function updateOfMissing(subject) {
  const { storage } = subject;
  const record = subject.record("key-1", 1);
  const item = { action: "update", payload: structuredClone(record), __id: "1", _id: "key-1", id: record.id };
  const { error } = await subject.attempt("an update of a record that is not there", () =>
    request(
      storage,
      "update",
      () => storage._prepareSend({ ...item, store: "conformance" }),
      (req) => storage._send(req),
    ),
  );
  if (error) return;
  const what = "an update of a record that is not there writes it, or rejects: it holds somebody's edit";
  await subject.demandRecord(record, what, "write the record whether or not there was one");
}

async function removeKeeps(subject) {
  const record = subject.record("key-1", 1);
  await subject.write("create", record);
  const tombstone = { ...record, _sync: syncOf(1, "delete") };
  await subject.remove(tombstone);
  const what = "a removed record stays, with its new `_sync`, until it is deleted: else nobody tells the server";
  await subject.demandRecord(tombstone, what, "let `remove` store the payload as an update does, or leave it out");
  await subject.write("delete", { _id: record._id });
  const { size } = await subject.records();
  demand(size === 0, "a removed record is gone once it is deleted", () => `${size} records`, ONE_RECORD);
}

async function difficultStorageKeys(subject) {
  const todo = "use the key as it is, or encode it such that no two keys become one";
  const records = DIFFICULT_KEYS.map((key, n) => subject.record(key, n));
  for (const record of records) await subject.write("create", record);
  for (const record of records) await subject.demandRecord(record, `the record ${show(record._id)} comes back`, todo);
  for (const { _id } of records) await subject.write("delete", { _id });
  const { size } = await subject.records();
  demand(size === 0, "records with difficult keys can be deleted", () => `${size} of them are left`, todo);
}

async function manyRecords(subject) {
  const count = subject.options.count ?? MANY;
  const records = Array.from({ length: count }, (_, n) => subject.record(`key-${n}`, n));
  for (const record of records) await subject.write("create", record);
  const found = await subject.records();
  const todo = "give all records at once: the engine asks for no second page";
  demand(found.size === count, `${count} records come back`, () => `${found.size} records`, todo);
  for (const record of records)
    demandSame(record, found.get(record._id), `the record ${record._id}`, "each comes back as it was", KEEP_RECORDS);
}

async function lastWriteStays(subject) {
  let record;
  for (let n = 0; n < CONCURRENT; n++) {
    record = subject.record("key-1", n);
    await subject.write(n === 0 ? "create" : "update", record);
  }
  // Whoever has put off a write would make it now.
  await pause(5 * LOOK_AGAIN_MS);
  const todo = "settle when the write is done, not before, and make writes in the order in which they come";
  await subject.demandRecord(record, "of many writes to one record the last one stays", todo);
}

async function leavesRecord(subject) {
  const record = subject.record("key-1", 1);
  const payload = await subject.write("create", record);
  const todo = "copy the payload before changing it: it is written again when a write has failed";
  demandSame(record, payload, "payload", "a write leaves its payload as it was", todo);
  payload.title = "changed after it was written";
  payload._sync.base = "changed after it was written";
  await subject.demandRecord(record, "a payload that is changed later does not change what is stored", GIVE_COPIES);
}

const GIVE_COPIES = "take copies in and give copies out, for instance by `structuredClone`";

async function givesRecordCopies(subject) {
  const record = subject.record("key-1", 1);
  await subject.write("create", record);
  const found = (await subject.records()).get(record._id);
  demand(found !== undefined, "what was written comes back", "no such record", KEEP_RECORDS);
  found.title = "changed by whoever fetched it";
  if (found._sync) found._sync.base = "changed by whoever fetched it";
  await subject.demandRecord(record, "a record that was given out can be changed without changing it", GIVE_COPIES);
}

async function keepsStoresApart(subject) {
  const [one, two] = [subject.record("key-1", 1), subject.record("key-1", 2)];
  const todo = "keep records by `queueItem.store` too, or set `severalStores: false` and give each store a storage";
  await subject.write("create", one);
  await subject.write("create", two, { store: "another store" });
  await subject.demandRecord(one, "stores that share a storage do not see each other's records", todo);
  await subject.demandRecord(two, "stores that share a storage do not see each other's records", todo, "another store");
}

async function reopensComplete(subject) {
  const kept = subject.record("key-1", 1);
  await subject.write("create", subject.record("key-1", 5));
  await subject.write("update", kept);
  await subject.write("create", subject.record("key-2", 2));
  await subject.write("delete", { _id: "key-2" });
  await subject.reopen();
  const todo = "settle a write when it is committed, and let `reopen` open the same place";
  await subject.demandRecord(kept, "what was written is there after reopening", todo);
  const { size } = await subject.records();
  demand(size === 1, "what was deleted is not there after reopening", () => `${size} records`, todo);
}

/** A server in memory that writes down what it is asked to do. */
function recordingServer() {
  const rows = new Map();
  const asked = [];
  let lastKey = 0;
  const write = {
    create(payload) {
      const row = { ...payload, id: `row-${++lastKey}` };
      rows.set(row.id, row);
      return { ...row };
    },
    update(payload, id) {
      if (!rows.has(id)) throw new TransporterError("notFound");
      rows.set(id, { ...payload, id });
    },
    delete(_, id) {
      rows.delete(id);
    },
  };
  const transporter = {
    _prepareSend: (queueItem) => queueItem,
    async _send({ action, payload, id }) {
      asked.push({ action, title: payload?.title ?? rows.get(id)?.title });
      return write[action](payload, id);
    },
    _fetch: async () => [...rows.values()].map((row) => ({ ...row })),
  };
  return { transporter, asked };
}

const TITLED = { title: String, amount: Number, born: Date, tags: Array };

async function storeKeepsEdits(subject) {
  const { transporter, asked } = recordingServer();
  const name = `conformance-${++stores}`;
  const open = async () => {
    const store = subject.open(TITLED, { transporter, clientStorage: subject.storage }, name);
    await subject.settle("a store loads from the storage", store, store.onceLoaded());
    return store;
  };

  const first = await open();
  const items = ["edited", "removed", "left"].map((title) => first.create({ title, amount: 1 }));
  for (const item of items) {
    await subject.settle("a store's edit is stored", first, item.onceStored());
    await subject.settle("a store's edit is sent", first, item.onceSynced());
  }
  first.pause();
  const [edited, removed] = items;
  edited.title = "edited offline";
  removed.remove();
  const created = first.create({ title: "created offline", amount: 2, born: new Date(86_400_000), tags: ["a", null] });
  created.amount = 3;
  for (const item of [edited, removed, created])
    await subject.settle("an edit that cannot be sent is stored", first, item.onceStored());
  await first.close();
  asked.length = 0;

  await subject.reopen();
  const second = await open();
  const titles = second.items.map(({ title }) => title);
  const todo = "keep `_sync` with each record: it holds the edits that were not sent yet";
  const there = ["created offline", "edited offline", "left"];
  demandList(there, titles, "edits are still there after closing and reopening, the items' titles are", todo);
  const again = second.findOne({ title: "created offline" });
  const found = { amount: again.amount, born: again.born, tags: [...again.tags] };
  const given = { amount: 3, born: new Date(86_400_000), tags: ["a", null] };
  demandSame(given, found, "the item", "an item's values come back with their types", KEEP_VALUES);
  demand(again.born instanceof Date, "a Date comes back as a Date", () => show(again.born), KEEP_VALUES);
  await until(subject.limit, () => second.status.pending === 0);
  await pause(5 * LOOK_AGAIN_MS);
  const requests = (list) => list.map(({ action, title }) => `${action} ${title}`);
  const sent = requests(asked);
  const once = ["create created offline", "delete removed", "update edited offline"];
  demandList(once, sent, "edits are sent once after reopening, the requests are", todo);
  await second.close();
  asked.length = 0;

  await subject.reopen();
  const third = await open();
  await third.flush();
  const order = "write every update and delete, and in their order";
  demandList([], requests(asked), "nothing is sent again once it was taken, the requests are", order);
  const left = third.items.map(({ title }) => title);
  demandList(there, left, "the items are those that were left, their titles are", order);
}

/** Cases for a client storage. */
export function clientStorageSuite(options) {
  const optional = ["_prepareFetch", "_prepareInitialFetch", "_initialFetch", "remove"];
  const list = [
    ["it has the methods that a store needs", (subject) => demandMethods(subject, optional)],
    ["a fresh storage is fetched as an empty array", freshIsEmpty],
    ["a created record comes back as it was, with its _sync", createComesBack],
    ["values survive being stored", valuesComeBack],
    ["an update replaces its record and leaves the others", updateReplaces],
    ["a delete erases its record and leaves the others", deleteErases],
    ["a write can be repeated", writesCanBeRepeated],
    ["an update of a missing record is not lost in silence", updateOfMissing],
    ["a removed record is kept with its _sync until it is deleted", removeKeeps],
    ["keys with special characters survive", difficultStorageKeys],
    [`${options?.count ?? MANY} records come back`, manyRecords],
    ["writes to one record are made in order", lastWriteStays],
    ["a payload is left as it was, and is not kept", leavesRecord],
    ["a record that was given out can be changed without changing what is stored", givesRecordCopies],
    ["stores that share a storage do not see each other's records", keepsStoresApart, options?.severalStores !== false],
    ["everything is found after reopening", reopensComplete],
    ["a store's edits survive closing, and are sent once", storeKeepsEdits],
  ];
  return casesOf(list, options, async () => {
    const [end, handle] = await made(options, "clientStorage");
    return new StorageSubject(end, handle, options);
  });
}
