// The two ends of a store as page script makes them: base classes to extend, the package's own transporter and client storage, and
// what is demanded of any other object.

import {
  database,
  databaseLoad,
  databaseWrite,
  httpExchange,
  httpOptions,
  httpPrepare,
  httpTransporter,
  keeper,
  WireAction,
} from "./wasm/concordia.js";
import { ConcordiaError, readBody, toError } from "./error.js";
import { CHECKER, FACTS, FRESH, GO_ON, Keeper, Link, TransporterError, problemOf } from "./link.js";
import { Live } from "./live.js";
import { middlewareOf, place } from "./middleware.js";
import { HttpOfflineChecker } from "./offline-checker.js";
import { goOn, isConditional, onward, scopeOf } from "./paging.js";
import { calling, demandReady } from "./page.js";

const NEEDED = ["_prepareSend", "_send", "_fetch"];

/** A method that whoever extends a base class has to write. */
const missing = (name) => {
  const method = () => {
    throw new ConcordiaError("E_OPTIONS", `\`${name}\` has to be written by the class that extends this one`);
  };
  return Object.assign(method, { isMissing: true });
};

/** What transporters and client storages have in common. */
export class BaseTransporter {
  static middleware = [];

  static add(middleware) {
    place(this.middleware, middleware);
  }

  /** Middleware of this instance alone, run after the class's. */
  ownMiddleware = [];
  /** The stores that use it. */
  #stores = new Set();

  use(middleware) {
    place(this.ownMiddleware, middleware);
    return this;
  }

  async push() {
    await Promise.all([...this.#stores].map((store) => store.flush()));
  }

  async pushOne(__id) {
    await Promise.all([...this.#stores].filter((store) => store.owns(__id)).map((store) => store.flush()));
  }

  /** Notes that a store uses it, or no longer does; for the package's own use. */
  static attach(end, store, uses) {
    if (!(end instanceof BaseTransporter)) return;
    if (uses) end.#stores.add(store);
    else end.#stores.delete(store);
  }

  static {
    for (const name of [...NEEDED, "_fetchOne"]) this.prototype[name] = missing(name);
  }

  _prepareFetch(way) {
    return way;
  }

  _prepareFetchOne(item) {
    return item;
  }

  _prepareInitialFetch(...args) {
    return this._prepareFetch(...args);
  }

  _initialFetch(req, reading) {
    return this._fetch(req, reading);
  }
}

/** An end that leads to a server. */
export class Transporter extends BaseTransporter {
  static middleware = [...BaseTransporter.middleware];
}

/** An end that leads to a local database. */
export class ClientStorage extends BaseTransporter {
  static middleware = [...BaseTransporter.middleware];

  /** Keeps the record of an item that is removed here and not yet there. */
  remove(queueItem) {
    return Promise.resolve(this._prepareSend({ ...queueItem, action: "update" })).then((req) => this._send(req));
  }

  static {
    // Unless it is overridden, the record is sent as an update, past the middleware.
    this.prototype.remove.isDefault = true;
  }
}

/** No end at all: that target does not exist. */
export class EmptyTransporter extends BaseTransporter {}

/** The place of a collection's body among the facts of an exchange. */
const BODY = 16;

/** What an exchange came to. */
function answerOf(facts, req) {
  const [ending, status, kind, data, text, wait, location, version, res] = facts;
  // Nothing has changed. Whoever looks at the rows sees none.
  if (ending === 3 && status === 304) return { data: [], complete: false, status, version, res, req };
  if (ending === 3 && status < 300 && kind <= 1) return { data, status, version, location, res, req, [FRESH]: true };
  const kinds = { 401: "unauthorized", 404: "notFound", 409: "conflict", 410: "notFound", 412: "conflict" };
  const name =
    ending === 0 ? "unreachable" : (kinds[status] ?? (status >= 400 && status < 500 ? "rejected" : "failed"));
  const body = readBody(text);
  facts[13] = problemOf(body);
  const how = ending === 3 ? { status } : { cause: status && new Error(status) };
  const retryAfterMs = /^\d+$/.test(wait) ? Number(wait) * 1000 : undefined;
  const error = new TransporterError(name, { ...how, body, retryAfterMs });
  // Whoever logs an error logs what can be enumerated: no header and no cookie is to be among that.
  throw Object.defineProperties(error, { res: { value: res }, [FACTS]: { value: facts } });
}

/** A REST server, reached by `fetch`. */
export class HttpTransporter extends Transporter {
  static middleware = [...Transporter.middleware];
  static baseUrl;
  /** The checkers of all transporters; the first that speaks for a collection's address counts. */
  static offlineCheckers = [];
  #number;
  #options;
  /** Whether another origin may have refused to be shown what an earlier answer gave. */
  #isShy = false;

  static addOfflineChecker(checker) {
    const made = checker instanceof HttpOfflineChecker ? checker : new HttpOfflineChecker(checker);
    HttpTransporter.offlineCheckers.push(made);
  }

  constructor(options) {
    demandReady();
    super();
    const baseUrl = options?.baseUrl ?? new.target.baseUrl;
    const { offlineChecker } = options ?? {};
    if (offlineChecker !== undefined && !(offlineChecker instanceof HttpOfflineChecker))
      throw new ConcordiaError("E_OPTIONS", "the option `offlineChecker` must be an HttpOfflineChecker");
    this.#number = calling(() => httpTransporter({ ...options, ...(baseUrl === undefined ? {} : { baseUrl }) }));
    this.#options = httpOptions(this.#number);
    const { origin, path, basePath, timeout, patches, conditional } = this.#options;
    Object.assign(this, {
      origin,
      path,
      basePath,
      timeout,
      conditional,
      update: patches ? "PATCH" : "PUT",
      offlineChecker,
    });
    this.scope = scopeOf(this.#options);
  }

  /** Who can tell whether the collection can be reached, if anybody can; for the package's own use. */
  [CHECKER]() {
    return this.offlineChecker ?? HttpTransporter.offlineCheckers.find((one) => one.test(this.#options.basePath));
  }

  /** The request for a page, or for what has changed; for the package's own use. */
  [GO_ON](req, reading) {
    return goOn(this.#options, req, this.#isShy && typeof reading.cursor === "object" ? {} : reading);
  }

  /** Changes made elsewhere, if the option `live` says where they are told; returns what ends it. */
  _subscribe(listener, store) {
    if (this.#options.live === undefined) return () => {};
    const alone = { connection: () => "online", complained: () => {}, missed: () => listener("refetch") };
    const live = new Live(this.#options.live, { ...alone, ...store, heard: listener });
    return Object.assign(() => live.close(), { told: () => live.told() });
  }

  #prepare(action, id, body, key, version) {
    const text = id === undefined || id === null ? undefined : String(id);
    // On its way into the engine half a pair becomes another character, and that would be another item's address.
    if (text !== undefined && /\p{Surrogate}/u.test(text))
      throw new ConcordiaError("E_UNSAFE_ID", "the item's key is no Unicode text, so it cannot be put into a path");
    return calling(() => httpPrepare(this.#number, action, text, body, key, version));
  }

  async #exchange(req, action) {
    return answerOf(await httpExchange(this.#number, req, action), req);
  }

  _prepareSend({ action, payload, id, idempotencyKey, version }) {
    const wire = { create: WireAction.Create, update: WireAction.Update, delete: WireAction.Delete }[action];
    return this.#prepare(wire, id, payload, idempotencyKey, version);
  }

  _send(req) {
    return this.#exchange(req, WireAction.Update);
  }

  _prepareFetch() {
    return this.#prepare(WireAction.FetchAll);
  }

  async _fetch(req) {
    const facts = await httpExchange(this.#number, req, WireAction.FetchAll);
    // A server of another origin has to allow the header, and a browser does not say that this was the reason. What is not shown it
    // the next time tells.
    const here = globalThis.location?.origin;
    if (facts[0] === 0 && here !== undefined && here !== this.origin) this.#isShy = isConditional(req);
    const answer = answerOf(facts, req);
    return answer.status === 304 ? answer : { ...answer, ...onward(this.#options, req, answer.res, facts[BODY]) };
  }

  _prepareFetchOne(item) {
    return this.#prepare(WireAction.FetchOne, typeof item === "object" ? item?.id : item);
  }

  _fetchOne(req) {
    return this.#exchange(req, WireAction.FetchOne);
  }
}

/** A record as a row of the database, and back. */
const COLUMNS = 3;

/** The version of a record's schema stands behind the columns, as the engine writes it. */
const VERSION = "_schemaVersion";

function toRow({ record, key, remoteKey }) {
  const { _sync, [VERSION]: version, ...values } = record;
  const columns = Object.keys(values);
  return [key, remoteKey, _sync, version === undefined ? columns : [...columns, version], ...Object.values(values)];
}

function toRecord(row, { key, storageKey }) {
  const named = row[COLUMNS].map((name, at) => [
    typeof name === "number" ? VERSION : name,
    typeof name === "number" ? name : row[COLUMNS + 1 + at],
  ]);
  const record = Object.fromEntries(named);
  record[storageKey] = row[0];
  if (row[1] !== undefined) record[key] = row[1];
  if (row[2] !== undefined) record._sync = row[2];
  return record;
}

/** What the database refuses, as an error. */
export const kept = (act) =>
  calling(act).catch((fault) => {
    throw toError(fault);
  });

/** The number of the browser's own database with these options. */
export function openDatabase({ database: name = "concordia", durability = "relaxed", persist = true } = {}) {
  demandReady();
  if (durability !== "relaxed" && durability !== "strict")
    throw new ConcordiaError("E_OPTIONS", '`durability` is "relaxed" or "strict"');
  if (typeof name !== "string") throw new ConcordiaError("E_OPTIONS", "`database` must be a name");
  if (typeof persist !== "boolean") throw new ConcordiaError("E_OPTIONS", "`persist` is true or false");
  return calling(() => database(name, durability === "strict", persist));
}

/** The browser's own database. */
export class IndexedDbClientStorage extends ClientStorage {
  static middleware = [...ClientStorage.middleware];
  #number;

  constructor(options) {
    super();
    this.#number = openDatabase(options);
  }

  _prepareSend({ action, payload, _id, id, store }) {
    return { action, record: payload, key: _id, remoteKey: id, store };
  }

  _send(req) {
    const erased = req.action === "delete";
    // Whose record is erased was read, or written, here.
    const version = erased ? 0 : (req.record[VERSION] ?? 1);
    const [puts, gone] = erased ? [[], [req.key]] : [[toRow(req)], []];
    return kept(() => databaseWrite(this.#number, req.store, puts, gone, version));
  }

  _prepareFetch(names) {
    return names;
  }

  async _fetch(names) {
    const rows = await kept(() => databaseLoad(this.#number, names.store));
    return rows.map((row) => toRecord(row, names));
  }

  /** The engine's number, if nothing of page script stands between the engine and the database; for the package's own use. */
  static open(storage) {
    if (!(#number in storage)) return undefined;
    const methods = [...NEEDED, "_prepareFetch", "_prepareInitialFetch", "_initialFetch", "remove"];
    const own = methods.every((name) => storage[name] === IndexedDbClientStorage.prototype[name]);
    return own && middlewareOf(storage).length === 0 ? storage.#number : undefined;
  }
}

/** Demands the methods that every end must have; one error lists all that are missing. */
function demandMethods(end, option) {
  const lacking = NEEDED.filter((name) => typeof end[name] !== "function" || end[name].isMissing);
  if (lacking.length > 0)
    throw new ConcordiaError(
      "E_OPTIONS",
      `\`${option}\` needs the methods ${lacking.map((name) => `\`${name}\``).join(", ")}`,
    );
}

const isAbsent = (end) => end === undefined || end instanceof EmptyTransporter;

function demandObject(end, option) {
  if (typeof end !== "object" || end === null)
    throw new ConcordiaError(
      "E_OPTIONS",
      `\`${option}\` must be an object: a transporter, or an EmptyTransporter for none`,
    );
}

/** The link to a store's transporter; nothing for none. For `told` and `shape` see `Link`. */
export function openTransporter(transporter, store, told, shape) {
  if (isAbsent(transporter)) return undefined;
  demandObject(transporter, "transporter");
  demandMethods(transporter, "transporter");
  return new Link(transporter, store, told, shape);
}

/** The number of a store's client storage; nothing for none. */
export function openClientStorage(storage, names) {
  if (isAbsent(storage)) return undefined;
  demandObject(storage, "clientStorage");
  const number = storage instanceof IndexedDbClientStorage ? IndexedDbClientStorage.open(storage) : undefined;
  if (number !== undefined) return number;
  demandMethods(storage, "clientStorage");
  return calling(() => keeper(new Keeper(storage, names)));
}
