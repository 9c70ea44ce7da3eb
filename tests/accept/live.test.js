/**
 * Changes made elsewhere arrive as they happen, by Server-Sent Events and by WebSocket, and what happens while the connection is cut is
 * caught up with.
 */
/* global people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LIMIT_MS, until, world } from "./support/world.js";

const CHANGES = 20;
const WITHIN_MS = 100;
const CUT_MS = 5_000;
const ROWS = Array.from({ length: CHANGES }, (_, at) => ({ name: `Person ${at + 1}`, age: 0 }));

/** By which address of the collection it is told. */
const FEEDS = [
  ["server_sent_events", (origin) => `${origin}/api/people/events`],
  ["websocket", (origin) => `${origin.replace("http:", "ws:")}/api/people/socket`],
];

for (const [kind, addressAt] of FEEDS) {
  test(`changes_made_elsewhere_arrive_within_${WITHIN_MS}_ms_by_${kind}`, async (t) => {
    const { collection, page } = await listening(t, addressAt);
    await page.evaluate(control, addressAt(new URL(page.url()).origin));
    await until(() => collection.feed.listeners === 2, { what: "both connections" });

    const lags = [];
    for (let id = 1; id <= CHANGES; id++) {
      collection.patch(id, { age: id });
      lags.push(
        await page.evaluate(async (number) => {
          const [own, other] = await Promise.all([window.shown(number), window.heard(number)]);
          return own - other;
        }, id),
      );
    }
    // Measured against a bare connection of the same page, so that a busy machine does not count.
    const median = lags.toSorted((one, other) => one - other)[CHANGES / 2];
    assert.ok(median <= WITHIN_MS, `half of the changes were shown within ${median} ms of their arrival`);

    collection.remove(1);
    collection.put({ name: "Newcomer", age: 1 });
    await page.waitForFunction(
      () => !store.findById("1") && store.findOne({ name: "Newcomer" })?.id !== undefined,
      undefined,
      { timeout: LIMIT_MS },
    );
    assert.equal(await page.evaluate(() => store.pending().length), 0, "nothing of it is sent back");
  });

  test(`a_cut_of_${CUT_MS / 1000}_s_with_${CHANGES}_changes_in_it_loses_none_by_${kind}`, async (t) => {
    const { server, collection, page } = await listening(t, addressAt);
    const reads = server.reads().length;
    const cutAt = performance.now();
    collection.feed.cut();
    for (let id = 1; id <= CHANGES - 4; id++) collection.patch(id, { age: id, city: "Elsewhere" });
    for (const id of [CHANGES - 3, CHANGES - 2]) collection.remove(id);
    for (const name of ["One", "Two"]) collection.put({ name, age: 1, city: "Elsewhere" });
    await until(() => collection.feed.refused > 0, { what: "it tries to connect again" });
    await sleep(Math.max(0, CUT_MS - (performance.now() - cutAt)));
    collection.feed.heal();

    const valuesOf = ({ id, name, age, city }) => ({ id, name, age, city });
    const expected = collection.rows().map(valuesOf);
    const shown = async () =>
      (await page.evaluate(() => told(store).items)).map(valuesOf).sort((one, other) => one.id - other.id);
    await until(
      async () => {
        assert.deepEqual(await shown(), expected);
        return true;
      },
      { timeoutMs: LIMIT_MS, what: "all changes are shown" },
    );
    assert.ok(server.reads().length > reads, "it was fetched what nobody had told");
    // And it listens again.
    await until(() => collection.feed.listeners === 1, { timeoutMs: LIMIT_MS, what: "it listens again" });
    collection.patch(2, { age: 77 });
    await page.waitForFunction(() => store.findById("2").age === 77, undefined, { timeout: LIMIT_MS });
  });

  test(`what_is_told_takes_back_no_edit_by_${kind}`, async (t) => {
    const { server, collection, page } = await listening(t, addressAt);
    const put = server.fault({ method: "PUT", path: "/people/3", hold: true });
    await page.evaluate(() => {
      store.findById("3").age = 33;
    });
    await until(() => put.seen === 1);
    collection.patch(3, { age: 1, city: "Elsewhere" });
    await page.waitForFunction(() => store.findById("3").city === "Elsewhere", undefined, { timeout: LIMIT_MS });
    assert.equal(await page.evaluate(() => store.findById("3").age), 33);
    put.release();
    await page.evaluate(() => store.findById("3").onceSynced());
    assert.equal(collection.row(3).age, 33);
  });
}

/** A store that listens to its collection. */
async function listening(t, addressAt) {
  const { server, open } = await world(t);
  const collection = server.collection("people", { rows: ROWS });
  const page = await open();
  await page.evaluate(async (live) => {
    window.store = people({ live });
    await store.onceLoaded();
    window.shown = (number) =>
      new Promise((resolve) => {
        const look = () => store.findById(String(number))?.age === number && resolve(performance.now());
        store.subscribe(look);
        look();
      });
  }, addressAt(server.origin));
  await until(() => collection.feed.listeners === 1, { timeoutMs: LIMIT_MS, what: "the store listens" });
  return { server, collection, page };
}

/** In the page: a connection with nothing behind it, which tells when a change arrived. */
function control(address) {
  const arrived = new Map();
  const waiting = new Map();
  const take = ({ data }) => {
    const number = Number(JSON.parse(data).data.id);
    arrived.set(number, performance.now());
    waiting.get(number)?.(arrived.get(number));
  };
  window.heard = (number) =>
    new Promise((resolve) => {
      if (arrived.has(number)) resolve(arrived.get(number));
      else waiting.set(number, resolve);
    });
  const connection = address.startsWith("ws") ? new WebSocket(address) : new EventSource(address);
  connection.onmessage = take;
}
