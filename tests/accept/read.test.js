/**
 * Cheap and safe reading: pages, cursors and validators; and nothing disappears without proof.
 */
/* global people, rejection, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until, world } from "./support/world.js";

const COUNT = 2_500;
const PAGE_SIZE = 500;
const ROWS = Array.from({ length: COUNT }, (_, at) => ({ name: `Person ${at + 1}`, age: at % 90 }));

test("2500_rows_come_in_pages_the_second_run_asks_once_and_gets_no_row_and_tombstones_delete", async (t) => {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { rows: ROWS, pageSize: PAGE_SIZE, since: true });
  const user = await profile();
  const open = async () => {
    const page = await user.open();
    await page.evaluate(async () => {
      window.store = people({
        pages: "link",
        since: { param: "since", from: (response, body) => body.cursor },
        rows: (body) => body.rows,
        deleted: (body) => body.deleted,
      });
      await store.onceLoaded();
    });
    return page;
  };
  const names = (page) => page.evaluate(() => store.items.map(({ name }) => name));

  let page = await open();
  assert.deepEqual((await names(page)).length, COUNT);
  assert.deepEqual(
    server.reads().map(({ query }) => query.get("page") ?? "1"),
    ["1", "2", "3", "4", "5"],
    "each page once",
  );

  server.log.length = 0;
  page = await open();
  assert.equal((await names(page)).length, COUNT);
  await until(() => page.evaluate(() => store.status.connection === "online"));
  assert.ok(server.log.length <= 1, `requests of the second run: ${server.log.length}`);
  assert.ok(
    server.log.every(({ count = 0 }) => count === 0),
    "and no row",
  );

  for (const id of [1, 700, 2_500]) collection.remove(id);
  collection.patch(2, { age: 99 });
  collection.put({ name: "Newcomer", age: 1 });
  server.log.length = 0;
  await page.evaluate(() => store.fetch());
  assert.deepEqual(
    server.log.map(({ count }) => count),
    [2],
    "only what has changed",
  );
  const after = new Set(await names(page));
  assert.deepEqual(
    ["Person 1", "Person 700", "Person 2500", "Newcomer"].map((name) => after.has(name)),
    [false, false, false, true],
  );
  assert.equal(after.size, COUNT - 2);
  assert.equal(await page.evaluate(() => store.findById("2").age), 99);

  // And so it is when it is opened anew, without asking for more.
  server.log.length = 0;
  page = await open();
  assert.deepEqual(new Set(await names(page)), after);
  assert.ok(server.log.every(({ count = 0 }) => count === 0));
});

test("a_page_that_fails_deletes_nothing_and_the_next_fetch_goes_on_there", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { rows: ROWS, pageSize: PAGE_SIZE });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people({ pages: "link" });
    await store.onceLoaded();
  });
  assert.equal(await page.evaluate(() => store.items.length), COUNT);

  for (const id of [3, 1_200, 2_400]) collection.remove(id);
  collection.patch(10, { age: 99 });
  server.log.length = 0;
  const third = ({ query }) => query.get("page") === "3";
  const fault = server.fault({
    method: "GET",
    when: third,
    times: Infinity,
    answer: { status: 404, body: { detail: "not now" } },
  });
  const refused = await page.evaluate(() => rejection(store.fetch()));
  assert.equal(refused?.status, 404, "the fetch rejects with the page's error");
  assert.deepEqual(
    await page.evaluate(() => [store.items.length, store.findById("10").age]),
    [COUNT, 99],
    "merged, and nothing deleted",
  );

  fault.lift();
  server.log.length = 0;
  await page.evaluate(() => store.fetch());
  const [first] = server.reads();
  assert.equal(first.query.get("page"), "3", "it goes on where it failed");
  assert.equal(await page.evaluate(() => store.items.length), COUNT, "a walk that was interrupted proves no deletion");

  await page.evaluate(() => store.fetch());
  assert.equal(await page.evaluate(() => store.items.length), COUNT - 3, "a whole walk does");
});

test("a_page_of_which_the_answer_breaks_off_deletes_nothing", async (t) => {
  const { server, open } = await world(t);
  server.collection("people", { rows: ROWS, pageSize: PAGE_SIZE });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people({ pages: "link" });
    await store.onceLoaded();
    window.sizes = new Set();
    store.subscribe(() => window.sizes.add(store.items.length));
  });
  const third = ({ query }) => query.get("page") === "3";
  for (const how of [{ position: "middle" }, { end: "cut" }, { answer: { status: 500 } }])
    server.fault({ method: "GET", when: third, ...how });
  for (let round = 0; round < 4; round++) await page.evaluate(() => store.fetch().catch(() => {}));
  await until(() => page.evaluate(() => store.status.connection === "online"));
  await page.evaluate(() => store.fetch());
  assert.equal(await page.evaluate(() => store.items.length), COUNT);
  assert.deepEqual(await page.evaluate(() => [...window.sizes].filter((size) => size !== store.items.length)), []);
});

test("only_a_plain_empty_array_empties_the_store_and_never_what_has_unsent_edits", async (t) => {
  const { server, open } = await world(t);
  server.collection("people", { rows: ROWS.slice(0, 20) });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  const answers = [
    { status: 204 },
    { status: 200, headers: { "Content-Type": "application/json" } },
    { status: 200, headers: { "Content-Type": "text/html" }, body: "[]" },
    { status: 200, body: "{}" },
    { status: 200, body: "null" },
    { status: 200, body: "[" },
    { status: 404, body: "[]" },
    { status: 304 },
  ];
  for (const answer of answers) {
    server.fault({ method: "GET", path: "/people", answer });
    await page.evaluate(() => store.fetch().catch(() => {}));
    assert.equal(await page.evaluate(() => store.items.length), 20, `after ${JSON.stringify(answer)}`);
    await until(() =>
      page.evaluate(() =>
        store.fetch().then(
          () => store.items.length === 20,
          () => false,
        ),
      ),
    );
  }

  server.fault({ method: "PUT", times: Infinity, answer: { status: 422 } });
  await page.evaluate(() => rejection(store.items[4].update({ age: -1 }).onceSynced()));
  server.fault({ method: "GET", path: "/people", answer: { status: 200, body: "[]" } });
  await page.evaluate(() => store.fetch());
  const { items, pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    items.map(({ name, age }) => [name, age]),
    [["Person 5", -1]],
    "what is edited stays",
  );
  assert.equal(pending.length, 1);
});

test("a_list_that_has_not_changed_is_answered_304_and_costs_no_row", async (t) => {
  const { server, profile } = await world(t);
  server.collection("people", { rows: ROWS.slice(0, 20), etags: true });
  const user = await profile();
  const page = await user.open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    await store.fetch();
    await store.fetch();
  });
  assert.equal(await page.evaluate(() => store.items.length), 20);
  assert.deepEqual(
    server.reads({ path: "/people" }).map(({ status }) => status),
    [200, 304, 304],
  );
});

test("rows_that_cannot_be_used_are_left_out_and_the_rest_is_merged", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { rows: ROWS.slice(0, 3) });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  const body = `[{"id":"1","name":"One","__proto__":{"age":13}},{"name":"No key"},{"id":"2","name":2},null,7,{"id":"3","name":"Three"},{"id":"3","name":"Thrice"}]`;
  assert.equal(collection.rows().length, 3);
  server.fault({ method: "GET", path: "/people", answer: { status: 200, body } });
  await page.evaluate(() => store.fetch());
  const { items, status } = await page.evaluate(() => told(store));
  const found = Object.fromEntries(items.map(({ id, name }) => [id, name]));
  assert.equal(found[1], "One");
  assert.equal(found[2], "Person 2", "a row of a wrong type changes nothing");
  assert.equal(items.length, 3);
  assert.equal(status.lastError?.code, "E_BAD_ANSWER");
  assert.deepEqual(
    await page.evaluate(() => [{}.age, Object.getPrototypeOf(store.items[0].toJSON()) === Object.prototype]),
    [undefined, true],
  );
});
