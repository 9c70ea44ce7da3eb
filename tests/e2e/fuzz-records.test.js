/**
 * Damaged records in the browser's own database, of any kind and in any place: each is loaded or set apart in the object store
 * `quarantine`, those beside them are loaded, and what is edited from then on is there the next time.
 */
/* global run -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { damaged, damages } from "../fuzz/support/records.js";
import { holds } from "../fuzz/support/fuzz.js";
import { packedPage } from "./support/packed-page.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Records</title>
  <script type="module">
    import init, * as concordia from "/concordia/index.js";
    await init();
    const { EmptyTransporter, IndexedDbClientStorage, Key, Schema, Store } = concordia;
    const damaged = ${damaged};

    const schema = new Schema({ name: String, age: Number, any: Object, friend: { type: Key, key: "friend_id", ref: "self" } });
    const COLUMNS = ["name", "age", "any", "_friend_id", "friend_id"];
    const uuid = (nth) => "00000000-0000-4000-8000-" + String(nth).padStart(12, "0");
    const update = (nth) => ({ action: "update", first: nth, last: nth + 1, key: uuid(nth), fields: ["name"] });
    const base = { base: { name: "Old" }, baseFields: ["name"] };
    const row = (key, remote, sync, name) => [key, remote, sync, COLUMNS, name, 36, { a: [1] }, "k9", "r9"];
    const KINDS = [
      (nth) => row("k" + nth, "r" + nth, undefined, "settled"),
      (nth) => row("k" + nth, undefined, [nth, nth + 1, uuid(nth)], "new"),
      (nth) => row("k" + nth, "r" + nth, { settled: "existent", pending: update(nth), ...base }, "edited"),
      (nth) => row("k" + nth, "r" + nth, { settled: "existent", inFlight: { ...update(nth), attempts: 1 }, ...base }, "sent"),
      (nth) => row("k" + nth, "r" + nth, { settled: "existent", pending: { ...update(nth), action: "delete" } }, "removed"),
    ];
    const GOOD = [KINDS[0](90), KINDS[1](92), KINDS[2](94)];

    const ended = (request) =>
      new Promise((done, failed) => {
        request.onsuccess = () => done(request.result);
        request.oncomplete = () => done();
        request.onerror = request.onabort = () => failed(request.error);
      });

    const opened = () => ended(indexedDB.open("fuzz"));
    let stores = 0;
    const open = (name) =>
      new Store({
        schema,
        name,
        transporter: new EmptyTransporter(),
        clientStorage: new IndexedDbClientStorage({ database: "fuzz", persist: false }),
      });

    /** Puts the records into the database, in blocks and as deltas; how many there are. */
    async function put(name, list) {
      const database = await opened();
      const transaction = database.transaction(["blocks", "deltas"], "readwrite");
      const [blocks, deltas] = [transaction.objectStore("blocks"), transaction.objectStore("deltas")];
      let count = 0;
      const block = [GOOD[0], GOOD[2]];
      list.forEach(([kind, parts, place], nth) => {
        const value = damaged(KINDS[kind](nth), parts);
        // What is of a newer version bars the store, so that nothing is loaded.
        const version = Array.isArray(value?.[3]) ? value[3].at(-1) : undefined;
        if (Number.isInteger(version) && version > 1 && version < 2 ** 31) return;
        try {
          structuredClone(value);
        } catch {
          return;
        }
        // As a delta, what is no object says that a record was erased.
        const isDelta = place === "delta" && typeof value === "object" && value !== null;
        if (isDelta) deltas.put(value, [name, "k" + nth]);
        else if (place === "alone") blocks.put(Array.isArray(value) ? [value] : value, [name, 100 + nth, 0.5]);
        else if (place === "block") block.splice(nth % 2, 0, value);
        else return;
        count++;
      });
      blocks.put(block, [name, 1, 0.5]);
      deltas.put(GOOD[1], [name, "k92"]);
      await ended(transaction);
      database.close();
      return count + GOOD.length;
    }

    async function setApart(name) {
      const database = await opened();
      const found = await ended(database.transaction("quarantine").objectStore("quarantine").getAll(IDBKeyRange.bound([name], [name, []])));
      database.close();
      return found.length;
    }

    const values = (store) => Object.fromEntries(store.items.map((item) => [item._id, item.name]));

    /** Loads them, edits, loads again; what was seen. */
    window.run = async (list) => {
      const name = "records-" + ++stores;
      if (stores === 1) {
        const maker = open("maker");
        await maker.create({ name: "made" }).onceStored();
        await maker.close();
      }
      const count = await put(name, list);
      const first = open(name);
      await first.onceLoaded();
      const seen = values(first);
      for (const item of first.items)
        try {
          item.toJSON();
        } catch (error) {
          // The values of rows without an edit are not judged, and may go round in a circle.
          if (!(error instanceof RangeError)) throw error;
        }
      const removed = first.pending().filter(({ action, item }) => action === "delete" && item.removed).length;
      const { storageError } = first.status;
      const made = first.create({ name: "made" });
      await made.onceStored();
      const key = made._id;
      // Who is referred to and not there is shown, too.
      const items = first.items.filter(({ _id }) => /^k\\d+$/.test(_id)).length;
      await first.close();
      const second = open(name);
      await second.onceLoaded();
      const again = values(second);
      const later = second.status.storageError?.code;
      await second.close();
      const apart = await setApart(name);
      return {
        count,
        items,
        removed,
        apart,
        said: storageError && [storageError.code, Number(/(\\d+) stored/.exec(storageError.message)?.[1])],
        seen: ["k90", "k92", "k94"].map((one) => seen[one]),
        again: ["k90", "k92", "k94", key].map((one) => again[one]),
        later,
      };
    };
  </script>
</html>
`;

const site = packedPage(PAGE, () => window.run !== undefined);

test("damaged records are loaded or set apart, and those beside them lose nothing", async (t) => {
  const place = fc.constantFrom("delta", "block", "block", "alone");
  let [loaded, apart] = [0, 0];
  await holds(t, 100, fc.array(fc.tuple(fc.nat(4), damages, place), { maxLength: 8 }), async (list) => {
    const told = await site.page.evaluate((drawn) => run(drawn), list);
    assert.deepEqual(told.seen, ["settled", "new", "edited"]);
    assert.deepEqual(told.again, ["settled", "new", "edited", "made"]);
    if (told.apart === 0) assert.equal(told.said, undefined);
    // Two under one key are one that makes no sense.
    else assert.ok(told.said[0] === "E_QUARANTINED" && told.said[1] <= told.apart && told.said[1] > 0, `${told.said}`);
    assert.equal(told.later, undefined, "what is set apart is out of the way");
    // Of some the damage is that they are the same, or erase each other.
    assert.ok(told.items + told.removed + told.apart <= told.count);
    [loaded, apart] = [loaded + told.items, apart + told.apart];
    assert.deepEqual(site.troubles, []);
  });
  t.diagnostic(`${loaded} records were loaded, ${apart} set apart`);
  assert.ok(loaded > 50 && apart > 50);
});
