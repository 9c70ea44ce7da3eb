/**
 * The suites of `concordia/conformance`: what does as it should passes them, what does not fails the right cases and is told
 * why. And a store over an end that does everything wrong: no edit is lost, and nothing is thrown in the page.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { clientStorageSuite, transporterSuite } from "../../pkg/conformance.js";
import init, { ClientStorage, HttpTransporter, Schema, Store, Transporter, TransporterError } from "../../pkg/index.js";

before(() => init());

function register(title, suite) {
  describe(title, () => {
    for (const { name, run } of suite) test(name, run);
  });
}

// ---------------------------------------------------------------------------------------------------------- over HTTP

/** A small REST server: keys of its own or of the client, PUT and PATCH, `Idempotency-Key`. */
async function restServer({ numeric = false } = {}) {
  const rows = new Map();
  const answered = new Map();
  let lastKey = 0;

  const answer = (method, id, body) => {
    if (method === "GET") return id === undefined ? [200, [...rows.values()]] : found(id, (row) => row);
    if (method === "POST") return [201, put({ ...body, id: body.id ?? (numeric ? ++lastKey : `s${++lastKey}`) })];
    if (method === "PUT") return found(id, (row) => put({ ...body, id: row.id }));
    if (method === "PATCH") return found(id, (row) => put({ ...row, ...body, id: row.id }));
    return found(id, () => void rows.delete(id));
  };
  const put = (row) => {
    rows.set(String(row.id), row);
    return row;
  };
  const found = (id, act) => (rows.has(id) ? [200, act(rows.get(id))] : [404, { title: "not here" }]);

  const server = createServer(async (request, response) => {
    let text = "";
    for await (const part of request.setEncoding("utf8")) text += part;
    const key = request.headers["idempotency-key"];
    const [, , id] = request.url.split("/").map(decodeURIComponent);
    const [status, body] = answered.get(key) ?? answer(request.method, id, text === "" ? undefined : JSON.parse(text));
    if (key !== undefined) answered.set(key, [status, body]);
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    rows: () => [...rows.values()],
    close() {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

const overHttp = (options, serverOptions) => async () => {
  const { origin, rows, close } = await restServer(serverOptions);
  return { transporter: new HttpTransporter({ baseUrl: origin, path: "rows", ...options }), rows, close };
};

const IDEMPOTENT = { keys: "both", idempotent: true };
register("HttpTransporter with PUT", transporterSuite({ make: overHttp({}), ...IDEMPOTENT }));
register("HttpTransporter with PATCH", transporterSuite({ make: overHttp({ update: "PATCH" }), ...IDEMPOTENT }));
register(
  "HttpTransporter with numeric keys",
  transporterSuite({ make: overHttp({}, { numeric: true }), numericKeys: true, idempotent: true }),
);

// ---------------------------------------------------------------------------------------------------------- in memory

/** Rows in a Map, answered at once. `log`: the keys of all rows that were written, one for each write. */
class Table {
  rows = new Map();
  log = [];
  #answered = new Map();
  #lastKey = 0;

  list() {
    return structuredClone([...this.rows.values()]);
  }

  get(key) {
    return structuredClone(this.rows.get(String(key)));
  }

  write({ action, payload, id, idempotencyKey }) {
    if (!this.#answered.has(idempotencyKey)) this.#answered.set(idempotencyKey, this[action](payload, id));
    return this.#answered.get(idempotencyKey);
  }

  create(values) {
    return this.#put({ ...values, id: values.id ?? `row-${++this.#lastKey}` });
  }

  update(values, id) {
    if (!this.rows.has(String(id))) throw new TransporterError("notFound");
    return this.#put({ ...values, id });
  }

  delete(_, id) {
    this.rows.delete(String(id));
    this.log.push(String(id));
  }

  #put(row) {
    this.rows.set(String(row.id), structuredClone(row));
    this.log.push(String(row.id));
    return structuredClone(row);
  }
}

/** As little as there can be, and no promise anywhere. */
function plainTransporter(table = new Table()) {
  return {
    _prepareSend: (queueItem) => queueItem,
    _send: (queueItem) => table.write(queueItem),
    _fetch: () => table.list(),
    _fetchOne: (key) => table.get(key),
  };
}

/** All that there can be: a class, middleware, envelopes, deltas, the other names, signals. */
class ThoroughTransporter extends Transporter {
  static middleware = [...Transporter.middleware];
  static update = "PATCH";
  timeout = 5000;
  #table = new Table();
  #token = "old";

  constructor() {
    super();
    this.use({
      name: "token",
      send: ({ req }) => ({ ...req, token: this.#token }),
      receive: ({ data }) => data,
      transmissionError: ({ error }) => {
        if (error.kind !== "unauthorized") return undefined;
        this.#token = "new";
        return "retry";
      },
    });
  }

  #demandToken({ token }) {
    if (token !== "new") throw new TransporterError("unauthorized");
  }

  async _prepareSend(queueItem) {
    return { queueItem };
  }

  async _send(req) {
    this.#demandToken(req);
    const { action, payload, id } = req.queueItem;
    if (action === "delete" && this.#table.get(id) === undefined)
      throw Object.assign(new Error("gone"), { status: 410 });
    const whole = action === "update" ? { ...this.#table.get(id), ...payload } : payload;
    return { data: this.#table.write({ ...req.queueItem, payload: whole }), version: "1", res: { any: "thing" } };
  }

  _prepareFetch() {
    return {};
  }

  /** What has changed since the last time. */
  async _fetch(req, { cursor = 0 } = {}) {
    this.#demandToken(req);
    const changed = [...new Set(this.#table.log.slice(cursor))];
    const data = changed.map((key) => this.#table.get(key)).filter((row) => row !== undefined);
    const deleted = changed.filter((key) => this.#table.get(key) === undefined);
    return { data, deleted, cursor: this.#table.log.length };
  }

  /** A store asks for all at once. */
  async _initialFetch(req) {
    this.#demandToken(req);
    return this.#table.list();
  }

  _prepareFetchOne(key) {
    return { key };
  }

  async _sendFetchOne(req) {
    this.#demandToken(req);
    return { data: this.#table.get(req.key) ?? null };
  }

  async onceAvailable() {}

  _subscribe() {
    return () => {};
  }
}

const plainStorage = (records = new Map()) => {
  const at = ({ store, payload }) => JSON.stringify([store, payload._id]);
  return {
    _prepareSend: (queueItem) => queueItem,
    _send(queueItem) {
      if (queueItem.action === "delete") records.delete(at(queueItem));
      else records.set(at(queueItem), structuredClone(queueItem.payload));
    },
    _prepareFetch: ({ store }) => store,
    _fetch: (store) =>
      [...records].filter(([key]) => JSON.parse(key)[0] === store).map(([, record]) => structuredClone(record)),
  };
};

/** Text, as a file or a key-value service would have it; slow, and with its own tombstones. */
class TextStorage extends ClientStorage {
  static middleware = [...ClientStorage.middleware];
  #texts;

  constructor(texts = new Map()) {
    super();
    this.#texts = texts;
  }

  async _prepareSend({ action, payload, _id, store }) {
    return { action, key: JSON.stringify([store, _id]), text: JSON.stringify(payload) };
  }

  async _send({ action, key, text }) {
    await null;
    if (action === "delete") this.#texts.delete(key);
    else this.#texts.set(key, text);
  }

  async _prepareInitialFetch({ store }) {
    return { store };
  }

  async _initialFetch({ store }) {
    const own = [...this.#texts].filter(([key]) => JSON.parse(key)[0] === store);
    return own.map(([, text]) => JSON.parse(text));
  }

  _fetch(req) {
    return this._initialFetch(req);
  }

  async remove({ payload, _id, store }) {
    this.#texts.set(JSON.stringify([store, _id]), JSON.stringify(payload));
  }
}

register(
  "a plain object as transporter",
  transporterSuite({
    make() {
      const table = new Table();
      return { transporter: plainTransporter(table), rows: () => table.list() };
    },
    ...IDEMPOTENT,
  }),
);
register(
  "a plain object as transporter, keys from the client",
  transporterSuite({ make: plainTransporter, keys: "client" }),
);
register("a class as transporter", transporterSuite({ make: () => new ThoroughTransporter(), ...IDEMPOTENT }));
register("a plain object as client storage", clientStorageSuite({ make: plainStorage }));
register(
  "a class as client storage",
  clientStorageSuite({
    make() {
      const texts = new Map();
      return { clientStorage: new TextStorage(texts), reopen: () => new TextStorage(texts) };
    },
  }),
);

// ------------------------------------------------------------------------------------------------------------ hostile

/** Long enough for a case that passes, on a busy machine. */
const LIMIT_MS = 1500;

const hang = () => new Promise(() => {});
const throws = (error) => () => {
  throw error;
};
const endless = (act) => ({ _prepareSend: (item) => item, _send: act, _fetch: act, _fetchOne: act });

/** Whatever a case demands, so that one line tells of a suite that fails in all but a few. */
const EVERY_OTHER = Symbol("every other case");
const passes = undefined;

const METHODS = { "it has the methods": passes };
const SIGNALS = {
  "an update, if it is a PATCH": passes,
  "a live subscription": passes,
  "a reachable endpoint": passes,
};
const THROUGH_A_STORE = {
  "a store creates": /over an empty endpoint loads/,
  "a store fetches": /empty endpoint loads/,
};

/**
 * By what a transporter does wrong: `spoil(good, table)`, and by their beginnings what its cases say; cases that are not
 * named, under `EVERY_OTHER` or else, pass.
 */
const hostileTransporters = {
  "rejects everything": {
    spoil: () => endless(() => Promise.reject(new Error("no"))),
    says: {
      ...METHODS,
      ...SIGNALS,
      ...THROUGH_A_STORE,
      [EVERY_OTHER]: /a (create|fetch) succeeds.*it threw Error: no/,
    },
  },
  "throws synchronously": {
    spoil: () => endless(throws(new TypeError("thrown at once"))),
    says: { ...METHODS, ...SIGNALS, ...THROUGH_A_STORE, [EVERY_OTHER]: /it threw TypeError: thrown at once/ },
  },
  "throws undefined": {
    spoil: () => endless(throws(undefined)),
    says: { ...METHODS, ...SIGNALS, ...THROUGH_A_STORE, [EVERY_OTHER]: /is an Error\. What came: undefined/ },
  },
  "rejects with text": {
    // eslint-disable-next-line prefer-promise-reject-errors -- that is what is wrong with it
    spoil: () => endless(() => Promise.reject("text")),
    says: { ...METHODS, ...SIGNALS, ...THROUGH_A_STORE, [EVERY_OTHER]: /is an Error\. What came: "text"/ },
  },
  hangs: {
    spoil: () => ({ ...endless(hang), timeout: 50 }),
    says: { ...METHODS, ...SIGNALS, ...THROUGH_A_STORE, [EVERY_OTHER]: /settles within \d+ ms.*still pending/ },
  },
  "lacks methods": {
    spoil: () => ({ _prepareSend: (item) => item, _send: "no function" }),
    says: {
      ...SIGNALS,
      "it has the methods": /the method `_send`\. What came: "no function"/,
      "fetching one": passes,
      "a store fetches": passes,
      "a store creates": /a store can be made with it.*E_OPTIONS.*`_send`, `_fetch`/,
      [EVERY_OTHER]: /is not a function/,
    },
  },
  "resolves sends with a number": {
    spoil: (good) => ({ ...good, _send: (item) => Promise.resolve(good._send(item)).then(() => 42) }),
    says: {
      ...METHODS,
      ...SIGNALS,
      "an empty endpoint": passes,
      "a store creates": /what a store creates is taken.*E_UNCERTAIN/,
      [EVERY_OTHER]: /`_send` gives nothing, the row, or an envelope.*came: 42/,
    },
  },
  "resolves sends with what cannot be cloned": {
    spoil: (good) => ({ ...good, _send: (item) => Promise.resolve(good._send(item)).then(() => hang) }),
    says: {
      ...METHODS,
      ...SIGNALS,
      "an empty endpoint": passes,
      "a store creates": /what a store creates is taken/,
      [EVERY_OTHER]: /`_send` gives nothing, the row, or an envelope/,
    },
  },
  "resolves fetches with text": {
    spoil: (good) => ({ ...good, _fetch: () => "<html>", _fetchOne: () => "<html>" }),
    says: {
      ...METHODS,
      ...SIGNALS,
      "a second delete": passes,
      "a payload is left": passes,
      "what it throws": passes,
      "fetching one row": /`_fetchOne` gives the row\. What came: "<html>"/,
      "fetching one missing row": /gives null or undefined.*"<html>"/,
      "a store": /E_BAD_ANSWER/,
      [EVERY_OTHER]: /`_fetch` gives an array of rows\. What came: "<html>"/,
    },
  },
  "resolves fetches with nonsense": {
    spoil: (good) => ({ ...good, _fetch: () => [null, 1, "x", [], {}, { id: {} }] }),
    says: {
      ...METHODS,
      ...SIGNALS,
      "a second delete": passes,
      "a payload is left": passes,
      "what it throws": passes,
      "fetching one": passes,
      "a store loads": /a store loads the row "row-1".*6 of 6 rows were left out/,
      "a store fetches": passes,
      [EVERY_OTHER]: /every fetched row is an object with a key in `id`\. What came: null/,
    },
  },
  "forgets a row": {
    spoil: (good) => ({ ...good, _fetch: () => good._fetch().slice(1) }),
    says: {
      "a create answers": /three creates make three rows\. What came: 2 rows/,
      "an update changes": /the row "row-1" is fetched/,
      "a delete removes": /which was not deleted, is still there/,
      "a fetched row": /the row "row-1" is fetched/,
      "keys with special characters": /is fetched/,
      "sends at the same time": /all arrive/,
      "a create sent twice": /makes one row\. What came: 0 rows/,
      "values survive": /the row "row-1" is fetched/,
      "a store creates": /one is left, with the key: \["row-1"\]\. What came: \[\]/,
      "a store loads": /a store loads the row "row-1"/,
    },
  },
  "lies about updates": {
    spoil: (good) => ({ ...good, _send: (item) => (item.action === "update" ? item.payload : good._send(item)) }),
    says: {
      "an update changes": /an update changes its row.*title is "Row 1", not "Row 1001"/,
      "an update of a missing row": /rejects as not found.*it resolved/,
      "keys with special characters": /the update of a row with a difficult key arrives/,
      "sends at the same time": /all arrive/,
      "a store creates": /the store's edit is at the endpoint/,
    },
  },
  "lies about deletes": {
    spoil: (good) => ({ ...good, _send: (item) => (item.action === "delete" ? undefined : good._send(item)) }),
    says: {
      "a delete removes": /the deleted row "row-1" is gone\. What came: rows with the keys \["row-1","row-2"\]/,
      "an update of a missing row": /rejects as not found.*it resolved/,
      "fetching one missing row": /gives null or undefined/,
      "keys with special characters": /can be deleted\. What came: \d+ of them are left/,
      "a store creates": /one is left, with the key: \["row-1"\]\. What came: \["row-1","row-2"\]/,
      "a store loads": /deleted elsewhere is gone/,
    },
  },
  "says no key": {
    spoil: (good) => ({ ...good, _send: (item) => void good._send(item) }),
    says: {
      ...METHODS,
      ...SIGNALS,
      "an empty endpoint": passes,
      // With keys of the client it is right.
      "keys with special characters": passes,
      "a store creates": /what a store creates is taken.*E_UNCERTAIN/,
      [EVERY_OTHER]: /the answer to a create says the new row's key as `id`\. What came: undefined/,
    },
  },
  "creates twice": {
    spoil: (good) => ({
      ...good,
      _send(item) {
        if (item.action === "create") good._send({ ...item, idempotencyKey: `${item.idempotencyKey} again` });
        return good._send(item);
      },
    }),
    says: {
      "a create answers": /three creates make three rows\. What came: 6 rows/,
      "an update changes": /an update makes no row\. What came: 4 rows/,
      "an update of a missing row": /makes no row\. What came: 1 rows/,
      "a create sent twice": /makes one row\. What came: 2 rows/,
      "a store creates": /of two rows one is left/,
    },
  },
  "ignores the idempotency key": {
    spoil: (good) => ({ ...good, _send: (item) => good._send({ ...item, idempotencyKey: {} }) }),
    says: { "a create sent twice": /both answers say the same key\. What came: \["row-1","row-2"\]/ },
  },
  "changes its payload": {
    spoil: (good) => ({
      ...good,
      _send(item) {
        const answer = good._send(item);
        for (const name of Object.keys(item.payload ?? {})) delete item.payload[name];
        return answer;
      },
    }),
    says: { "a payload is left": /a create leaves its payload as it was\. What came: payload.title is missing/ },
  },
  "takes the update of a missing row as done": {
    spoil: (good, table) => ({
      ...good,
      _send: (item) => (item.action === "update" && !table.rows.has(item.id) ? undefined : good._send(item)),
    }),
    says: { "an update of a missing row": /rejects as not found.*it resolved/ },
  },
  "gives its own rows out": {
    spoil: (good, table) => ({ ...good, _fetch: () => [...table.rows.values()] }),
    says: { "a fetched row": /can be changed without changing what is at the endpoint/ },
  },
  "loses null and what is in lists": {
    spoil: (good) => ({
      ...good,
      _send(item) {
        const kept = Object.entries(item.payload ?? {}).filter(([, value]) => value !== null && !Array.isArray(value));
        return good._send({ ...item, payload: Object.fromEntries(kept) });
      },
    }),
    says: { "values survive": /comes back as it was\. What came: the row.nothing is missing \(it was null\)/ },
  },
  "ends no subscription": {
    spoil: (good) => ({ ...good, _subscribe: () => undefined, onceAvailable: throws(new Error("no")) }),
    says: {
      "a live subscription": /gives the function that ends the subscription\. What came: undefined/,
      "a reachable endpoint": /`onceAvailable` of an endpoint that can be reached succeeds/,
      "a store": passes,
    },
  },
};

const at = ({ store, payload }) => JSON.stringify([store, payload._id]);
const STILL_THERE = /edits are still there after closing and reopening/;

/** As above; `spoil(good, records)`. */
const hostileStorages = {
  "rejects everything": {
    spoil: () => endless(() => Promise.reject(new Error("no"))),
    says: {
      ...METHODS,
      "an update of a missing record": passes,
      "a store's edits": /a store's edit is stored\. What came: ConcordiaError: E_STORAGE/,
      [EVERY_OTHER]: /succeeds\. What came: it threw Error: no/,
    },
  },
  "throws undefined": {
    spoil: () => endless(throws(undefined)),
    says: {
      ...METHODS,
      "a store's edits": /a store's edit is stored\. What came: ConcordiaError: E_STORAGE/,
      [EVERY_OTHER]: /is an Error\. What came: undefined/,
    },
  },
  hangs: {
    spoil: () => ({ ...endless(hang), timeout: 50 }),
    says: {
      ...METHODS,
      "a store's edits": /a store's edit is stored\. What came: ConcordiaError: E_STORAGE/,
      [EVERY_OTHER]: /settles within \d+ ms.*still pending/,
    },
  },
  "rejects its first fetch, and takes writes": {
    spoil: (good) => ({ ...good, _fetch: () => Promise.reject(new Error("no")) }),
    says: {
      ...METHODS,
      "a store's edits": /a store's edit is (stored|sent)/,
      [EVERY_OTHER]: /the first fetch succeeds\. What came: it threw Error: no/,
    },
  },
  "resolves its fetch with text": {
    spoil: (good) => ({ ...good, _fetch: () => "<html>" }),
    says: {
      ...METHODS,
      "a store's edits": /E_STORAGE/,
      [EVERY_OTHER]: /the first fetch gives an array of records\. What came: "<html>"/,
    },
  },
  "resolves its fetch with nonsense": {
    spoil: (good) => ({ ...good, _fetch: () => [null, 1, "x", [], {}, { _id: {} }] }),
    says: {
      ...METHODS,
      "a store's edits": STILL_THERE,
      [EVERY_OTHER]: /every record is an object with the key.*What came: null/,
    },
  },
  "loses _sync": {
    spoil(good) {
      const without = ({ _sync, ...record }) => record;
      return { ...good, _send: (item) => good._send({ ...item, payload: without(item.payload) }) };
    },
    says: {
      ...METHODS,
      "a fresh storage": passes,
      "a store's edits": STILL_THERE,
      [EVERY_OTHER]: /record( [^ ]+| ".*")?\._sync is missing/,
    },
  },
  "changes its payload": {
    spoil: (good) => ({
      ...good,
      _send(item) {
        good._send(item);
        item.payload.title = "changed";
      },
    }),
    says: { "a payload is left": /a write leaves its payload as it was\. What came: payload.title is "changed"/ },
  },
  "keeps the payload itself": {
    spoil: (good, records) => ({
      ...good,
      _send: (item) => void (item.action === "delete" ? good._send(item) : records.set(at(item), item.payload)),
    }),
    says: { "a payload is left": /a payload that is changed later does not change what is stored/ },
  },
  "gives its own records out": {
    spoil: (good, records) => ({
      ...good,
      _fetch: (store) => [...records].filter(([key]) => JSON.parse(key)[0] === store).map(([, record]) => record),
    }),
    says: { "a record that was given out": /can be changed without changing it/ },
  },
  "ignores deletes": {
    spoil: (good) => ({ ...good, _send: (item) => (item.action === "delete" ? undefined : good._send(item)) }),
    says: {
      "a delete erases": /a deleted record is gone\. What came: it is still there/,
      "a write can be repeated": /the same delete twice leaves no record/,
      "a removed record": /is gone once it is deleted/,
      "keys with special characters": /can be deleted\. What came: \d+ of them are left/,
      "everything is found": /what was deleted is not there after reopening/,
      "a store's edits": /nothing is sent again once it was taken/,
    },
  },
  "erases what is removed": {
    spoil: (good) => ({ ...good, remove: (item) => good._send({ ...item, action: "delete" }) }),
    says: {
      "a removed record": /a removed record stays, with its new `_sync`/,
      "a store's edits": STILL_THERE,
    },
  },
  "merges updates": {
    spoil: (good, records) => ({
      ...good,
      _send: (item) => good._send({ ...item, payload: { ...records.get(at(item)), ...item.payload } }),
    }),
    says: {
      "an update replaces": /what the new one has not is gone/,
      "a store's edits": /edits are sent once after reopening/,
    },
  },
  "writes later": {
    spoil: (good) => ({ ...good, _send: async (item) => void setTimeout(() => good._send(item), 20) }),
    says: {
      ...METHODS,
      "a fresh storage": passes,
      "writes to one record": passes,
      "a store's edits": STILL_THERE,
      [EVERY_OTHER]: /What came: (no (such )?record|0 records)/,
    },
  },
  "lets an older write overtake a newer one": {
    spoil: (good) => ({
      ...good,
      _send: async (item) =>
        void (good._send(item), setTimeout(() => item.action === "create" && good._send(item), 20)),
    }),
    says: {
      "a write can be repeated": passes,
      "writes to one record": /the last one stays\. What came: the record.title is "Row 0", not "Row 19"/,
      "a store's edits": /still there after|nothing is sent again|are sent once/,
    },
  },
  "mixes stores": {
    spoil: (good) => ({
      ...good,
      _send: (item) => good._send({ ...item, store: "one" }),
      _fetch: () => good._fetch("one"),
    }),
    says: { "stores that share a storage": /do not see each other's records/ },
  },
  "gives 100 records": {
    spoil: (good) => ({ ...good, _fetch: (store) => good._fetch(store).slice(0, 100) }),
    says: { "1000 records": /1000 records come back\. What came: 100 records/ },
  },
  "is empty when it is reopened": {
    spoil: (good) => good,
    reopen: () => plainStorage(),
    says: {
      "everything is found": /what was written is there after reopening/,
      "a store's edits": STILL_THERE,
    },
  },
  "refuses to create twice": {
    spoil: (good, records) => ({
      ...good,
      _send(item) {
        if (item.action === "create" && records.has(at(item))) throw new Error("there is one");
        return good._send(item);
      },
    }),
    says: { "a write can be repeated": /there is one\. What to do: let a create write over a record that is there/ },
  },
};

/** What each case says: undefined, or its error. All at once, since each has an endpoint of its own. */
async function verdicts(suite) {
  const settled = await Promise.allSettled(suite.map(({ run }) => run()));
  return suite.map(({ name }, place) => [name, settled[place].reason]);
}

function assertVerdict(name, error, says) {
  // The longest beginning that fits says most.
  const [key] = Object.keys(says)
    .filter((beginning) => name.startsWith(beginning))
    .sort((one, other) => other.length - one.length);
  const expected = key === undefined ? says[EVERY_OTHER] : says[key];
  if (expected === undefined) {
    assert.equal(error, undefined, `"${name}" passes, but: ${error?.message}`);
    return;
  }
  assert.ok(error instanceof Error, `"${name}" fails`);
  assert.equal(error.name, "ConformanceError", `"${name}": ${error.stack}`);
  assert.match(error.message, expected, `"${name}"`);
  assert.match(error.message, /^expected: .+\. What came: .+\. What to do: .+\.$/s);
}

describe("the suite fails a transporter that", () => {
  for (const [does, { spoil, says }] of Object.entries(hostileTransporters))
    test(does, async () => {
      const make = () => {
        const table = new Table();
        return spoil(plainTransporter(table), table);
      };
      const cases = transporterSuite({ make, ...IDEMPOTENT, timeoutMs: LIMIT_MS });
      for (const [name, error] of await verdicts(cases)) assertVerdict(name, error, says);
    });
});

describe("the suite fails a client storage that", () => {
  for (const [does, { spoil, says, reopen }] of Object.entries(hostileStorages))
    test(does, async () => {
      const make = () => {
        const records = new Map();
        return { clientStorage: spoil(plainStorage(records), records), reopen };
      };
      for (const [name, error] of await verdicts(clientStorageSuite({ make, timeoutMs: LIMIT_MS })))
        assertVerdict(name, error, says);
    });
});

test("a suite without `make`, or with one that gives nothing, says what is missing", async () => {
  assert.throws(() => transporterSuite(), /the suite needs `make`/);
  assert.throws(() => clientStorageSuite({}), /the suite needs `make`/);
  const [{ run }] = transporterSuite({ make: () => undefined });
  await assert.rejects(run(), /`make\(\)` gives an object, or `\{ transporter, … \}`\. What came: undefined/);
});

test("cases of what only some endpoints can do are there when they are asked for", () => {
  const names = (options) => transporterSuite({ make: plainTransporter, ...options }).map(({ name }) => name);
  const [some, all] = [names(), names(IDEMPOTENT)];
  assert.deepEqual(
    all.filter((name) => !some.includes(name)),
    ["keys with special characters survive", "a create sent twice under one idempotency key makes one row"],
  );
  const sizes = [true, false].map((severalStores) => clientStorageSuite({ make: plainStorage, severalStores }).length);
  assert.equal(sizes[0] - sizes[1], 1);
});

// -------------------------------------------------------------------------------------------------- a store over them

/** The longest pause before something is tried again is a minute. */
const PATIENCE_MS = 90_000;
let stores = 0;

function openStore(t, ends) {
  const store = new Store({ name: `hostile-${++stores}`, schema: new Schema({ title: String }), ...ends });
  t.after(() => store.close());
  return store;
}

async function until(what, check, ms = PATIENCE_MS) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (await check()) return;
  assert.fail(`${what}: not within ${ms} ms`);
}

/** These tests wait more than they work. */
const WAITING = { concurrency: true };

/** Creates three, edits one, removes one; while that goes on and after it, every edit is accounted for. */
async function workOver(t, ends) {
  const store = openStore(t, ends);
  const items = ["one", "two", "three"].map((title) => store.create({ title }));
  const refused = [];
  const promises = () =>
    items.flatMap((item) => [item.onceStored(), item.onceSynced()]).map((each) => each.catch((e) => refused.push(e)));
  promises();
  const accountFor = () => {
    const waiting = new Map(store.pending().map(({ item, state }) => [item, state]));
    for (const item of items)
      assert.ok(
        item.synced || ["queued", "sending", "waiting", "parked"].includes(waiting.get(item)),
        `"${item.title}" is neither synced nor pending`,
      );
    assert.equal(store.status.pending, store.pending().length);
  };

  await watch(120, accountFor);
  items[0].title = "one edited";
  items[1].remove();
  promises();
  await watch(250, accountFor);
  assert.deepEqual(
    store.items.map(({ title }) => title),
    ["one edited", "three"],
    "what was edited here is what is seen here",
  );
  return { store, items, refused };
}

async function watch(ms, check) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) check();
}

async function closeWithin(store) {
  const closed = store.close().then(() => "closed");
  assert.equal(await Promise.race([closed, sleep(5000, "open", { ref: false })]), "closed", "close() settles");
}

function assertOurs(refused) {
  for (const error of refused) assert.match(error.code ?? String(error), /^E_[A-Z_]+$/, `${error}`);
}

const isUsable = ([does]) => does !== "lacks methods";

describe("a store loses no edit, and nothing is thrown in the page, over a transporter that", WAITING, () => {
  for (const [does, { spoil }] of Object.entries(hostileTransporters).filter(isUsable))
    test(does, async (t) => {
      const table = new Table();
      const { store, refused } = await workOver(t, {
        transporter: spoil(plainTransporter(table), table),
        clientStorage: plainStorage(),
      });
      assert.equal(store.status.durable, true);
      await closeWithin(store);
      assertOurs(refused);
    });
});

describe("a store loses no edit, and nothing is thrown in the page, over a client storage that", WAITING, () => {
  for (const [does, { spoil }] of Object.entries(hostileStorages))
    test(does, async (t) => {
      const [table, records] = [new Table(), new Map()];
      const clientStorage = spoil(plainStorage(records), records);
      const { store, items, refused } = await workOver(t, { transporter: plainTransporter(table), clientStorage });
      const isSent = () => items.every(({ synced }) => synced);
      await until("every edit is sent, stored or not", isSent, 10_000);
      assert.deepEqual(
        table.list().map(({ title }) => title),
        ["one edited", "three"],
      );
      await closeWithin(store);
      assertOurs(refused);
    });
});

/** An end whose sends do wrong until it is healed. */
function patient(spoiled, good) {
  let isSick = true;
  const end = { ...good, _send: (req) => (isSick ? spoiled : good)._send(req), timeout: spoiled.timeout };
  return { end, heal: () => (isSick = false) };
}

const REFUSING = ["rejects everything", "throws synchronously", "throws undefined", "rejects with text", "hangs"];

describe(
  "once both ends are healed every edit arrives, at a transporter and a client storage of which each",
  WAITING,
  () => {
    for (const does of REFUSING)
      test(does, async (t) => {
        const [table, records] = [new Table(), new Map()];
        const { spoil } = hostileTransporters[does];
        const server = patient(spoil(), plainTransporter(table));
        const disk = patient(spoil(), plainStorage(records));
        const { store, items, refused } = await workOver(t, { transporter: server.end, clientStorage: disk.end });
        assert.equal(store.status.durable, false);
        assert.equal(store.status.storageError.code, "E_STORAGE");
        assert.deepEqual(table.list(), []);

        server.heal();
        disk.heal();
        for (const edit of store.pending()) edit.retry();
        await until("nothing is pending", () => store.status.pending === 0);
        items[2].title = "three edited";
        await until("all is stored and sent", () => items.every(({ stored, synced }) => stored && synced));
        assert.equal(store.status.durable, true);
        const titles = (list) => list.map(({ title }) => title).sort();
        assert.deepEqual(titles(table.list()), ["one edited", "three edited"]);
        assert.deepEqual(titles([...records.values()]), ["one edited", "three edited"]);
        await closeWithin(store);
        assertOurs(refused);
      });
  },
);

test("an edit that a transporter refuses is parked, with the status and the body that it gave", async (t) => {
  const table = new Table();
  const body = { title: "no such colour" };
  let refuses = true;
  const transporter = {
    ...plainTransporter(table),
    _send(item) {
      if (refuses) throw new TransporterError("rejected", { status: 422, body });
      return table.write(item);
    },
  };
  const store = openStore(t, { transporter, clientStorage: plainStorage() });
  const item = store.create({ title: "green" });
  await assert.rejects(item.onceSynced(), { code: "E_REJECTED", status: 422 });
  const [edit] = store.pending();
  assert.equal(edit.state, "parked");
  assert.deepEqual([edit.reason.status, edit.reason.body], [422, body]);
  refuses = false;
  edit.retry();
  await until("it is sent after all", () => item.synced);
  assert.deepEqual(table.list(), [{ title: "green", id: item.id }]);
});
