/**
 * The truth about storage: what could not be kept is said and still sent, what was lost is said first, and what older pages have stored
 * is brought along.
 */
/* global HttpTransporter, IndexedDbClientStorage, Schema, Store, people, rejection, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMIT_MS, until, world } from "./support/world.js";

const ROWS = Array.from({ length: 3 }, (_, at) => ({ name: `Person ${at + 1}`, age: at }));

test("without_room_an_edit_is_not_durable_with_its_reason_and_is_sent_all_the_same", async (t) => {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { keys: true, rows: ROWS });
  const user = await profile();
  // Before the database is opened: the browser looks at the quota only now and then.
  const context = await user.launch();
  const devtools = await context.newCDPSession(user.page);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.origin, quotaSize: 500_000 });
  const page = await opened(user);
  assert.equal(await page.evaluate(() => store.status.durable), true);
  const stored = await page.evaluate(async () => {
    // Something that does not get smaller when the database packs it.
    const long = () =>
      Array.from({ length: 250_000 }, () => Math.random().toString(36).slice(2, 6).padEnd(4, "_")).join("");
    const [first] = store.items;
    first.update({ note: long() });
    window.made = store.create({ name: "Newcomer", note: long() });
    const waits = [first, window.made].map((item) => rejection(item.onceStored()));
    await Promise.all([first, window.made].map((item) => item.onceSynced()));
    return Promise.all(waits);
  });
  assert.deepEqual(
    stored.map((error) => error?.code),
    ["E_QUOTA", "E_QUOTA"],
    "nobody says that it is stored",
  );
  const { status, pending } = await page.evaluate(() => told(store));
  assert.equal(status.durable, false);
  assert.equal(status.storageError?.code, "E_QUOTA");
  assert.deepEqual(pending, []);
  assert.deepEqual(
    collection.rows().map(({ name, note = "" }) => [name, note.length]),
    [
      ["Person 1", 1_000_000],
      ["Person 2", 0],
      ["Person 3", 0],
      ["Newcomer", 1_000_000],
    ],
  );
  assert.equal(server.writes().length, 2, "each once");

  // With room again, what is edited is stored again.
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.origin });
  await page.evaluate(() => {
    store.items[1].age = 50;
  });
  await until(() => page.evaluate(() => store.status.durable && store.items[1].stored), {
    timeoutMs: 2 * LIMIT_MS,
    what: "it is durable again",
  });
});

test("a_database_that_was_deleted_between_runs_is_told_before_the_store_is_loaded", async (t) => {
  const { server, profile } = await world(t);
  server.collection("people", { keys: true, rows: ROWS });
  const user = await profile();
  let page = await opened(user);
  server.isCut = true;
  await page.evaluate(() => store.create({ name: "Unsent" }).onceStored());

  await page.goto(`${server.origin}/blank`);
  await page.evaluate(async () => {
    for (const { name } of await indexedDB.databases())
      await new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase(name);
        Object.assign(request, { onsuccess: resolve, onerror: reject });
      });
  });
  server.isCut = false;
  page = await user.open();
  const { first, then } = await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    const at = told(store).status;
    // It can be used as if it were new.
    await store.create({ name: "Afterwards" }).onceSynced();
    return { first: at, then: told(store) };
  });
  const loss = [first.storageError, first.lastError].find((error) => error?.code === "E_DATA_LOSS");
  assert.ok(loss, `E_DATA_LOSS when onceLoaded settles; told: ${JSON.stringify(first)}`);
  assert.match(loss.message, /\d/, "with the count that is known");
  assert.deepEqual(then.items.map(({ name }) => name).sort(), ["Afterwards", "Person 1", "Person 2", "Person 3"]);
});

test("a_profile_that_lost_nothing_is_told_of_no_loss", async (t) => {
  const { server, profile } = await world(t);
  server.collection("people", { rows: ROWS });
  const user = await profile();
  await opened(user);
  await user.close();
  const page = await opened(user);
  const { status } = await page.evaluate(() => told(store));
  assert.deepEqual([status.storageError, status.lastError, status.durable], [undefined, undefined, true]);
});

test("rows_and_queued_edits_of_version_1_are_opened_by_version_2_and_sent_in_its_shape", async (t) => {
  const { server, profile } = await world(t);
  const rows = [{ fullName: "Ada Lovelace" }, { fullName: "Alan Turing" }];
  const collection = server.collection("people", { keys: true, rows });
  const user = await profile();
  let page = await user.open();
  await page.evaluate(async () => {
    window.store = new Store({
      schema: new Schema({ properties: { fullName: String } }),
      transporter: new HttpTransporter({ baseUrl: "/api", path: "people" }),
      clientStorage: new IndexedDbClientStorage(),
    });
    await store.onceLoaded();
  });
  server.isCut = true;
  await page.evaluate(async () => {
    store.items[0].fullName = "Augusta King";
    store.create({ fullName: "Grace Hopper" });
    await Promise.all(store.items.map((item) => item.onceStored()));
  });

  page = await user.open();
  const migrated = await page.evaluate(async () => {
    const migrations = {
      2: ({ fullName, ...rest }) => {
        if (fullName === undefined) return rest;
        const [firstName, lastName] = fullName.split(" ");
        return { ...rest, firstName, lastName };
      },
    };
    const schema = new Schema({ properties: { firstName: String, lastName: String }, version: 2, migrations });
    const transporter = new HttpTransporter({ baseUrl: "/api", path: "people" });
    window.store = new Store({ schema, transporter, clientStorage: new IndexedDbClientStorage() });
    await store.onceLoaded();
    return told(store);
  });
  const names = ({ firstName, lastName }) => `${firstName} ${lastName}`;
  assert.deepEqual(migrated.items.map(names).sort(), ["Alan Turing", "Augusta King", "Grace Hopper"]);
  assert.deepEqual(migrated.pending.map(({ action }) => action).sort(), ["create", "update"]);

  server.isCut = false;
  await page.evaluate(() => {
    window.dispatchEvent(new Event("online"));
    return Promise.all(store.items.map((item) => item.onceSynced()));
  });
  const taken = server.writes({ applied: true });
  assert.deepEqual(taken.map(({ method, body }) => `${method} ${names(body)}`).sort(), [
    "POST Grace Hopper",
    "PUT Augusta King",
  ]);
  assert.equal(collection.rows().length, 3);
});

test("an_edit_followed_in_the_same_task_by_closing_the_page_is_there_after_reopening", async (t) => {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { keys: true, rows: ROWS });
  const user = await profile();
  const first = await opened(user);
  server.isCut = true;
  // A page that was opened by script may close itself.
  const [popup] = await Promise.all([
    first.waitForEvent("popup"),
    first.evaluate(() => void store.close().then(() => window.open(location.href))),
  ]);
  await popup.waitForFunction(() => window.ready, undefined, { timeout: LIMIT_MS });
  await popup.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  const closed = popup.waitForEvent("close", { timeout: LIMIT_MS });
  await popup
    .evaluate(() => {
      store.items[0].age = 77;
      for (let number = 0; number < 100; number++) store.create({ name: `Late ${number}` });
      window.close();
    })
    .catch(() => {});
  await closed;

  const page = await opened(user);
  const items = await page.evaluate(() => told(store).items);
  assert.equal(items.find(({ name }) => name === "Person 1").age, 77);
  assert.equal(items.filter(({ name }) => name.startsWith("Late ")).length, 100);
  server.isCut = false;
  await page.evaluate(() => {
    window.dispatchEvent(new Event("online"));
    return Promise.all(store.items.map((item) => item.onceSynced()));
  });
  assert.equal(collection.row(1).age, 77);
  assert.equal(collection.rows().length, ROWS.length + 100);
});

async function opened(user) {
  const page = await user.open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  return page;
}
