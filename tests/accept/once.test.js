/**
 * Exactly one effect: a create whose answer is lost again and again is one row, on a server that knows idempotency keys and on
 * one that only knows duplicates; on one that knows neither, the app can ask to be asked.
 */
/* global people, rejection, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until, world } from "./support/world.js";

const LOST_ANSWERS = 3;

test("a_create_whose_answer_is_lost_three_times_over_reloads_is_one_row_and_one_key", async (t) => {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { keys: true });
  await losing(t, server, profile, { collection });
  const keys = new Set(server.writes().map(({ headers }) => headers["idempotency-key"]));
  assert.equal(keys.size, 1, "the same key in every line of the log");
  assert.ok([...keys][0], "a key at all");
  assert.equal(server.writes().filter(({ replayed }) => replayed).length, server.writes().length - 1);
});

for (const [end, how] of [
  ["cut", "lost"],
  ["drop", "lost_on_a_connection_that_the_browser_repeats_by_itself"],
])
  test(`on_a_server_that_ignores_keys_but_knows_the_duplicate_a_create_whose_answer_was_${how}_is_one_row`, async (t) => {
    const { server, profile } = await world(t);
    const collection = server.collection("people", { unique: "name" });
    const page = await losing(t, server, profile, { collection, lost: 1, end });
    assert.ok(
      server.writes().some(({ status }) => status === 409),
      "the server has refused the duplicate",
    );
    // The row that was adopted is the item's own: what is edited next goes there.
    await page.evaluate(() => store.items[0].update({ age: 37 }).onceSynced());
    assert.deepEqual(collection.rows(), [{ id: "1", name: "Ada", age: 37 }]);
  });

test("a_409_that_says_another_row_has_the_value_is_no_duplicate_of_a_create_that_was_never_lost", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { unique: "name", rows: [{ name: "Ada", age: 80 }] });
  const page = await open();
  const refused = await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    return rejection(store.create({ name: "Ada", age: 36 }).onceSynced());
  });
  assert.equal(refused?.code, "E_CONFLICT");
  assert.equal(refused.status, 409);
  const { pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    pending.map(({ action, state, reason }) => [action, state, reason?.status]),
    [["create", "parked", 409]],
  );
  assert.deepEqual(collection.rows(), [{ id: "1", name: "Ada", age: 80 }]);
});

test("an_update_and_a_delete_whose_answers_are_lost_take_effect_once", async (t) => {
  const { server, open } = await world(t);
  const rows = [{ name: "Ada" }, { name: "Bea" }];
  const collection = server.collection("people", { keys: true, etags: true, rows });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  for (const method of ["PUT", "DELETE"]) server.fault({ method, position: "after", end: "cut" });
  await page.evaluate(async () => {
    const [ada, bea] = store.items;
    await Promise.all([ada.update({ age: 36 }).onceSynced(), bea.remove().onceSynced()]);
  });
  assert.deepEqual(collection.rows(), [{ id: "1", name: "Ada", age: 36 }]);
  for (const method of ["PUT", "DELETE"]) {
    assert.equal(server.writes({ method, applied: true }).length, 1, `${method} took effect once`);
    assert.equal(new Set(server.writes({ method }).map(({ headers }) => headers["idempotency-key"])).size, 1);
  }
});

test("an_app_that_wants_to_be_asked_finds_the_uncertain_create_parked", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people");
  const page = await open();
  server.fault({ method: "POST", position: "after", end: "cut" });
  const refused = await page.evaluate(async () => {
    window.store = people({ idempotencyKey: false }, { options: { onUncertainCreate: "ask" } });
    await store.onceLoaded();
    return rejection(store.create({ name: "Ada" }).onceSynced());
  });
  assert.equal(refused?.code, "E_UNCERTAIN");
  const { pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    pending.map(({ action, state, reason }) => [action, state, reason?.code]),
    [["create", "parked", "E_UNCERTAIN"]],
  );
  assert.equal(server.writes({ method: "POST" }).length, 1, "it was not sent again");
  assert.equal(collection.rows().length, 1);
});

/** Creates one item, loses as many answers after the server has applied it, reloads after each, and waits for the item to be synced. */
async function losing(t, server, profile, { collection, lost = LOST_ANSWERS, end = "cut" }) {
  const user = await profile();
  const open = async () => {
    const page = await user.open();
    await page.evaluate(async () => {
      window.store = people();
      await store.onceLoaded();
    });
    return page;
  };
  let page = await open();
  const fault = server.fault({ method: "POST", times: lost, position: "after", end });
  await page.evaluate(() => store.create({ name: "Ada", age: 36 }).onceStored());
  for (let answer = 1; answer <= lost; answer++) {
    await until(() => fault.seen >= answer, { timeoutMs: 90_000, what: `answer ${answer} is lost` });
    page = await open();
  }
  await page.evaluate(() => store.items[0].onceSynced());
  const rows = collection.rows();
  assert.deepEqual(rows, [{ id: "1", name: "Ada", age: 36 }], "one row on the server");
  const { items, pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    items.map(({ id, name }) => [id, name]),
    [["1", "Ada"]],
  );
  assert.deepEqual(pending, []);
  return page;
}
