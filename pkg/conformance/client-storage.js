// The cases for a client storage.

import { TransporterError } from "../index.js";
import { demand, demandList, demandSame, isObject, isRow, show } from "./failing.js";
import {
  CONCURRENT,
  DIFFICULT_KEYS,
  DIFFICULT_VALUES,
  LOOK_AGAIN_MS,
  MANY,
  KEEP_VALUES,
  plainValues,
} from "./values.js";
import { Subject, casesOf, demandMethods, freshName, made, pause, request, until, uuid } from "./subject.js";

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
  async write(action, record, { store = "conformance", remedy } = {}) {
    const { storage } = this;
    const item = this.#queueItem(action, structuredClone(record), store);
    const make = (req) => storage._send(req);
    const write = () => request(storage, action, () => storage._prepareSend(item), make, item);
    await this.succeed(`a write with the action "${action}"`, write, remedy);
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
    const remedy = "resolve `_initialFetch`, or `_fetch` if there is none, with an array of all records";
    demand(Array.isArray(data), "the first fetch gives an array of records", () => show(data), remedy);
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

  async demandRecord(record, what, remedy = KEEP_RECORDS, store = undefined) {
    const found = await this.records(store);
    demand(
      found.has(record._id),
      what,
      () => `no record ${show(record._id)} among those with the keys ${show([...found.keys()])}`,
      remedy,
    );
    demandSame(record, found.get(record._id), "the record", what, remedy);
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
  const remedy = "give a storage without records from `make`, and an empty array for it";
  demand(size === 0, "a fresh storage gives an empty array", () => `${size} records`, remedy);
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
  const remedy = "let a create write over a record that is there, and a delete find nothing without an error";
  for (let times = 0; times < 2; times++) await subject.write("create", record, { remedy });
  await subject.demandRecord(record, "the same create twice makes one record", remedy);
  for (let times = 0; times < 2; times++) await subject.write("delete", { _id: record._id }, { remedy });
  const { size } = await subject.records();
  demand(size === 0, "the same delete twice leaves no record", () => `${size} records`, remedy);
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
  const remedy = "use the key as it is, or encode it such that no two keys become one";
  const records = DIFFICULT_KEYS.map((key, n) => subject.record(key, n));
  for (const record of records) await subject.write("create", record);
  for (const record of records) await subject.demandRecord(record, `the record ${show(record._id)} comes back`, remedy);
  for (const { _id } of records) await subject.write("delete", { _id });
  const { size } = await subject.records();
  demand(size === 0, "records with difficult keys can be deleted", () => `${size} of them are left`, remedy);
}

async function manyRecords(subject) {
  const count = subject.options.count ?? MANY;
  const records = Array.from({ length: count }, (_, n) => subject.record(`key-${n}`, n));
  for (const record of records) await subject.write("create", record);
  const found = await subject.records();
  const remedy = "give all records at once: the engine asks for no second page";
  demand(found.size === count, `${count} records come back`, () => `${found.size} records`, remedy);
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
  const remedy = "settle when the write is done, not before, and make writes in the order in which they come";
  await subject.demandRecord(record, "of many writes to one record the last one stays", remedy);
}

async function leavesRecord(subject) {
  const record = subject.record("key-1", 1);
  const payload = await subject.write("create", record);
  const remedy = "copy the payload before changing it: it is written again when a write has failed";
  demandSame(record, payload, "payload", "a write leaves its payload as it was", remedy);
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
  const remedy = "keep records by `queueItem.store` too, or set `severalStores: false` and give each store a storage";
  await subject.write("create", one);
  await subject.write("create", two, { store: "another store" });
  await subject.demandRecord(one, "stores that share a storage do not see each other's records", remedy);
  await subject.demandRecord(
    two,
    "stores that share a storage do not see each other's records",
    remedy,
    "another store",
  );
}

async function reopensComplete(subject) {
  const kept = subject.record("key-1", 1);
  await subject.write("create", subject.record("key-1", 5));
  await subject.write("update", kept);
  await subject.write("create", subject.record("key-2", 2));
  await subject.write("delete", { _id: "key-2" });
  await subject.reopen();
  const remedy = "settle a write when it is committed, and let `reopen` open the same place";
  await subject.demandRecord(kept, "what was written is there after reopening", remedy);
  const { size } = await subject.records();
  demand(size === 1, "what was deleted is not there after reopening", () => `${size} records`, remedy);
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
  const name = freshName();
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
  const remedy = "keep `_sync` with each record: it holds the edits that were not sent yet";
  const there = ["created offline", "edited offline", "left"];
  demandList(there, titles, "edits are still there after closing and reopening, the items' titles are", remedy);
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
  demandList(once, sent, "edits are sent once after reopening, the requests are", remedy);
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
