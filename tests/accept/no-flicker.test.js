/**
 * No watched field ever goes back: seeded random edits, while reads and the answers of writes are late and overtake each other. Every edit
 * of a field gives it a higher number, so that whatever falls was taken back.
 *
 * ACCEPT_SEED chooses another run.
 */
/* global people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until, world } from "./support/world.js";

const SEED = Number(process.env.ACCEPT_SEED ?? 20_180_113);
const ITEMS = 8;
const EDITS = 200;
const FIELDS = ["age", "score"];
const MOST_LATE_MS = 120;

for (const update of ["PUT", "PATCH"])
  test(`no_watched_field_goes_back_over_200_edits_and_late_answers_by_${update}_seed_${SEED}`, async (t) => {
    const { server, open } = await world(t);
    const rows = Array.from({ length: ITEMS }, (_, at) => ({ name: `Person ${at}`, age: 0, score: 0 }));
    const collection = server.collection("people", { keys: true, rows });
    const page = await open();
    const random = randomFrom(SEED);
    await page.evaluate(async (how) => {
      window.store = people({ update: how });
      await store.onceLoaded();
    }, update);
    server.fault({ times: Infinity, position: "after", late: () => sleep(random() * MOST_LATE_MS) });
    // Now and then an answer is lost as well.
    for (const skip of [5, 40, 90]) server.fault({ method: update, skip, position: "after", end: "cut" });

    const edits = Array.from({ length: EDITS }, (_, at) => ({
      item: Math.floor(random() * ITEMS),
      field: FIELDS[Math.floor(random() * FIELDS.length)],
      value: at + 1,
      read: ["none", "none", "all", "one"][Math.floor(random() * 4)],
      pause: random() * 10,
    }));
    const seen = await page.evaluate(watchedEdits, { edits, fields: FIELDS });
    assert.deepEqual(seen.fallen, [], "no field went back");
    assert.ok(seen.looks > EDITS, "it was looked at all the time");
    assert.ok(server.reads().length > 3, "reads were in between");

    await until(() => page.evaluate(() => store.pending().length === 0 && store.items.every((item) => item.synced)));
    const expected = rows.map((row, at) => ({
      name: row.name,
      ...Object.fromEntries(FIELDS.map((field) => [field, last(edits, at, field)])),
    }));
    const valuesOf = ({ name, age, score }) => ({ name, age, score });
    assert.deepEqual(collection.rows().map(valuesOf), expected, "the server has the last values");
    assert.deepEqual((await page.evaluate(() => told(store).items)).map(valuesOf), expected, "and so does the page");
    assert.equal(await page.evaluate(() => window.fallen.length), 0, "nor afterwards");
    if (update === "PATCH")
      for (const { body } of server.writes())
        assert.ok(
          Object.keys(body).every((name) => FIELDS.includes(name)),
          `only edited fields: ${Object.keys(body)}`,
        );
  });

/** In the page: makes the edits, and looks at every field after every change and in every task. */
async function watchedEdits({ edits, fields }) {
  const highest = new Map();
  const channel = new MessageChannel();
  window.fallen = [];
  let looks = 0;
  const look = (where) => {
    looks += 1;
    for (const item of store.items)
      for (const field of fields) {
        const key = `${item.name} ${field}`;
        const before = highest.get(key) ?? 0;
        if (item[field] < before) window.fallen.push(`${key}: ${before} then ${item[field]}, ${where}`);
        highest.set(key, Math.max(before, item[field]));
      }
  };
  store.subscribe(() => look("told by the store"));
  for (const item of store.items) item.subscribe(() => look("told by the item"));
  let over = false;
  channel.port1.onmessage = () => {
    look("looked at");
    if (!over) channel.port2.postMessage(0);
  };
  channel.port2.postMessage(0);
  for (const { item, field, value, read, pause } of edits) {
    store.items[item][field] = value;
    look("just edited");
    if (read === "all") store.fetch().catch(() => {});
    else if (read === "one") store.items[item].fetch();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  await Promise.all(store.items.map((item) => item.onceSynced()));
  over = true;
  return { fallen: window.fallen.slice(0, 5), looks };
}

function last(edits, item, field) {
  return edits.findLast((edit) => edit.item === item && edit.field === field)?.value ?? 0;
}

/** mulberry32, public domain: small, seeded, good enough to shuffle. */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
