/**
 * The main job, over the packed package and a REST server that nobody of this project wrote: load, edit, lose the
 * server, go on editing, lose the browser, come back, and have the server hold exactly what was meant.
 */
/* global store -- of the page */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dirname } from "node:path";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { jsonServer } from "./support/json-server.js";
import { serve, unpack } from "./support/packed-site.js";

const COUNT = 250;
const CITIES = ["Aachen", "Bergen", "Cádiz", "Dijon", "Évora"];

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>People</title>
  <script type="module">
    import init, { HttpTransporter, IndexedDbClientStorage, NumberKey, Schema, Store } from "/concordia/index.js";

    await init();
    const store = new Store({
      schema: new Schema({
        properties: {
          id: { type: NumberKey, primary: true },
          name: String,
          email: String,
          city: String,
          age: Number,
          score: Number,
          active: Boolean,
          tags: { type: Array, items: String },
          address: { properties: { street: String, zip: String, country: String } },
        },
      }),
      transporter: new HttpTransporter({ baseUrl: new URLSearchParams(location.search).get("api"), path: "people" }),
      clientStorage: new IndexedDbClientStorage(),
    });
    await store.onceLoaded();
    window.store = store;
  </script>
</html>
`;

function person(number) {
  return {
    id: number,
    name: `Person ${number}`,
    email: `person${number}@example.org`,
    city: CITIES[number % CITIES.length],
    age: 18 + (number % 60),
    score: number / 8,
    active: number % 3 === 0,
    tags: [`group ${number % 7}`, "member", `row ${number}`],
    address: { street: `Main Street ${number}`, zip: String(10_000 + number), country: "DE" },
  };
}

function newcomer(name) {
  return {
    name,
    email: `${name.toLowerCase()}@example.org`,
    city: "Évora",
    age: 30,
    score: 0.5,
    active: true,
    tags: ["new"],
    address: { street: "Side Street 1", zip: "00001", country: "PT" },
  };
}

/** What everybody should see, by name; ids of those who were created here are the server's to give. */
class Expected {
  #rows = new Map(Array.from({ length: COUNT }, (_, index) => [`Person ${index + 1}`, person(index + 1)]));

  edit = (name, values) => this.#rows.set(name, { ...this.#rows.get(name), ...values });
  create = (name, values = {}) => this.#rows.set(name, { ...newcomer(name), ...values });
  delete = (name) => this.#rows.delete(name);
  rows = () => [...this.#rows.values()].map(withoutId).sort(byName);
}

const withoutId = ({ id: _remote, _id, ...values }) => values;
const byName = (one, other) => (one.name < other.name ? -1 : 1);

let site, server, profile, browser, page, folder;
const troubles = [];

before(async () => {
  folder = await unpack();
  site = await serve({ folder, pages: { "/": PAGE } });
  server = await jsonServer(Array.from({ length: COUNT }, (_, index) => person(index + 1)));
  profile = await tempDir();
});

after(async () => {
  await browser?.close();
  await server?.remove();
  await site?.close();
  if (profile) await removeDir(profile);
  if (folder) await removeDir(dirname(folder));
});

async function open() {
  browser = await launch(profile);
  page = browser.page;
  page.on("pageerror", (error) => troubles.push(error.message));
  await page.goto(`${site.origin}/?api=${encodeURIComponent(server.origin)}`);
  await page.waitForFunction(() => window.store !== undefined, undefined, { timeout: 30_000 });
}

/** Makes the edits in one task of the page; settles when all of it is committed in the page's database. */
const editInPage = (edits) =>
  page.evaluate(async (list) => {
    const touched = list.map(({ action, name, values }) => {
      if (action === "create") return store.create(values);
      const item = store.findOne({ name });
      return action === "delete" ? item.remove() : item.update(values);
    });
    await Promise.all(touched.map((item) => item.onceStored()));
  }, edits);

const shown = () => page.evaluate(() => store.items.map((item) => item.toJSON()));
const status = () => page.evaluate(() => ({ ...store.status, lastError: store.status.lastError?.code }));
const idOf = (name) => page.evaluate((given) => store.findOne({ name: given }).id, name);
const allSynced = () =>
  until(() => page.evaluate(() => store.pending().length === 0 && store.items.every((item) => item.synced)), {
    what: "everything is synced",
  });

async function assertShown(expected) {
  assert.deepEqual((await shown()).map(withoutId).sort(byName), expected.rows());
}

async function assertServerHolds(expected) {
  const rows = await server.rows();
  assert.deepEqual(rows.map(withoutId).sort(byName), expected.rows());
  for (const row of rows)
    assert.deepEqual(Object.keys(row).sort(), Object.keys(person(1)).sort(), "no column was added");
  assert.equal(new Set(rows.map((row) => row.id)).size, rows.length, "ids are unique");
}

const writes = (log, method) => log.filter((entry) => entry.method === method);

/** Fails for every request in the log that nothing of the story explains. */
function assertOnly(log, explained) {
  for (const entry of log) {
    const { method, path } = entry;
    const read = method === "GET" && path === "/people";
    const preflight = method === "OPTIONS" && /^\/people(\/\d+)?$/.test(path);
    const known = read || preflight || explained.some((one) => one.method === method && one.path === path);
    assert.ok(known, `unexpected request: ${JSON.stringify(entry)}`);
    assert.ok(entry.status >= 200 && entry.status < 400, `request that was not taken: ${JSON.stringify(entry)}`);
  }
}

test("every edit, made online or offline, before or after a killed browser, reaches the server once", async (t) => {
  const expected = new Expected();

  await t.test("the 250 rows of the server are loaded", async () => {
    await server.start();
    await open();
    await assertShown(expected);
    assert.deepEqual(await page.evaluate(() => [store.loaded, store.items.every((item) => item.synced)]), [true, true]);
    assert.equal((await status()).durable, true);
    assert.ok(writes(server.log, "GET").length >= 1);
    assertOnly(server.log, []);
  });

  await t.test("online, an edit, a create and a delete are taken", async () => {
    server.log.length = 0;
    const edit = { age: 33, address: { street: "Elm Street 5", zip: "22222", country: "FR" } };
    await editInPage([
      { action: "update", name: "Person 1", values: edit },
      { action: "create", values: newcomer("Ada") },
      { action: "delete", name: "Person 3" },
    ]);
    expected.edit("Person 1", edit);
    expected.create("Ada");
    expected.delete("Person 3");
    await allSynced();

    await assertShown(expected);
    await assertServerHolds(expected);
    assert.equal(await idOf("Ada"), COUNT + 1);
    assertOnly(server.log, [
      { method: "PUT", path: "/people/1" },
      { method: "POST", path: "/people" },
      { method: "DELETE", path: "/people/3" },
    ]);
    assert.deepEqual(
      ["PUT", "POST", "DELETE"].map((method) => writes(server.log, method).length),
      [1, 1, 1],
    );
  });

  await t.test("without the server, edits go on and are stored", async () => {
    server.log.length = 0;
    await server.stop();
    const moved = { city: "Bergen", tags: ["moved", "twice"] };
    await editInPage([
      { action: "update", name: "Person 10", values: { age: 71, active: false } },
      { action: "update", name: "Person 11", values: { score: -1.5 } },
      { action: "update", name: "Ada", values: moved },
      { action: "delete", name: "Person 20" },
      { action: "create", values: newcomer("Bea") },
      { action: "create", values: newcomer("Cyd") },
    ]);
    expected.edit("Person 10", { age: 71, active: false });
    expected.edit("Person 11", { score: -1.5 });
    expected.edit("Ada", moved);
    expected.delete("Person 20");
    expected.create("Bea");
    expected.create("Cyd");
    await until(async () => (await status()).connection === "offline", { what: "the store knows that it is offline" });

    // Edits of what is already queued, and a delete of it; then one that nobody ever needs to hear of.
    await editInPage([
      { action: "update", name: "Person 10", values: { age: 72 } },
      { action: "update", name: "Bea", values: { age: 31 } },
      { action: "delete", name: "Person 11" },
    ]);
    expected.edit("Person 10", { age: 72 });
    expected.edit("Bea", { age: 31 });
    expected.delete("Person 11");
    await page.evaluate(async (values) => {
      const brief = store.create(values);
      brief.remove();
      await brief.onceStored();
    }, newcomer("Brief"));
    await editInPage([{ action: "create", values: newcomer("Passing") }]);
    await editInPage([{ action: "delete", name: "Passing" }]);

    await assertShown(expected);
    assert.deepEqual(server.log, []);
  });

  await t.test(
    "after the page is closed and the browser killed, all of it is there again, still without the server",
    async () => {
      await page.close();
      await browser.kill();
      await open();
      await assertShown(expected);
      await until(async () => (await status()).connection === "offline", {
        what: "the store knows that it is offline",
      });
      const unsent = await page.evaluate(() => store.pending().map(({ action, item }) => `${action} ${item.name}`));
      for (const edit of ["update Ada", "create Bea", "create Cyd", "delete Person 20", "delete Person 11"]) {
        assert.ok(
          unsent.some((one) => one === edit),
          `${edit} is not pending; pending: ${unsent}`,
        );
      }
      assert.ok(!unsent.some((one) => one.endsWith(" Brief")), "what was made and removed in one task is not queued");
      assert.equal((await status()).parked, 0);
      assert.deepEqual(server.log, []);
    },
  );

  await t.test("when the server is back, it holds exactly the expected rows, each create once", async () => {
    await server.start();
    await allSynced();
    await assertShown(expected);
    await assertServerHolds(expected);

    const creates = writes(server.log, "POST").map((entry) => entry.body.name);
    for (const name of ["Bea", "Cyd"])
      assert.equal(creates.filter((one) => one === name).length, 1, `creates of ${name}`);
    assert.ok(!creates.includes("Brief"), "a create that was deleted before it was sent is never sent");
    // Its create may have been attempted before it was deleted: then both are sent, else neither.
    const passing = server.log.filter((entry) => entry.method === "POST" && entry.body.name === "Passing").length;
    assert.ok(passing <= 1, `creates of Passing: ${passing}`);
    assert.equal(creates.length, 2 + passing);

    const present = new Set([
      "/people/10",
      "/people/11",
      `/people/${await idOf("Ada")}`,
      `/people/${await idOf("Bea")}`,
    ]);
    assertOnly(server.log, [
      ...[...present].map((path) => ({ method: "PUT", path })),
      { method: "POST", path: "/people" },
      ...writes(server.log, "DELETE")
        .map(({ method, path }) => ({ method, path }))
        .filter(({ path }) => ["/people/20", "/people/11"].includes(path) || passing === 1),
    ]);
    const deletes = writes(server.log, "DELETE").map((entry) => entry.path);
    assert.equal(deletes.length, 2 + passing, `deletes: ${deletes}`);
    assert.equal(new Set(deletes).size, deletes.length, `each delete once: ${deletes}`);
    const lastOf = (path) => writes(server.log, "PUT").findLast((entry) => entry.path === path).body;
    assert.equal(lastOf("/people/10").age, 72);
    assert.ok(writes(server.log, "PUT").length <= 5, "no more updates than edits");
  });

  await t.test("a page that is opened anew agrees with the server and has nothing to say", async () => {
    server.log.length = 0;
    await browser.close();
    await open();
    await assertShown(expected);
    assert.equal(await page.evaluate(() => store.pending().length), 0);
    assertOnly(server.log, []);
    assert.deepEqual(troubles, [], "no error was left uncaught in a page");
  });
});
