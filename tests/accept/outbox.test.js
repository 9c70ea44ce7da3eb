/**
 * No edit is lost and none is sent twice: what is made, edited and deleted without the server survives a killed browser, and reaches
 * the server as the least that says it.
 */
/* global people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until, world } from "./support/world.js";

const COUNT = 50;
const DELETED = 10;
const KEPT = COUNT - DELETED;

test("fifty_creates_made_offline_edited_and_partly_deleted_arrive_as_forty_posts_after_a_killed_browser", async (t) => {
  const { server, profile } = await world(t, { cross: { exposed: true } });
  const collection = server.collection("people", { keys: true, etags: true });
  const user = await profile();
  const open = async () => {
    const page = await user.open();
    await page.evaluate(async () => {
      window.store = people({ idempotencyKey: true });
      await store.onceLoaded();
    });
    return page;
  };

  await server.stop();
  let page = await open();
  await page.waitForFunction(() => store.status.connection === "offline");

  // Each step in tasks of its own, with the database and the probes at work in between.
  await page.evaluate(async (count) => {
    for (let number = 0; number < count; number++)
      await store.create({ name: `Person ${number}`, age: 0 }).onceStored();
  }, COUNT);
  for (const round of [1, 2, 3])
    await page.evaluate(async (age) => {
      for (const item of store.items) await item.update({ age, city: `City ${age}` }).onceStored();
    }, round);
  await page.evaluate(async (kept) => {
    await Promise.all(store.items.slice(kept).map((item) => item.remove().onceStored()));
  }, KEPT);
  await user.kill();

  page = await open();
  const expected = Array.from({ length: KEPT }, (_, at) => ({ name: `Person ${at}`, age: 3, city: "City 3" }));
  const before = await page.evaluate(() => told(store));
  assert.deepEqual(before.items.map(valuesOf), expected, "after the crash every edit is there, before the server is");
  assert.equal(before.pending.length, KEPT, "what was made and deleted offline is nobody's business");
  assert.equal(before.status.parked, 0);

  await server.start();
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await until(() => page.evaluate(() => store.pending().length === 0), {
    timeoutMs: 90_000,
    what: "all of it is sent",
  });

  assert.deepEqual(inOrder(collection.rows()), inOrder(expected), "the server holds the last values");
  const writes = server.writes().map(({ method, path, status }) => `${method} ${path} ${status}`);
  assert.deepEqual(writes, Array(KEPT).fill("POST /people 201"), "forty creates and no other write");
  const after = await page.evaluate(() => told(store).items);
  assert.deepEqual(inOrder(after), inOrder(expected));
  assert.ok(
    after.every(({ id, synced }) => synced && collection.row(id)),
    "each item has its key",
  );
});

function valuesOf({ name, age, city }) {
  return { name, age, city };
}

const inOrder = (rows) => rows.map(valuesOf).sort((one, other) => (one.name < other.name ? -1 : 1));
