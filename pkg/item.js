// One item: its schema properties as plain properties, its edits handed to the engine.
//
// The row is the very array that the engine holds: a read never leaves JavaScript. The first assignment to a property in a
// turn goes to the engine; later ones in the same turn only replace the value, because the record of the turn is
// written at its end, and nobody who listens is kept waiting for it.

import { Fact, Wish } from "./wasm/concordia.js";
import { ConcordiaError, toError } from "./error.js";
import { epoch, nextEpoch } from "./epoch.js";
import { calling, promise } from "./page.js";
import { isTransporter, fromServer } from "./constants.js";
import { shown, view } from "./nested.js";
import { copyOf, tell } from "./reference.js";

/** Where the keys and the first field lie in a row. */
const [STORAGE_KEY, REMOTE_KEY, FIRST] = [0, 1, 4];

const FAST = new Map([
  ["string", (value) => typeof value === "string"],
  ["boolean", (value) => typeof value === "boolean"],
  ["number", Number.isFinite],
]);

/** The class of a store's items. `store`: {handle, key, storageKey, primary, accepted(), autoSave, watched()}. */
export function itemClass(store, fields) {
  const { handle } = store;
  let listening = 0;

  class Item {
    #row;
    #item;
    /** The epoch of the last assignment that went to the engine, and the properties that did in it. */
    #epoch = -1;
    #edited = 0;
    #removed = false;
    #drafts;
    /** What few items have: {autoSave, listeners, views}. */
    #rare;

    constructor(item, row) {
      this.#item = item;
      this.#row = row;
    }

    get #own() {
      return (this.#rare ??= { autoSave: store.autoSave, listeners: undefined, views: undefined });
    }

    static {
      fields.forEach(({ name, kind }, field) => {
        const simple = FAST.get(kind);
        const place = FIRST + field;
        // With a validator each assignment goes the long way.
        Object.defineProperty(
          Item.prototype,
          name,
          simple ? Item.#plain(place, simple, store.accepted === undefined) : Item.#structured(place),
        );
      });
      const remoteKey = (item) => item.#row[REMOTE_KEY];
      Item.#key(store.key, remoteKey);
      Item.#key(store.storageKey, (item) => item.#storageKey());
      if (!(store.primary in Item.prototype)) Item.#key(store.primary, remoteKey);
    }

    /** Written into the row together with the record; asked for by who wants it before. */
    #storageKey() {
      return (this.#row[STORAGE_KEY] ??= calling(() => handle.storageKey(this.#item)));
    }

    static #key(name, read) {
      Object.defineProperty(Item.prototype, name, {
        get() {
          return read(this);
        },
        set() {
          throw new ConcordiaError("E_NOT_A_KEY", `"${name}" is a key and cannot be assigned; give it to create()`);
        },
        enumerable: true,
        configurable: true,
      });
    }

    /** Text, numbers and booleans: what is read is what is kept. */
    static #plain(place, isPlain, isFree) {
      const bit = isFree && place < 32 ? 1 << place : 0;
      return {
        get() {
          return this.#drafts === undefined ? this.#row[place] : this.#read(place);
        },
        set(value) {
          if (this.#epoch === epoch && (this.#edited & bit) !== 0 && isPlain(value)) this.#row[place] = value;
          else this.#assign(place, bit, value);
        },
        enumerable: true,
        configurable: true,
      };
    }

    /** Dates, objects, arrays and references: what is read is a copy, a view or an item, so that no change goes unseen. */
    static #structured(place) {
      return {
        get() {
          const value = this.#read(place);
          return shown(value, () => this.#view(place, value));
        },
        set(value) {
          this.#assign(place, 0, value);
        },
        enumerable: true,
        configurable: true,
      };
    }

    #read(place) {
      return this.#drafts?.has(place) ? this.#drafts.get(place) : this.#row[place];
    }

    /** The same view for the same value, so that nobody who compares sees a change where there is none. */
    #view(place, value) {
      const views = (this.#own.views ??= new WeakMap());
      let known = views.get(value);
      if (known === undefined) {
        known = view(
          () => this.#read(place),
          (whole) => this.#assign(place, 0, whole),
          [],
          value,
        );
        views.set(value, known);
      }
      return known;
    }

    #assign(place, bit, value) {
      if (!this.autoSave) {
        this.#demandPresent();
        (this.#drafts ??= new Map()).set(place, calling(() => handle.check(place - FIRST, value))[place]);
        return;
      }
      if (store.accepted !== undefined) {
        calling(() => handle.update(this.#item, this.#accept({ [fields[place - FIRST].name]: value }), false));
        return;
      }
      calling(() => handle.assign(this.#item, place - FIRST, value));
      if (store.watched() || this.#rare?.listeners) return;
      if (this.#epoch !== epoch) {
        this.#epoch = epoch;
        this.#edited = 0;
      }
      this.#edited |= bit;
    }

    /** What the schema's validator makes of edits. */
    #accept(edits) {
      if (store.accepted === undefined || this.#removed) return edits;
      return store.accepted(edits, (name) => this[name]);
    }

    #demandPresent() {
      if (this.#removed)
        throw new ConcordiaError("E_REMOVED", "the item has been removed and takes no edits; create a new one instead");
    }

    get __id() {
      return String(this.#item);
    }
    get removed() {
      return this.#removed;
    }
    get stored() {
      return calling(() => handle.is(Fact.Stored, this.#item));
    }
    get synced() {
      return calling(() => handle.is(Fact.Synced, this.#item));
    }
    get error() {
      return toError(calling(() => handle.parked(this.#item)));
    }
    get autoSave() {
      return this.#rare?.autoSave ?? store.autoSave;
    }
    set autoSave(save) {
      this.#own.autoSave = Boolean(save);
      nextEpoch();
    }

    update(values, source) {
      const drafts =
        this.#drafts === undefined
          ? []
          : [...this.#drafts].map(([place, value]) => [fields[place - FIRST].name, value]);
      const isRemote = fromServer(source);
      const given = { ...Object.fromEntries(drafts), ...values };
      const edits = isRemote ? given : this.#accept(given);
      calling(() => handle.update(this.#item, edits, isRemote));
      this.#drafts = undefined;
      return this;
    }

    remove(source) {
      if (this.#removed) return this;
      calling(() => handle.remove(this.#item, fromServer(source)));
      return this;
    }

    delete(source) {
      return this.remove(source);
    }

    fetch(source, ...args) {
      store.inWay(this.#item, args);
      calling(() => handle.want(Wish.FetchOne, this.#item, 0));
      return this;
    }

    onceStored() {
      return promise((token) => handle.want(Wish.OnceStored, this.#item, token));
    }

    onceSynced() {
      return promise((token) => handle.want(Wish.OnceSynced, this.#item, token));
    }

    onceReadyFor(target) {
      if (!isTransporter(target)) return Promise.resolve();
      return promise((token) => handle.want(Wish.OnceReady, this.#item, token));
    }

    isReadyFor(target) {
      return !isTransporter(target) || calling(() => handle.is(Fact.Ready, this.#item));
    }

    subscribe(listener) {
      nextEpoch();
      const own = this.#own;
      const listeners = (own.listeners ??= new Set());
      const call = () => listener(this);
      listeners.add(call);
      listening++;
      return () => {
        if (!listeners.delete(call)) return;
        listening--;
        if (listeners.size === 0) own.listeners = undefined;
      };
    }

    toJSON() {
      const values = {};
      fields.forEach((definition, field) => tell(values, definition, this.#read(FIRST + field)));
      if (this.#row[REMOTE_KEY] !== undefined) values[store.key] = this.#row[REMOTE_KEY];
      values[store.storageKey] = this.#storageKey();
      return values;
    }

    /** The values of a row, which is no item's; for the package's own use. */
    static values(row) {
      const values = {};
      fields.forEach(({ name }, field) => {
        const value = row[FIRST + field];
        if (value !== undefined) values[name] = shown(value, () => copyOf(value));
      });
      return values;
    }

    /** Takes notice of what the engine says; for the package's own use. */
    static told(item, removed) {
      item.#removed = removed;
    }

    /** The keys of an item of this store that is not removed; for the package's own use. */
    static keys(value) {
      const isOurs = typeof value === "object" && value !== null && #row in value && !value.#removed;
      return isOurs ? [value.#row[REMOTE_KEY], value.#storageKey()] : undefined;
    }

    /** Who listens to an item; for the package's own use. */
    static listeners(item) {
      return [...(item.#rare?.listeners ?? [])];
    }

    static anyListeners() {
      return listening > 0;
    }
  }

  return Item;
}
