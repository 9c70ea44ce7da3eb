// A store as page script uses it: items by their number, listeners, and calls into the engine.

import { Fact, StoreHandle, Wish } from "./wasm/concordia.js";
import { inClientStorage, fromServer } from "./constants.js";
import { nextEpoch } from "./epoch.js";
import { ConcordiaError, readBody, toError } from "./error.js";
import { itemClass } from "./item.js";
import { calling, demandReady, listen, promise } from "./page.js";
import { enrol } from "./reference.js";
import { Schema } from "./schema.js";
import { BaseTransporter, EmptyTransporter, openClientStorage, openTransporter } from "./transporter.js";

const POLICIES = ["merge", "local", "remote"];
const UNCERTAIN = ["retry", "ask"];

const ACTIONS = ["create", "update", "delete"];

let unnamed = 0;

function cloned(data) {
  try {
    return structuredClone(data);
  } catch (cause) {
    throw new ConcordiaError("E_NOT_CLONEABLE", "a change made elsewhere holds what cannot be kept", { cause });
  }
}

/** What of a definition says how rows look. */
const outline = ({ name, kind, properties, items }) => [name, kind, properties?.map(outline), items && outline(items)];

export class Store {
  #handle;
  #name;
  #Item;
  #all = new Map();
  /** Removed here, perhaps not yet there: still shown by pending(). */
  #tombstones = new Set();
  #items = [];
  #stale = false;
  #listeners = new Set();
  #key;
  #link;
  #ends;
  #unfollow;
  /** What the schema's validator makes of values; nothing without one. */
  #accepted;

  constructor(options) {
    demandReady();
    const { schema, transporter, clientStorage, name, options: more = {} } = options ?? {};
    if (!(schema instanceof Schema))
      throw new ConcordiaError("E_OPTIONS", "a store needs a `schema`: `new Store({schema: new Schema({…}), …})`");
    const { onConflict = "merge", onUncertainCreate = "retry" } = more;
    if (typeof onConflict !== "function" && !POLICIES.includes(onConflict))
      throw new ConcordiaError("E_OPTIONS", '`onConflict` is "merge", "local", "remote" or a function');
    if (!UNCERTAIN.includes(onUncertainCreate))
      throw new ConcordiaError("E_OPTIONS", '`onUncertainCreate` is "retry" or "ask"');
    const { handle, fields, primary, key, storageKey, validate } = Schema.read(schema, this);
    this.#name = String(name ?? transporter?.path ?? this.#nameless(clientStorage));
    const decide = (item, base, local, remote, status) => {
      const [at, sides] = [this.#all.get(item), [base, local, remote].map((row) => this.#Item.values(row))];
      return onConflict({ item: at, base: sides[0], local: sides[1], remote: sides[2], status });
    };
    const wish = (what) => () => this.#want(what);
    const told = {
      reachable: wish(Wish.Reachable),
      lost: wish(Wish.Lost),
      authorized: wish(Wish.Authorized),
      decide,
    };
    this.#link = openTransporter(transporter, this.#name, told, JSON.stringify(fields.map(outline)));
    const storage = openClientStorage(clientStorage, { store: this.#name, key, storageKey });
    const policy = typeof onConflict === "function" ? "ask" : onConflict;
    const asks = onUncertainCreate === "ask";
    this.#handle = calling(() => new StoreHandle(this.#name, handle, this.#link, storage, policy, asks));
    this.#key = key;
    this.#accepted = validate && validated(validate, fields);
    this.#ends = [transporter, clientStorage];
    const face = {
      handle: this.#handle,
      key,
      storageKey,
      primary,
      accepted: this.#accepted,
      autoSave: more.autoSave !== false,
      watched: () => this.#listeners.size > 0,
      inWay: (item, args) => this.#link?.inWay(`item ${item}`, args),
    };
    this.#Item = itemClass(face, fields);
    listen(this.#handle.id, {
      changed: (added, rows, updated, removed) => this.#changed(added, rows, updated, removed),
      made: (item, row) => this.#made(item, row),
      touched: (item) => this.#touched(item),
    });
    enrol(this, this.#handle.id, {
      find: ({ remote, stored }) => this.#at(remote, false) ?? this.#at(stored, true),
      keys: (value) => this.#Item.keys(value),
    });
    for (const end of this.#ends) BaseTransporter.attach(end, this, true);
    this.#follow(transporter);
  }

  /** What needs neither an item nor an answer. */
  #want(wish) {
    calling(() => this.#handle.want(wish, 0, 0));
  }

  /** Takes in what the transporter tells of changes made elsewhere. */
  #follow(transporter) {
    if (this.#link === undefined || typeof transporter._subscribe !== "function") return;
    const connection = () => this.status.connection;
    const complained = (why) => calling(() => this.#handle.heard([], [], why));
    const missed = () => this.#want(Wish.Missed);
    const heard = (change) => {
      if (change === "refetch") return void this.fetch().catch(() => {});
      if (!ACTIONS.includes(change?.action))
        throw new ConcordiaError("E_OPTIONS", 'a change made elsewhere is {action, data}, or "refetch"');
      const { action, data } = change;
      const key = typeof data === "object" && data !== null ? data[this.#key] : data;
      if (action === "delete" && typeof key !== "string" && typeof key !== "number")
        throw new ConcordiaError("E_OPTIONS", "a deletion made elsewhere needs the key of the item");
      if (action === "delete") calling(() => this.#handle.heard([], [key]));
      else calling(() => this.#handle.heard([cloned(data)], []));
      return undefined;
    };
    this.#unfollow = transporter._subscribe(heard, { connection, complained, missed });
  }

  /** Rows are found again by the store's name; without a database nobody looks for them. */
  #nameless(clientStorage) {
    if (clientStorage === undefined || clientStorage instanceof EmptyTransporter) return `store-${++unnamed}`;
    throw new ConcordiaError("E_OPTIONS", "a store with a `clientStorage` and no HttpTransporter needs a `name`");
  }

  #changed(added, rows, updated, removed) {
    if (this.#tombstones.size > 0) this.#bury();
    this.#unfollow?.told?.();
    if (removed.length > 0) nextEpoch();
    if (added.length + updated.length + removed.length > 0) this.#stale = true;
    for (let at = 0; at < added.length; at++) this.#add(added[at], rows[at]);
    for (const number of removed) {
      this.#tombstones.add(number);
      this.#Item.told(this.#all.get(number), true);
    }
    if (this.#Item.anyListeners()) for (const number of [...added, ...updated, ...removed]) this.#tellItem(number);
    if (this.#listeners.size > 0) this.#tell(added, updated, removed);
  }

  /** One item came, and nothing else: the usual case, told without lists. */
  #made(number, row) {
    if (this.#isHeard()) this.#changed([number], [row], [], []);
    else {
      this.#stale = true;
      this.#add(number, row);
    }
  }

  /** One item changed, and nothing else. */
  #touched(number) {
    if (this.#isHeard()) this.#changed([], [], [number], []);
    else this.#stale = true;
  }

  #isHeard() {
    return this.#listeners.size > 0 || this.#tombstones.size > 0 || this.#Item.anyListeners();
  }

  #add(number, row) {
    const known = this.#all.get(number);
    if (known === undefined) {
      this.#all.set(number, new this.#Item(number, row));
      return;
    }
    this.#tombstones.delete(number);
    this.#Item.told(known, false);
  }

  #tellItem(number) {
    const item = this.#all.get(number);
    if (item !== undefined) for (const listener of this.#Item.listeners(item)) call(listener, item);
  }

  #tell(added, updated, removed) {
    const items = (numbers) =>
      Array.from(numbers, (number) => this.#all.get(number)).filter((item) => item !== undefined);
    const change = { added: items(added), updated: items(updated), removed: items(removed), status: this.status };
    for (const listener of [...this.#listeners]) call(listener, change);
  }

  /** Lets go of removed items of which the engine has nothing more to say. */
  #bury() {
    for (const number of this.#tombstones)
      if (this.#handle.is(Fact.Synced, number)) {
        this.#tombstones.delete(number);
        this.#all.delete(number);
      }
  }

  get name() {
    return this.#name;
  }

  get items() {
    if (this.#stale) {
      this.#stale = false;
      this.#items = Object.freeze([...this.#all.values()].filter((item) => !item.removed));
      // From here on somebody may hold this array: the next edit has to be seen.
      nextEpoch();
    }
    return this.#items;
  }

  get loaded() {
    return calling(() => this.#handle.loaded);
  }

  isLoaded() {
    return this.loaded;
  }

  onceLoaded() {
    return promise((token) => this.#handle.want(Wish.OnceLoaded, 0, token));
  }

  create(values, source) {
    const isRemote = fromServer(source);
    const given = this.#accepted === undefined || isRemote ? values : this.#accepted(values);
    const number = calling(() => this.#handle.create(given, isRemote));
    return this.#all.get(number);
  }

  find(match) {
    return this.items.filter(matcher(match));
  }

  findOne(match) {
    return this.items.find(matcher(match));
  }

  findById(key, source) {
    return this.#all.get(calling(() => this.#handle.find(key, inClientStorage(source))));
  }

  #at(key, stored) {
    return key === undefined ? undefined : this.#all.get(calling(() => this.#handle.find(key, stored)));
  }

  findOneOrFetch(key, source) {
    const value = this.#primaryKey(key);
    return this.findById(value, source) ?? this.fetchAndCreate(key, source);
  }

  fetchAndCreate(key) {
    return this.#all.get(calling(() => this.#handle.awaitItem(this.#primaryKey(key))));
  }

  #primaryKey(key) {
    const names = Object.keys(key ?? {});
    if (names.length === 1 && names[0] === this.#key) return key[this.#key];
    throw new ConcordiaError("E_NOT_A_KEY", `give the primary key and nothing else: {${this.#key}: …}`);
  }

  fetch(source, ...args) {
    let way;
    return promise((token) => {
      way = token;
      this.#link?.inWay(token, args);
      this.#handle.want(args.length > 0 ? Wish.FetchOwn : Wish.Fetch, 0, token);
    }).finally(() => this.#link?.noWay(way));
  }

  subscribe(listener) {
    nextEpoch();
    const own = (change) => listener(change);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  pending() {
    return calling(() => this.#handle.pending()).map(({ item, reason, ...edit }) => ({
      ...edit,
      item: this.#all.get(item) ?? this.#tombstone(item),
      ...(reason && { reason: { ...reason, ...(reason.body !== undefined && { body: readBody(reason.body) }) } }),
      retry: () => calling(() => this.#handle.want(Wish.Retry, item, 0)),
      discard: () => calling(() => this.#handle.want(Wish.Discard, item, 0)),
    }));
  }

  /** An item that was removed before this page was opened. */
  #tombstone(number) {
    const item = new this.#Item(number, this.#handle.row(number));
    this.#Item.told(item, true);
    this.#tombstones.add(number);
    this.#all.set(number, item);
    return item;
  }

  flush() {
    return promise((token) => this.#handle.want(Wish.Flush, 0, token));
  }

  pause() {
    this.#want(Wish.Pause);
  }

  resume() {
    this.#want(Wish.Resume);
  }

  get status() {
    const { storageError, lastError, ...status } = calling(() => this.#handle.status);
    if (storageError) status.storageError = toError(storageError);
    if (lastError) status.lastError = toError(lastError);
    return status;
  }

  /** Whether the item is one of this store's. */
  owns(__id) {
    return this.#all.has(Number(__id));
  }

  async close() {
    if (typeof this.#unfollow === "function") this.#unfollow();
    this.#unfollow = undefined;
    for (const end of this.#ends) BaseTransporter.attach(end, this, false);
    this.#link?.close();
    await promise((token) => this.#handle.want(Wish.Close, 0, token));
    this.#listeners.clear();
    calling(() => this.#handle.releaseDatabases());
  }
}

/** What a validator makes of edits, as edits: it is shown all values of the item as they would be, keys left out, and may change
 *  them. `current(name)`: the value of now. */
function validated(validate, fields) {
  return (edits, current) => {
    if (typeof edits !== "object" || edits === null) return edits;
    const whole = {};
    for (const { name, default: byDefault } of fields) {
      const given = edits[name] !== undefined || (current !== undefined && name in edits);
      const value = given ? edits[name] : current === undefined ? byDefault : current(name);
      if (value !== undefined) whole[name] = value;
    }
    const made = validate({ ...whole });
    const accepted = { ...edits };
    for (const { name } of fields)
      if (isObject(made) && Object.hasOwn(made, name) && !Object.is(made[name], whole[name]))
        accepted[name] = made[name];
    return accepted;
  };
}

const isObject = (value) => typeof value === "object" && value !== null;

/** A listener that throws disturbs nobody else; its error is reported as any uncaught one. */
function call(listener, news) {
  try {
    listener(news);
  } catch (error) {
    reportError(error);
  }
}

const reportError = (error) =>
  globalThis.reportError
    ? globalThis.reportError(error)
    : queueMicrotask(() => {
        throw error;
      });

function matcher(match) {
  if (typeof match === "function") return match;
  const wanted = Object.entries(match ?? {});
  return (item) => wanted.every(([name, value]) => same(item[name], value));
}

const same = (one, other) =>
  Object.is(one, other) || (one instanceof Date && other instanceof Date && one.getTime() === other.getTime());
