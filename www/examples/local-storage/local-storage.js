/**
 * A client storage in `localStorage`: one key for each record, written synchronously.
 *
 * For small collections: browsers give an origin some 5 MB of it, and every page of the origin shares them. What is written is
 * there for every page at once, and survives reloads, closed tabs and pages that crash. But a browser copies it to the disk when
 * it likes – Chromium after five seconds, later once a minute, and at once when the last page of the origin is closed – so if
 * the whole browser is killed, the last minute can be lost. The package's own `IndexedDbClientStorage` has neither limit, and
 * writes what belongs together in one transaction.
 *
 * A record is `{ ...values, _id, id, _sync }`. `_sync` is the store's own note of what the server has not taken yet; it is
 * kept as it is and given back as it is. That is all it takes for unsent edits to survive a reload.
 */
import { ClientStorage } from "/concordia/index.js";

export class LocalStorage extends ClientStorage {
  #prefix;
  #storage;

  /** `prefix` begins the name of every key. `storage`: anything with the methods of `localStorage`. */
  constructor({ prefix = "concordia", storage = globalThis.localStorage } = {}) {
    super();
    this.#prefix = prefix;
    this.#storage = storage;
  }

  // Reading: once, when the store opens.

  _prepareInitialFetch({ store }) {
    return { prefix: this.#keyOf(store, "") };
  }

  _initialFetch({ prefix }) {
    return Object.keys(this.#storage)
      .filter((key) => key.startsWith(prefix))
      .map((key) => JSON.parse(this.#storage.getItem(key)));
  }

  /** The whole collection anew is the same thing. */
  _prepareFetch(names) {
    return this._prepareInitialFetch(names);
  }

  _fetch(request) {
    return this._initialFetch(request);
  }

  // Writing. `_id` is made by the store.

  _prepareSend({ action, payload, store, _id }) {
    return { action, key: this.#keyOf(store, _id), record: payload };
  }

  /**
   * "create" and "update" write the record, "delete" takes it away for good. What is removed here but not yet on the server is an
   * update, too: its record says so in `_sync`, and the `remove()` of the base class sends it here.
   *
   * It returns no promise, so the write is done at the end of the turn in which the edit was made. `setItem` throws a
   * QuotaExceededError when there is no room; let through, it becomes `E_QUOTA`: `status.durable` turns false, the edit is
   * sent all the same, and the write is tried again with the next one.
   */
  _send({ action, key, record }) {
    if (action === "delete") this.#storage.removeItem(key);
    else this.#storage.setItem(key, JSON.stringify(record));
  }

  #keyOf(store, _id) {
    return `${this.#prefix}/${store}/${_id}`;
  }
}
