/**
 * Two people edit one item without the server: different fields both arrive, the same field is put before the app, once, with the three
 * sides; and no stale version is sent twice.
 */
/* global people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { world } from "./support/world.js";

const ROW = { name: "Ada", city: "London", age: 36, score: 1 };
/** How the versions of the rows are told; with `required`, a write without one is refused. */
const SERVERS = [{ etags: true }, { etags: true, required: true }, { dates: true, required: true }];

for (const habits of SERVERS)
  test(`different_fields_edited_in_two_profiles_offline_both_arrive_${Object.keys(habits).join("_")}`, async (t) => {
    const { server, collection, first, second } = await twoProfiles(t, habits);
    await editedOffline(server, [first, { city: "Paris" }], [second, { age: 37 }]);
    assert.deepEqual(collection.row(1), { ...ROW, id: "1", city: "Paris", age: 37 }, "both edits are on the server");
    const told2 = await second.evaluate(() => told(store));
    assert.deepEqual([told2.items[0].city, told2.items[0].age], ["Paris", 37], "and the last to arrive sees both");
    assert.equal(await second.evaluate(() => window.conflicts.length), 0, "nobody is asked");
    assertNoStaleVersionTwice(server);
  });

test("the_same_field_is_put_before_the_app_once_with_base_local_and_remote", async (t) => {
  const { server, collection, first, second } = await twoProfiles(t, { etags: true });
  await editedOffline(server, [first, { city: "Paris", score: 2 }], [second, { city: "Rome", age: 37 }]);
  const conflicts = await second.evaluate(() => window.conflicts);
  assert.equal(conflicts.length, 1, "asked once");
  const [{ base, local, remote, status, same }] = conflicts;
  assert.equal(base.city, "London");
  assert.equal(local.city, "Rome");
  assert.equal(remote.city, "Paris");
  assert.equal(local.age, 37, "local has what was edited here");
  assert.equal(remote.score, 2, "remote has what the server holds");
  assert.equal(typeof status, "number");
  assert.equal(same, true, "the item is the app's own");
  assert.deepEqual(
    collection.row(1),
    { ...ROW, id: "1", city: "Paris and Rome", age: 37, score: 2 },
    "as the app decided",
  );
  const [item] = await second.evaluate(() => told(store).items);
  assert.deepEqual([item.city, item.age, item.score, item.synced], ["Paris and Rome", 37, 2, true]);
  assertNoStaleVersionTwice(server);
});

for (const [verdict, city] of [
  ["local", "Rome"],
  ["remote", "Paris"],
])
  test(`a_conflict_that_is_decided_by_"${verdict}"_ends_so_and_keeps_what_nobody_else_changed`, async (t) => {
    const { server, collection, first, second } = await twoProfiles(t, { etags: true }, verdict);
    await editedOffline(server, [first, { city: "Paris" }], [second, { city: "Rome" }]);
    assert.equal(collection.row(1).city, city);
    assert.equal(collection.row(1).age, ROW.age);
    const [item] = await second.evaluate(() => told(store).items);
    assert.deepEqual([item.city, item.synced], [city, true]);
    assertNoStaleVersionTwice(server);
  });

test("a_412_in_the_middle_of_work_asks_once_for_each_conflict_even_if_the_row_changes_again", async (t) => {
  const { server, collection, first } = await twoProfiles(t, { etags: true });
  // The version is known here, and the row is changed elsewhere twice: before the edit, and while the app decides.
  await first.evaluate(() => store.items[0].update({ score: 5 }).onceSynced());
  collection.patch(1, { city: "Paris" });
  const between = server.fault({
    method: "GET",
    path: "/people/1",
    position: "after",
    late: async () => void collection.patch(1, { age: 50 }),
  });
  await first.evaluate(() => store.items[0].update({ city: "Rome" }).onceSynced());
  assert.equal(between.seen, 1);
  assert.deepEqual(collection.row(1), { ...ROW, id: "1", city: "Paris and Rome", score: 5, age: 50 });
  const conflicts = await first.evaluate(() => window.conflicts);
  assert.equal(conflicts.length, 1, "the second change touched another field");
  assert.equal(conflicts[0].status, 412);
  assertNoStaleVersionTwice(server);
});

test("a_delete_of_what_was_changed_elsewhere_and_a_change_of_what_was_deleted_elsewhere_lose_nothing", async (t) => {
  const { server, collection, first, second } = await twoProfiles(t, { etags: true });
  await editedOffline(server, [first, undefined], [second, { age: 37 }]);
  assert.equal(collection.row(1), undefined, "deleted by the first");
  const { pending } = await second.evaluate(() => told(store));
  assert.deepEqual(
    pending.map(({ state, reason }) => [state, reason?.code]),
    [["parked", "E_GONE_REMOTELY"]],
  );
});

test("cross_origin_where_the_headers_are_hidden_edits_arrive_all_the_same", async (t) => {
  const { server, profile } = await world(t, { cross: { exposed: false } });
  const collection = server.collection("people", { etags: true, rows: [ROW] });
  const page = await opened(await profile());
  await page.evaluate(async () => {
    store.items[0].update({ city: "Paris" });
    store.create({ name: "Bea" });
    await Promise.all(store.items.map((item) => item.onceSynced()));
    await store.items[0].update({ age: 37 }).onceSynced();
  });
  assert.deepEqual(collection.rows(), [
    { ...ROW, id: "1", city: "Paris", age: 37 },
    { id: "2", name: "Bea" },
  ]);
  assert.deepEqual(
    server.writes().filter(({ status }) => status >= 300),
    [],
  );
});

/** Both have the item; the second is asked about conflicts. */
async function twoProfiles(t, habits, verdict) {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { ...habits, rows: [ROW] });
  const first = await opened(await profile(), verdict);
  const second = await opened(await profile(), verdict);
  return { server, collection, first, second };
}

async function opened(user, verdict) {
  const page = await user.open();
  await page.evaluate(async (answer) => {
    window.conflicts = [];
    const onConflict = ({ item, base, local, remote, status }) => {
      window.conflicts.push({ base, local, remote, status, same: item === store.items[0] });
      return answer ?? { city: `${remote.city} and ${local.city}` };
    };
    window.store = people({}, { options: { onConflict } });
    await store.onceLoaded();
  }, verdict);
  return page;
}

/** Both edit while nothing is answered; then the server is back, first for the one, then for the other. `undefined` deletes. */
async function editedOffline(server, ...edits) {
  server.isCut = true;
  for (const [page, values] of edits) {
    await page.evaluate(() => store.fetch().catch(() => {}));
    await page.evaluate((given) => {
      const [item] = store.items;
      return (given ? item.update(given) : item.remove()).onceStored();
    }, values);
    // Only the others' turn: nobody sends before it is said.
    await page.evaluate(() => store.pause());
  }
  server.isCut = false;
  for (const [page] of edits) {
    await page.evaluate(async () => {
      const edit = store.pending()[0];
      store.resume();
      await edit.item.onceSynced().catch(() => {});
    });
  }
}

function assertNoStaleVersionTwice(server) {
  const stale = new Set();
  for (const { path, headers, status } of server.writes()) {
    const version = headers["if-match"] ?? headers["if-unmodified-since"];
    const which = `${path} ${version}`;
    assert.ok(!stale.has(which), `${which} was refused and sent again`);
    if (status === 412) stale.add(which);
  }
}
