/** The same work through the package. */
import init, { HttpTransporter, IndexedDbClientStorage, NumberKey, Schema, Store } from "/concordia/index.js";
import { measureAccess } from "./access.js";
import { nextTask, timed } from "./clock.js";
import { allRows } from "./rows.js";

const EDITS = 1_000;
/** Nothing listens there. */
const NOBODY = "http://127.0.0.1:1/api";

await init();

export function openStore(database, transporter) {
  return new Store({
    name: "people",
    schema: new Schema({
      properties: {
        id: { type: NumberKey, primary: true },
        firstName: String,
        lastName: String,
        email: String,
        age: Number,
        score: Number,
        active: Boolean,
        tags: { type: Array, items: String },
        address: { properties: { street: String, zip: String, city: String } },
      },
    }),
    clientStorage: new IndexedDbClientStorage({ database }),
    transporter,
  });
}

const server = (baseUrl) => new HttpTransporter({ baseUrl, path: "people" });

async function loadedStore(database, transporter) {
  const store = openStore(database, transporter);
  await store.onceLoaded();
  return store;
}

/** Settles when every item is committed: what was written last is awaited, the rest is checked. */
async function allStored(items) {
  await items.at(-1)?.onceStored();
  while (!items.every((item) => item.stored)) await nextTask();
}

export async function access(database, count) {
  const store = await loadedStore(database);
  for (const row of allRows(count)) store.create(row);
  await allStored(store.items);
  return measureAccess([...store.items], () => allStored(store.items));
}

export async function createAll(database, count, watched) {
  return createIn(await loadedStore(database), count, watched);
}

export async function createAndQueueAll(database, count, watched) {
  return createIn(await loadedStore(database, server(NOBODY)), count, watched);
}

async function createIn(store, count, watched) {
  const rows = allRows(count);
  const figures = await timed(() => {
    for (const row of rows) store.create(row);
    return allStored(store.items);
  }, watched);
  if (store.items.length !== count) throw new Error(`${store.items.length} of ${count} items`);
  return figures;
}

export function fetchAll(database, count, watched) {
  return timed(async () => {
    const store = openStore(database, server("/api"));
    await store.onceLoaded();
    await allStored(store.items);
    if (store.items.length !== count) throw new Error(`${store.items.length} of ${count} items`);
  }, watched);
}

export async function edits(database, count) {
  const store = await loadedStore(database);
  for (const row of allRows(count)) store.create(row);
  await allStored(store.items);
  await nextTask();

  const many = await counted(async () => {
    const edited = store.items.slice(0, EDITS);
    const { time } = await timed(() => {
      for (const item of edited) item.age += 1;
      return Promise.all(edited.map((item) => item.onceStored()));
    });
    return time;
  });
  const one = await counted(async () => {
    const item = store.items[0];
    for (let edit = 0; edit < EDITS; edit++) item.age = 100 + edit;
    await item.onceStored();
  });
  return { transactions: many.transactions, time: many.result, puts: one.puts };
}

/** How many writing transactions and puts the work causes. */
async function counted(work) {
  const { put } = IDBObjectStore.prototype;
  const transactions = new Set();
  let puts = 0;
  IDBObjectStore.prototype.put = function (...args) {
    puts += 1;
    transactions.add(this.transaction);
    return put.apply(this, args);
  };
  const result = await work();
  Object.assign(IDBObjectStore.prototype, { put });
  return { transactions: transactions.size, puts, result };
}

/** Read without a server, so: what client storage holds. */
export async function countStored(database) {
  const store = await loadedStore(database);
  return store.items.length;
}
