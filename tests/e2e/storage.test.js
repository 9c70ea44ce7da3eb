/**
 * What a page says and does when its client storage is full, gone, emptied, damaged, or of another version. Nothing is lost in
 * silence, and edits go on to the server.
 */
/* global asked, big, deleteDatabase, entries, older, openStore, plain, store, tamper -- of the page */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { closed, serve, unpack } from "./support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Storage</title>
  <script type="module">
    import * as concordia from "/concordia/index.js";
    import init, { HttpTransporter, IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";

    const SCHEMAS = {
      1: { properties: { first: String, last: String, age: Number } },
      2: {
        version: 2,
        properties: { name: String, age: Number, tag: { type: String, default: "new" } },
        migrations: {
          2: ({ first, last, ...row }) => {
            if (last === "Broken") throw new Error("this one cannot be migrated");
            return { ...row, name: [first, last].filter(Boolean).join(" "), tag: "old" };
          },
        },
      },
    };

    const asked = (window.asked = { persist: 0 });
    const { storage } = navigator;
    const persist = storage.persist.bind(storage);
    storage.persist = () => {
      asked.persist++;
      return persist();
    };

    window.concordia = concordia;
    /** Opens the store; settles with its status as it was when it had loaded, and what was said before. */
    window.openStore = async (api, { version = 1, storage: options = {}, wrapped = false } = {}) => {
      await init();
      class Wrapped extends IndexedDbClientStorage {
        async _fetch(names) {
          return super._fetch(names);
        }
      }
      const Storage = wrapped ? Wrapped : IndexedDbClientStorage;
      window.store = new Store({
        schema: new Schema(SCHEMAS[version]),
        transporter: new HttpTransporter({ baseUrl: api, path: "people", update: "PATCH" }),
        clientStorage: new Storage(options),
      });
      const told = [];
      store.subscribe(({ status }) => told.push(status.storageError?.code));
      await store.onceLoaded();
      return { status: plain(store.status), told, items: store.items.map((item) => item.toJSON()) };
    };
    window.plain = ({ storageError, lastError, ...status }) => {
      const error = (one) => one && { code: one.code, message: one.message, body: one.body };
      return { ...status, storageError: error(storageError), lastError: error(lastError) };
    };
    /** Everything in an object store of the database: [key, value]. */
    window.entries = async (name, version) => {
      const request = indexedDB.open("concordia", version);
      const database = await new Promise((done) => (request.onsuccess = () => done(request.result)));
      const place = database.transaction(name).objectStore(name);
      const [values, keys] = [place.getAll(), place.getAllKeys()];
      await new Promise((done) => (place.transaction.oncomplete = done));
      database.close();
      return keys.result.map((key, at) => [key, values.result[at]]).filter(([key]) => Array.isArray(key));
    };
    /** Changes the database by hand. */
    window.tamper = async (act, version) => {
      const request = indexedDB.open("concordia", version);
      const database = await new Promise((done, failed) => {
        request.onupgradeneeded = () => {
          for (const name of ["blocks", "deltas", "meta"]) request.result.createObjectStore(name);
        };
        request.onsuccess = () => done(request.result);
        request.onerror = () => failed(request.error);
      });
      const transaction = database.transaction([...database.objectStoreNames], "readwrite");
      act((name) => transaction.objectStore(name));
      await new Promise((done, failed) => {
        transaction.oncomplete = done;
        transaction.onabort = () => failed(transaction.error);
      });
      database.close();
    };
    window.deleteDatabase = () =>
      new Promise((done, failed) => {
        const request = indexedDB.deleteDatabase("concordia");
        request.onsuccess = done;
        request.onblocked = failed;
      });
  </script>
</html>
`;

let folder, site, profile, browser, page, server;
const troubles = [];

/** A REST server in memory, which can be told to be away. `log`: `[method, path, body]` of what was carried out. */
async function restServer() {
  const rows = new Map();
  const log = [];
  let keys = 0;
  const self = { rows, log, isAway: false, refuses: false };
  const http = createServer(async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
    response.setHeader("Access-Control-Allow-Headers", "*");
    if (request.method === "OPTIONS") return response.writeHead(204).end();
    if (self.isAway) return request.socket.destroy();
    const id = request.url.split("/")[2];
    const body = text === "" ? undefined : JSON.parse(text);
    if (self.refuses && request.method === "PATCH") return response.writeHead(422).end();
    if (request.method !== "GET") log.push([request.method, request.url, body]);
    if (request.method === "POST") rows.set(String(++keys), { ...body, id: String(keys) });
    else if (request.method === "PATCH") rows.set(id, { ...rows.get(id), ...body });
    else if (request.method === "DELETE") rows.delete(id);
    const answer =
      request.method === "POST" ? rows.get(String(keys)) : id === undefined ? [...rows.values()] : rows.get(id);
    response.setHeader("Content-Type", "application/json");
    return response.end(JSON.stringify(answer ?? {}));
  });
  await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
  self.origin = `http://127.0.0.1:${http.address().port}`;
  self.close = () => closed(http);
  return self;
}

before(async () => {
  folder = await unpack();
  site = await serve({ folder, pages: { "/": PAGE } });
  profile = await tempDir();
  browser = await launch(profile);
});

after(async () => {
  await browser?.close();
  await site?.close();
  if (profile) await removeDir(profile);
  if (folder) await removeDir(dirname(folder));
});

beforeEach(async () => {
  server = await restServer();
  await reopen();
  await cdp(page, "Storage.clearDataForOrigin", { origin: site.origin, storageTypes: "all" });
  await reopen();
});

afterEach(async () => {
  await server.close();
  assert.deepEqual(troubles.splice(0), [], "no error was left uncaught in the page");
});

async function cdp(of, method, params) {
  const session = await browser.context.newCDPSession(of);
  await session.send(method, params);
  await session.detach();
}

/** Closes the page and opens another one, on which nothing has been done yet. */
async function reopen(origin) {
  await page?.close();
  page = await tab(origin);
}

async function tab(origin = site.origin) {
  const made = await browser.context.newPage();
  made.on("pageerror", (error) => troubles.push(error.message));
  await made.goto(origin);
  await made.waitForFunction(() => window.concordia !== undefined);
  return made;
}

/** Opens the store in the page. */
const load = (options, on = page) => on.evaluate(([api, more]) => openStore(api, more), [server.origin, options]);

const status = (on = page) => on.evaluate(() => plain(store.status));

/** Makes items, and waits until they are stored. */
const create = (...values) =>
  page.evaluate(async (all) => {
    const items = all.map((one) => store.create(one));
    await Promise.all(items.map((item) => item.onceStored()));
  }, values);

const synced = () => until(async () => (await status()).pending === 0, { what: "everything is sent" });

describe("room", () => {
  /** `undefined`: as the browser has it. It holds as long as the session. */
  async function quota(session, origin, quotaSize) {
    await session.send("Storage.overrideQuotaForOrigin", { origin, ...(quotaSize !== undefined && { quotaSize }) });
  }

  test("an edit for which there is no room is sent all the same, status says why, and it is stored when there is room", async (t) => {
    // An origin of its own: the browser counts for a while on the room that it has once found.
    const small = await serve({ folder, pages: { "/": PAGE } });
    t.after(() => small.close());
    await reopen(small.origin);
    const session = await browser.context.newCDPSession(page);
    await quota(session, small.origin, 100_000);
    await load();
    await create({ first: "Ada" });
    await synced();
    const stored = page.evaluate(() => {
      window.big = store.create({ first: "Bea", last: "x".repeat(3_000_000) });
      return big.onceStored().then(
        () => "stored",
        (error) => error.code,
      );
    });
    assert.equal(await stored, "E_QUOTA");
    await page.evaluate(() => big.onceSynced());
    assert.deepEqual(
      server.log.map(([method, , body]) => [method, body.first]),
      [
        ["POST", "Ada"],
        ["POST", "Bea"],
      ],
    );
    const full = await status();
    assert.deepEqual([full.durable, full.storageError.code], [false, "E_QUOTA"]);
    assert.equal(await page.evaluate(() => big.stored), false);

    await quota(session, small.origin);
    await until(async () => (await status()).durable, { what: "it is durable again", timeoutMs: 90_000 });
    assert.equal((await status()).storageError, undefined);
    await until(() => page.evaluate(() => big.stored), { what: "the edit is stored" });
    server.isAway = true;
    await reopen(small.origin);
    assert.deepEqual(
      (await load()).items.map(({ first }) => first),
      ["Ada", "Bea"],
    );
  });

  test("the browser is asked once, at the first edit, to keep the data, and what it says of the room is in status", async () => {
    server.rows.set("a", { id: "a", first: "Old" });
    await load();
    await until(() => page.evaluate(() => store.items.length > 0 && store.items[0].stored));
    assert.equal(await page.evaluate(() => asked.persist), 0, "a row of the server is no edit");
    await create({ first: "Ada" });
    await create({ first: "Bea" });
    assert.equal(await page.evaluate(() => asked.persist), 1);
    const { usage, quota: whole, persisted } = await until(async () => (await status()).estimate);
    assert.ok(usage >= 0 && whole > usage && typeof persisted === "boolean", `${usage} ${whole} ${persisted}`);
  });

  test("it is not asked if the app says so", async () => {
    await load({ storage: { persist: false } });
    await create({ first: "Ada" });
    assert.equal(await page.evaluate(() => asked.persist), 0);
  });
});

describe("loss", () => {
  /** A page that has stored two items, one of which the server has not taken. */
  async function used() {
    await load();
    await create({ first: "Ada" });
    await synced();
    server.isAway = true;
    await create({ first: "Bea" });
    await reopen();
  }

  async function assertLoss(answer) {
    assert.equal(answer.status.storageError?.code, "E_DATA_LOSS");
    assert.deepEqual(answer.status.storageError.body, { records: 2, unsynced: 1 });
    assert.match(answer.status.storageError.message, /2 records .* 1 of them/);
    assert.equal(answer.status.durable, true);
    assert.ok(answer.told.includes("E_DATA_LOSS"), "subscribers hear of it before it is loaded");
  }

  test("a database that was deleted between runs is told before the store is loaded", async () => {
    await used();
    await page.evaluate(() => deleteDatabase());
    await assertLoss(await load());
    await reopen();
    await assertLoss(await load());
    await create({ first: "Cleo" });
    await reopen();
    assert.equal((await load()).status.storageError, undefined, "said until something has been stored anew");
  });

  test("a database whose records were wiped by hand is told as well", async () => {
    await used();
    await page.evaluate(() =>
      tamper((place) => {
        for (const name of ["blocks", "deltas", "meta", "quarantine"]) place(name).clear();
      }),
    );
    await assertLoss(await load());
  });

  test("the browser's own clearing of databases is told", async () => {
    await used();
    await cdp(page, "Storage.clearDataForOrigin", { origin: site.origin, storageTypes: "indexeddb" });
    await assertLoss(await load());
  });

  test("no loss: a first run, a reload, and an app that deletes its data on purpose", async () => {
    assert.equal((await load()).status.storageError, undefined);
    await reopen();
    assert.equal((await load()).status.storageError, undefined);
    await create({ first: "Ada" });
    await reopen();
    assert.equal((await load()).status.storageError, undefined);
    await page.evaluate(async () => {
      await store.close();
      await deleteDatabase();
      localStorage.clear();
    });
    assert.equal((await load()).status.storageError, undefined, "in the same page");
    await create({ first: "Bea" });
    assert.deepEqual([(await status()).durable, (await status()).storageError], [true, undefined]);
    await reopen();
    assert.equal((await load()).status.storageError, undefined);
  });

  test("no loss: a page that died between a commit and its note, and two tabs that write", async () => {
    await load();
    await create({ first: "Ada" });
    const note = await page.evaluate(() => JSON.stringify(localStorage));
    await create({ first: "Bea" });
    await page.evaluate((text) => Object.assign(localStorage, JSON.parse(text)), note);
    await reopen();
    assert.equal((await load()).status.storageError, undefined, "an older note");
    await page.evaluate(() => localStorage.clear());
    await reopen();
    assert.equal((await load()).status.storageError, undefined, "no note");
    const other = await tab();
    await load({}, other);
    for (let round = 0; round < 3; round++) {
      await create({ first: "here" });
      await other.evaluate(() => store.create({ first: "there" }).onceStored());
    }
    await other.close();
    await reopen();
    const { status: last, items } = await load();
    assert.equal(last.storageError, undefined);
    assert.ok(items.length >= 8, `${items.length} items`);
  });

  test("a database that is deleted under an open page is not written to again, and does not wait for the page", async () => {
    await load();
    await create({ first: "Ada" });
    const other = await tab();
    await other.evaluate(() => deleteDatabase());
    await until(async () => !(await status()).durable, { what: "the page says so by itself" });
    assert.equal((await status()).storageError.code, "E_STORAGE");
    await page.evaluate(() => store.create({ first: "Bea" }).onceSynced());
    await other.close();
  });
});

describe("versions of the schema", () => {
  /** Rows and queued edits of version 1: two rows of the server, one of them edited, a create and a delete. */
  async function usedByVersion1() {
    server.rows.set("a", { id: "a", first: "Ada", last: "King", age: 36 });
    server.rows.set("b", { id: "b", first: "Bea", last: "Old", age: 40 });
    server.rows.set("c", { id: "c", first: "Cleo", last: "Gone", age: 50 });
    await load();
    await until(() => page.evaluate(() => store.items.length === 3 && store.items.every((item) => item.stored)));
    if (server.refuses)
      await page.evaluate(async () => {
        store.findById("b").last = "New";
        await store
          .findById("b")
          .onceSynced()
          .catch(() => {});
      });
    server.isAway = true;
    await page.evaluate(async () => {
      store.findById("b").last = "New";
      store.findById("c").remove();
      await store.create({ first: "Dora", last: "Made", age: 1 }).onceStored();
      await store.findById("b").onceStored();
    });
    await reopen();
  }

  test("rows and queued edits of version 1 are brought to version 2, and sent as such", async () => {
    await usedByVersion1();
    const { items, status: now } = await load({ version: 2 });
    assert.deepEqual(
      items.map(({ name, age, tag }) => [name, age, tag]),
      [
        ["Ada King", 36, "old"],
        ["Bea New", 40, "old"],
        ["Dora Made", 1, "old"],
      ],
    );
    assert.equal(now.pending, 3);
    assert.equal(now.storageError, undefined);
    server.isAway = false;
    await page.evaluate(() => store.flush());
    await synced();
    const sent = server.log.map(([method, path, body]) => [method, path, body]);
    assert.deepEqual(
      sent.sort(([one], [other]) => (one < other ? -1 : 1)),
      [
        ["DELETE", "/people/c", undefined],
        ["PATCH", "/people/b", { name: "Bea New" }],
        ["POST", "/people", { name: "Dora Made", age: 1, tag: "old" }],
      ],
    );
    await reopen();
    server.isAway = true;
    assert.deepEqual((await load({ version: 2 })).items.map(({ name }) => name).sort(), [
      "Ada King",
      "Bea New",
      "Dora Made",
    ]);
  });

  test("an edit that was brought along is given up like any other: the item goes back to what the server holds", async () => {
    server.refuses = true;
    await usedByVersion1();
    assert.deepEqual((await load({ version: 2 })).status.parked, 1);
    await page.evaluate(() =>
      store
        .pending()
        .find(({ state }) => state === "parked")
        .discard(),
    );
    assert.equal(await page.evaluate(() => store.findById("b").name), "Bea Old");
  });

  test("a row that cannot be brought along is set apart and told, the others are there", async () => {
    server.isAway = true;
    await load();
    await create({ first: "Ada", last: "King" }, { first: "Bea", last: "Broken" });
    await reopen();
    const { items, status: now } = await load({ version: 2 });
    assert.deepEqual(
      items.map(({ name }) => name),
      ["Ada King"],
    );
    await until(async () => (await page.evaluate(() => entries("quarantine"))).length === 1);
    const [[, kept]] = await page.evaluate(() => entries("quarantine"));
    assert.match(kept.why, /cannot be migrated/);
    assert.ok(kept.record.includes("Broken"), "as it was stored");
    assert.equal(now.storageError.code, "E_QUARANTINED");
    server.isAway = false;
    await page.evaluate(() => store.flush());
    await synced();
    assert.deepEqual(
      server.log.map(([, , body]) => body.name),
      ["Ada King"],
    );
  });

  test("an app of an older version neither writes nor sends what a newer one has stored", async () => {
    await usedByVersion1();
    await load({ version: 2 });
    await page.evaluate(async () => {
      store.findById("a").tag = "edited";
      await store.findById("a").onceStored();
    });
    const stored = await page.evaluate(() => entries("deltas"));
    await reopen();
    server.isAway = false;
    const { status: old } = await load({ version: 1 });
    assert.deepEqual([old.durable, old.storageError.code], [false, "E_NEWER_VERSION"]);
    await page.evaluate(async () => {
      store.findById("a").age = 37;
      await store.findById("a").onceSynced();
      await store.create({ first: "Eve" }).onceSynced();
    });
    assert.deepEqual(
      server.log.map(([method]) => method),
      ["PATCH", "POST"],
      "only what was edited here",
    );
    await reopen();
    assert.deepEqual(await page.evaluate(() => entries("deltas")), stored);
  });

  test("a tab of an older version that is still open does not write over what a newer one has stored", async () => {
    await load({ version: 1 });
    await create({ first: "Ada", last: "King" });
    await synced();
    const other = await tab();
    await load({ version: 2 }, other);
    await other.evaluate(async () => {
      store.items[0].tag = "edited";
      await store.items[0].onceStored();
    });
    const outcome = await page.evaluate(() => {
      store.items[0].age = 5;
      return store.items[0].onceStored().then(
        () => "stored",
        (error) => error.code,
      );
    });
    assert.equal(outcome, "E_NEWER_VERSION");
    assert.equal((await status()).storageError.code, "E_NEWER_VERSION");
    await other.close();
    server.isAway = true;
    await reopen();
    assert.deepEqual(
      (await load({ version: 2 })).items.map(({ name, tag }) => [name, tag]),
      [["Ada King", "edited"]],
    );
  });

  test("a client storage that goes through page script keeps the version with each record", async () => {
    server.isAway = true;
    await load({ version: 1, wrapped: true });
    await create({ first: "Ada", last: "King" });
    await reopen();
    assert.deepEqual(
      (await load({ version: 2, wrapped: true })).items.map(({ name }) => name),
      ["Ada King"],
    );
    await until(() => page.evaluate(() => store.items[0].stored));
    await reopen();
    server.isAway = false;
    const { status: old, items } = await load({ version: 1, wrapped: true });
    assert.deepEqual([old.durable, old.storageError.code, items], [false, "E_NEWER_VERSION", []]);
    server.isAway = true;
    await reopen();
    // The same rows, without page script in between.
    assert.deepEqual(
      (await load({ version: 2 })).items.map(({ name }) => name),
      ["Ada King"],
    );
  });
});

describe("damage", () => {
  const DAMAGED = [
    ["text in place of a row", ["deltas", ["people", "k1"], { nonsense: true }]],
    ["a row without columns", ["deltas", ["people", "k2"], ["k2", "r2", undefined]]],
    [
      "an edit that is no edit",
      ["deltas", ["people", "k3"], ["k3", "r3", { settled: "existent", pending: 5 }, ["first"], "x"]],
    ],
    ["a sync that is a number", ["deltas", ["people", "k4"], ["k4", "r4", 7, ["first"], "x"]]],
    [
      "an edit of a wrong type",
      [
        "deltas",
        ["people", "k5"],
        ["k5", undefined, [1, 1, "6f1c1f5e-1111-4111-8111-111111111111"], ["first", "last", "age"], "x", "y", "old"],
      ],
    ],
    [
      "a frozen payload of a wrong type",
      [
        "deltas",
        ["people", "k6"],
        [
          "k6",
          "r6",
          {
            settled: "existent",
            inFlight: {
              action: "update",
              first: 1,
              last: 1,
              key: "6f1c1f5e-1111-4111-8111-111111111112",
              attempts: 1,
              fields: ["age"],
              frozen: { age: "old" },
            },
          },
          ["first", "last", "age"],
          "x",
          "y",
          3,
        ],
      ],
    ],
    ["a block that is none", ["blocks", ["people", 7, 0.5], "garbage"]],
    [
      "a damaged row within a block",
      ["blocks", ["people", 8, 0.5], [["k8", "r8", undefined, ["first"], "good"], null]],
    ],
  ];

  test("records that make no sense are set apart, told with their count, and never sent", async () => {
    server.isAway = true;
    await load();
    await create({ first: "Ada" });
    await reopen();
    await page.evaluate(
      (all) => tamper((place) => all.forEach(([, [name, key, value]]) => place(name).put(value, key))),
      DAMAGED,
    );
    const { items, status: now } = await load();
    assert.equal(now.storageError.code, "E_QUARANTINED");
    assert.match(now.storageError.message, new RegExp(`^E_QUARANTINED: ${DAMAGED.length} stored records`));
    assert.equal(now.durable, true);
    assert.deepEqual(
      items.map(({ first }) => first),
      ["Ada", "good"],
    );
    await until(async () => (await page.evaluate(() => entries("quarantine"))).length === DAMAGED.length);

    // A new record under one of their keys, and the same damage once more: everything stays.
    await page.evaluate(
      (all) => tamper((place) => all.slice(0, 2).forEach(([, [name, key, value]]) => place(name).put(value, key))),
      DAMAGED,
    );
    server.isAway = false;
    await reopen();
    await load();
    await synced();
    assert.deepEqual(
      server.log.map(([method, , body]) => [method, body.first]),
      [["POST", "Ada"]],
    );
    await until(async () => (await page.evaluate(() => entries("quarantine"))).length === DAMAGED.length + 2);
    await reopen();
    const { lastError, storageError } = (await load()).status;
    assert.deepEqual([lastError, storageError], [undefined, undefined], "they are out of the way");
    assert.equal((await page.evaluate(() => entries("quarantine"))).length, DAMAGED.length + 2);
  });
});

describe("the database's own version", () => {
  /** A database as version 1 of the package made it. */
  const version1 = () =>
    page.evaluate(() =>
      tamper((place) => {
        const columns = ["first", "last", "age"];
        const row = (n) => [`k${n}`, `r${n}`, undefined, columns, `First ${n}`, "L", n];
        place("blocks").put([row(1), row(2)], ["people", 0, 0.25]);
        place("deltas").put("k2", ["people", "k2"]);
        const key = (n) => `6f1c1f5e-1111-4111-8111-00000000000${n}`;
        place("deltas").put(["k3", undefined, [1, 1, key(1)], columns, "Made", "L", 3], ["people", "k3"]);
        const sync = {
          settled: "existent",
          pending: { action: "update", first: 2, last: 2, key: key(2), fields: ["age"] },
          base: { age: 1 },
          baseFields: ["age"],
        };
        place("deltas").put(["k1", "r1", sync, columns, "First 1", "L", 11], ["people", "k1"]);
      }, 1),
    );

  test("a database of the first version is upgraded, with its rows and queued edits", async () => {
    await version1();
    server.isAway = true;
    const { items, status: now } = await load();
    assert.deepEqual(
      items.map(({ first, age }) => [first, age]),
      [
        ["First 1", 11],
        ["Made", 3],
      ],
    );
    assert.deepEqual([now.durable, now.pending, now.storageError], [true, 2, undefined]);
    server.isAway = false;
    server.rows.set("r1", { id: "r1", first: "First 1", last: "L", age: 1 });
    await page.evaluate(() => store.flush());
    await synced();
    assert.deepEqual(server.log.map(([method, , body]) => [method, body.age]).sort(), [
      ["PATCH", 11],
      ["POST", 3],
    ]);
    await reopen();
    await load();
    assert.equal((await status()).storageError, undefined);
  });

  test("a tab with the first version open that lets go is waited for, one that does not is not", async () => {
    await version1();
    await page.evaluate(async () => {
      const request = indexedDB.open("concordia", 1);
      window.older = await new Promise((done) => (request.onsuccess = () => done(request.result)));
      older.onversionchange = () => older.close();
    });
    const other = await tab();
    assert.deepEqual((await load({}, other)).status.durable, true);
    await other.close();

    await page.evaluate(() => deleteDatabase());
    await page.evaluate(() => localStorage.clear());
    await version1();
    await page.evaluate(async () => {
      const request = indexedDB.open("concordia", 1);
      window.older = await new Promise((done) => (request.onsuccess = () => done(request.result)));
    });
    const third = await tab();
    const begun = Date.now();
    const { status: now } = await load({}, third);
    assert.ok(Date.now() - begun < 15_000, `${Date.now() - begun} ms`);
    assert.deepEqual([now.durable, now.storageError.code], [false, "E_STORAGE"]);
    assert.match(now.storageError.message, /another tab/);
    await third.evaluate(() => store.create({ first: "sent" }).onceSynced());
    await page.evaluate(() => older.close());
    await third.close();
  });

  test("when another tab upgrades the database, the page finishes its batch, lets go and says so", async () => {
    await load();
    const stored = page.evaluate(() => store.create({ first: "Ada" }).onceStored());
    const other = await tab();
    await other.evaluate(
      () =>
        new Promise((done, failed) => {
          const request = indexedDB.open("concordia", 3);
          request.onsuccess = () => {
            request.result.close();
            done();
          };
          setTimeout(failed, 5000, new Error("it hangs"));
        }),
    );
    await stored;
    await until(async () => (await status()).storageError?.code === "E_NEWER_VERSION");
    assert.equal((await status()).durable, false);
    await page.evaluate(() => store.create({ first: "Bea" }).onceSynced());
    await other.close();
    const { status: next } = await (await reopen(), load());
    assert.deepEqual([next.durable, next.storageError.code], [false, "E_NEWER_VERSION"]);
  });
});

describe("closing", () => {
  test("an edit that is followed in the same task by closing the page is there after reopening", async () => {
    server.isAway = true;
    await load();
    await create({ first: "Ada" });
    // Only a window that a script has opened may be closed by one.
    await reopen();
    const opened = browser.context.waitForEvent("page");
    await page.evaluate(() => void window.open(location.href));
    const popup = await opened;
    await popup.waitForFunction(() => window.concordia !== undefined);
    await load({}, popup);
    const gone = popup.waitForEvent("close");
    await popup
      .evaluate(() => {
        store.items[0].first = "Edited";
        store.create({ first: "Bea" });
        window.close();
      })
      .catch(() => {});
    await gone;
    const { items } = await load();
    assert.deepEqual(
      items.map(({ first }) => first),
      ["Edited", "Bea"],
    );
    const queued = await page.evaluate(() => store.pending().map(({ item }) => item.first));
    assert.deepEqual([...new Set(queued)], ["Edited", "Bea"]);
  });
});
