/**
 * Stored records that are damaged in any way: each is loaded or set apart and counted, those beside them are loaded and their edits sent,
 * and what is edited from then on is there the next time.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import init, { ConcordiaError, Key, Schema, Store, Transporter, TransporterError } from "../../pkg/index.js";
import { demandCleanPrototypes } from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { damaged, damages } from "./support/records.js";
import { Shelf } from "./support/shelf.js";

before(() => init());

const uncaught = [];
process.on("unhandledRejection", (error) => uncaught.push(error));

const migrations = { 2: ({ name, ...row }) => ({ ...row, name: name.trim() }) };
const PROPERTIES = {
  name: String,
  age: Number,
  any: Object,
  friend: { type: Key, key: "friend_id", ref: "self" },
  all: { type: Array, items: { type: Key, ref: "self" } },
  inner: { properties: { owner: { type: Key, ref: "self" } } },
};
const SCHEMAS = { 1: { properties: PROPERTIES }, 2: { properties: PROPERTIES, version: 2, migrations } };

const uuid = (nth) => `00000000-0000-4000-8000-${String(nth).padStart(12, "0")}`;
const VALUES = {
  name: "Ada",
  age: 36,
  any: { a: [1] },
  friend_id: "r9",
  _friend_id: "k9",
  all: ["r1"],
  inner: { owner: "r2" },
};

/** Records as they are written: a settled one, a new one, one with an edit, with one in flight, refused, removed. */
const RECORDS = [
  (nth) => ({ ...VALUES, _id: `k${nth}`, id: `r${nth}` }),
  (nth) => ({ ...VALUES, _id: `k${nth}`, id: `r${nth}`, _sync: { version: '"tag"' } }),
  (nth) => ({ ...VALUES, _id: `k${nth}`, _sync: [nth, nth + 1, uuid(nth)] }),
  (nth) => ({
    ...VALUES,
    _id: `k${nth}`,
    id: `r${nth}`,
    _sync: { settled: "existent", pending: update(nth), ...BASE },
  }),
  (nth) => ({
    ...VALUES,
    _id: `k${nth}`,
    id: `r${nth}`,
    _sync: {
      settled: "existent",
      inFlight: { ...update(nth), attempts: 2, frozen: { name: "Eve" }, version: '"tag"', ...REFUSED },
      pending: update(nth + 2),
      ...BASE,
    },
  }),
  (nth) => ({
    ...VALUES,
    _id: `k${nth}`,
    id: `r${nth}`,
    _sync: { settled: "existent", pending: { ...update(nth), action: "delete" } },
  }),
  (nth) => ({
    ...VALUES,
    _id: `k${nth}`,
    _sync: { settled: "new", inFlight: { ...update(nth), action: "create", attempts: 1 } },
  }),
];

const update = (nth) => ({ action: "update", first: nth, last: nth + 1, key: uuid(nth), fields: ["name"] });
const BASE = { base: { name: "Old" }, baseFields: ["name"] };
const REFUSED = { parked: { code: "E_REJECTED", message: "no", status: 422, body: "{}" } };

const GOOD = [
  { _id: "good-1", id: "g1", name: "Grace" },
  {
    _id: "good-2",
    id: "g2",
    name: "Hal",
    _sync: { settled: "existent", pending: update(50), base: { name: "H" }, baseFields: ["name"] },
  },
  { _id: "good-3", name: "Ida", _sync: [60, 60, uuid(60)] },
];

/** A server that takes everything, once `opens` is called. */
class Taking extends Transporter {
  sent = [];
  #gate = new Promise((pass) => (this.opens = pass));
  async _prepareSend(item) {
    await this.#gate;
    return item;
  }
  async _send({ action, idempotencyKey, payload, id }) {
    this.sent.push([action, payload?.name]);
    return action === "create" ? { data: { id: `s-${idempotencyKey}` } } : { data: undefined, id };
  }
  async _fetch() {
    throw new TransporterError("failed");
  }
}

let stores = 0;

function open(shelf, version, name = `records-${++stores}`) {
  const transporter = new Taking();
  const schema = new Schema(SCHEMAS[version]);
  return { name, transporter, store: new Store({ schema, name, transporter, clientStorage: shelf }) };
}

/** How many records are said to make no sense. */
function leftOut({ storageError }) {
  if (storageError === undefined) return 0;
  assert.equal(storageError.code, "E_QUARANTINED");
  return Number(/(\d+) stored records/.exec(storageError.message)[1]);
}

/** The values of rows without an edit are not judged: what goes round in a circle is shown as it was stored. */
const withoutThrowing = (act) => {
  try {
    return act();
  } catch (error) {
    assert.ok(error instanceof ConcordiaError || error instanceof RangeError, error);
    return undefined;
  }
};

const keyOf = (record) => (["string", "number"].includes(typeof record?._id) ? String(record._id) : undefined);

/** What is of a newer version bars the store: nothing is loaded, and nothing written. */
function isNewerThan(record, version) {
  const given = record?._schemaVersion;
  const of = typeof given === "object" && given !== null ? NaN : Number(given ?? 1);
  return Number.isInteger(of) && of > version && of < 2 ** 31;
}

const drawn = fc.array(fc.tuple(fc.nat(RECORDS.length - 1), damages), { maxLength: 6 });

test("damaged records are loaded or counted, and those beside them lose nothing", async (t) => {
  let [accepted, refused] = [0, 0];
  await holds(t, 250, drawn, fc.constantFrom(1, 2), async (list, version) => {
    const bad = list.map(([kind, parts], nth) => damaged(RECORDS[kind](nth), parts));
    const records = [...bad, ...GOOD];
    const isNewer = bad.some((record) => isNewerThan(record, version));
    const shelf = new Shelf(records.map((record, nth) => [keyOf(record) ?? `none-${nth}`, record]));
    const given = shelf.records.size;
    const { name, transporter, store } = open(shelf, version);
    await store.onceLoaded();
    demandCleanPrototypes();
    if (isNewer) {
      await store.close();
      return;
    }
    const removed = store.pending().filter(({ action, item }) => action === "delete" && !store.items.includes(item));
    const count = leftOut(store.status);
    const ids = records.map((record) => record?.id).filter((id) => ["string", "number"].includes(typeof id));
    const hasTwins = new Set(ids.map(String)).size < ids.length;
    // Who is referred to and not there is shown, too.
    const items = store.items.filter((item) => shelf.records.has(String(item._id)));
    if (!hasTwins) assert.equal(items.length + removed.length + count, given);
    [accepted, refused] = [accepted + items.length, refused + count];
    for (const item of store.items) {
      withoutThrowing(() => item.toJSON());
      withoutThrowing(() => [item.name, item.any, item.friend, item.all, item.inner, item.id]);
    }
    for (const { _id, name: value } of GOOD) assert.equal(store.findById(_id, "clientStorage")?.name, value);

    // What is edited from now on is there the next time, and so are the others.
    const made = store.create({ name: "made" });
    await made.onceStored();
    const key = made._id;
    transporter.opens();
    await Promise.all(["good-2", "good-3"].map((one) => store.findById(one, "clientStorage").onceSynced()));
    for (const [action, value] of [
      ["update", "Hal"],
      ["create", "Ida"],
    ])
      assert.equal(transporter.sent.filter((one) => one[0] === action && one[1] === value).length, 1);
    await store.close();

    const again = open(shelf, version, name);
    await again.store.onceLoaded();
    assert.equal(again.store.findById(key, "clientStorage")?.name, "made");
    assert.ok(leftOut(again.store.status) <= count);
    await again.store.close();
    demandCleanPrototypes();
  });
  await new Promise((resume) => setTimeout(resume, 20));
  assert.deepEqual(uncaught, []);
  t.diagnostic(`${accepted} records were loaded, ${refused} set apart`);
  assert.ok(refused > 100 && accepted > 100);
});

test("a storage that gives anything but records is said to have failed, or to hold nonsense", async (t) => {
  await holds(t, 200, damages, async (parts) => {
    const answer = damaged([structuredClone(GOOD[0])], parts);
    const shelf = new Shelf();
    shelf._fetch = async () => answer;
    const { store } = open(shelf, 1);
    // With neither storage nor server there is nothing to load.
    await store.onceLoaded().catch((error) => assert.ok(error instanceof ConcordiaError, error));
    for (const item of store.items) withoutThrowing(() => item.toJSON());
    const { storageError } = store.status;
    if (store.items.length === 0 && !(Array.isArray(answer) && answer.length === 0))
      assert.ok(storageError instanceof ConcordiaError);
    await store.close();
  });
});
