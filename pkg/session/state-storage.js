// Where states of users are kept, and a store's client storage over such a place. Owns what the package brings of it; how one
// state is read and changed without losing what others wrote is in `user-state.js`.

import { databaseLoad, databaseWrite } from "../wasm/concordia.js";
import { ClientStorage, kept, openDatabase } from "../transporter.js";
import { demandStorage, userKey, withRest } from "./larger-half.js";

let warned = false;

/** In memory: gone with the page or the process. */
export class MemoryStateStorage {
  #states = new Map();

  constructor() {
    if (!warned)
      console.warn(
        "concordia: states of users are kept in memory, and are gone with this page or process; production needs a `storage`",
      );
    warned = true;
  }

  async get(userId) {
    return structuredClone(this.#states.get(userKey(userId)));
  }

  async set(userId, state) {
    if (state === undefined) this.#states.delete(userKey(userId));
    else this.#states.set(userKey(userId), structuredClone(state));
  }
}

/** The rows of all states lie as those of one store that no app has. */
const STORE = "concordia:states";
const COLUMNS = ["state"];

/** In the browser's own database. */
export class IndexedDbStateStorage {
  #number;

  constructor(options) {
    this.#number = openDatabase(options);
  }

  async get(userId) {
    const key = userKey(userId);
    const rows = await kept(() => databaseLoad(this.#number, STORE));
    return rows.find((row) => row[0] === key)?.[4];
  }

  async set(userId, state) {
    const key = userKey(userId);
    const put = [key, undefined, undefined, COLUMNS, state];
    const [puts, erased] = state === undefined ? [[], [key]] : [[put], []];
    // 0: states say their version themselves.
    await kept(() => databaseWrite(this.#number, STORE, puts, erased, 0));
  }
}

/** A store's records in the state of one user. */
export class StateClientStorage extends ClientStorage {
  static middleware = [...ClientStorage.middleware];
  #storage;
  #user;

  constructor({ storage, userId } = {}) {
    super();
    this.#storage = demandStorage(storage);
    this.#user = userKey(userId);
  }

  _prepareSend(queueItem) {
    return queueItem;
  }

  _send(edit) {
    return this._sendAll([edit]);
  }

  /** All that a turn has written, at once. */
  _sendAll(edits) {
    return withRest(({ writeRecords }) => writeRecords(this.#storage, this.#user, edits));
  }

  _prepareFetch(names) {
    return names;
  }

  _fetch({ store }) {
    return withRest(({ readRecords }) => readRecords(this.#storage, this.#user, store));
  }
}
