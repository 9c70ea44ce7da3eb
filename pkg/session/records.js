// A store's records in the state of its user: `stores: [[name, [[_id, record], …]], …]`, lists and no objects, since names and
// keys are the app's. Owns where they lie; what a record says is the engine's business.

import { Fault } from "./fault.js";
import { UserState } from "./user-state.js";

/** For one call of a storage. */
const STORAGE_TIMEOUT_MS = 5000;

const userState = (storage, user) => new UserState({ storage, storageTimeout: STORAGE_TIMEOUT_MS }, user);

/** All records of a store. */
export async function readRecords(storage, user, store) {
  const { stores = [] } = await userState(storage, user).read();
  const records = stores.find(([name]) => name === store)?.[1] ?? [];
  if (!Array.isArray(records))
    throw new Fault("E_STATE_STORAGE", "the state storage gave something that is no list of records");
  return records.map(([, record]) => record);
}

/** Writes the edits of a turn, `{action, payload, _id, store}`. */
export async function writeRecords(storage, user, edits) {
  await userState(storage, user).change((state) => {
    const stores = new Map(state.stores);
    for (const name of new Set(edits.map(({ store }) => store))) {
      const records = new Map(stores.get(name));
      for (const { action, _id, payload } of edits.filter(({ store }) => store === name))
        if (action === "delete") records.delete(_id);
        else records.set(_id, payload);
      if (records.size > 0) stores.set(name, [...records]);
      else stores.delete(name);
    }
    return { ...state, stores: [...stores] };
  });
}
