/**
 * Reading a collection over the packed package, in a real Chromium with its own database: page after page, only what has
 * changed, or nothing at all; and what may and what must not be inferred from it.
 */
/* global store, concordia -- of the page */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { dirname } from "node:path";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { collectionServer } from "./support/collection-server.js";
import { unpack } from "./support/packed-site.js";

/** `open(options)` makes the store; an option that is `{js: "…"}` is evaluated. */
const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>People</title>
  <script type="module">
    import * as concordia from "/concordia/index.js";
    const { default: init, HttpTransporter, IndexedDbClientStorage, Schema, Store } = concordia;
    await init();
    window.concordia = concordia;
    const read = (options) =>
      Object.fromEntries(
        Object.entries(options).map(([name, value]) => [name, value?.js ? (0, eval)("(" + value.js + ")") : value]),
      );
    window.open = async (options, properties = { name: String, age: Number }) => {
      window.store = new Store({
        schema: new Schema({ properties }),
        transporter: new HttpTransporter({ baseUrl: "/api", path: "people", ...read(options) }),
        clientStorage: new IndexedDbClientStorage(),
      });
      await store.onceLoaded();
    };
    window.ready = true;
  </script>
</html>
`;

const ROWS = 2_500;
const PAGES = { pages: "link" };
const DELTAS = {
  pages: "link",
  rows: { js: "(body) => body.rows" },
  deleted: { js: "(body) => body.deleted" },
  since: { js: `({ param: "since", from: (response, body) => String(body.until) })` },
};

let folder, server, profile, browser;

before(async () => {
  folder = await unpack();
});
after(() => removeDir(dirname(folder)));

beforeEach(async () => {
  profile = await tempDir();
  browser = await launch(profile);
  server = await collectionServer({ folder, pages: { "/": PAGE } });
});

afterEach(async () => {
  await browser.close();
  await server.stop();
  await removeDir(profile);
});

const person = (number) => ({ id: `p${number}`, name: `Person ${number}`, age: number });

function fill(count) {
  for (let number = 1; number <= count; number++) server.put(person(number));
}

/** Loads the page anew and opens the store. The requests that this took. */
async function open(options, origin = server.origin) {
  await browser.page.goto(origin);
  await browser.page.waitForFunction("window.ready");
  const from = server.log.length;
  await browser.page.evaluate((given) => window.open(given), options);
  return server.log.slice(from);
}

const count = () => browser.page.evaluate(() => store.items.length);
const status = () => browser.page.evaluate(() => ({ ...store.status, error: store.status.lastError?.code }));
/** What is stored has been committed. */
const settled = () => browser.page.evaluate(() => store.close());
const fetched = () =>
  browser.page.evaluate(() =>
    store.fetch().then(
      () => "read",
      (error) => error.code,
    ),
  );

describe("pages", () => {
  beforeEach(() => {
    fill(ROWS);
    server.pageSize = 500;
  });

  test("2 500 rows come in pages of 500, and the next page load takes one request and no row", async () => {
    server.deltas = true;
    const first = await open(DELTAS);
    assert.deepEqual(
      first.map(({ rows }) => rows),
      [500, 500, 500, 500, 500],
    );
    assert.equal(await count(), ROWS);
    await settled();
    const second = await open(DELTAS);
    assert.deepEqual(
      second.map(({ path, rows }) => [path, rows]),
      [[`/api/people?since=${ROWS}`, 0]],
    );
    assert.equal(await count(), ROWS);
  });

  test("page 3 fails: what came before is there, nothing is deleted, and it goes on there by itself", async () => {
    server.deltas = true;
    await open(DELTAS);
    await settled();
    for (let number = 1; number <= 1_500; number++) server.put({ ...person(number), age: -number });
    server.fail((path) => path.includes("page=1000"));
    await browser.page.goto(server.origin);
    await browser.page.waitForFunction("window.ready");
    const from = server.log.length;
    await browser.page.evaluate((given) => window.open(given), DELTAS);
    await until(() => browser.page.evaluate(() => store.items.filter(({ age }) => age < 0).length === 1_500));
    assert.equal(await count(), ROWS);
    const pages = server.log.slice(from).map(({ path, status: code }) => [/page=(\d+)/.exec(path)?.[1], code]);
    assert.deepEqual(pages, [
      [undefined, 200],
      ["500", 200],
      ["1000", 500],
      ["1000", 200],
    ]);
  });

  test("a fetch whose page 3 fails rejects and deletes nothing, and the next one goes on there", async () => {
    await open(PAGES);
    for (let number = 1; number <= ROWS; number += 2) server.delete(`p${number}`);
    server.fail((path) => path.includes("page=1000"));
    assert.equal(await fetched(), "E_SERVER");
    assert.equal(await count(), ROWS);
    const from = server.log.length;
    assert.equal(await fetched(), "read");
    assert.match(server.log[from].path, /page=1000/);
    assert.equal(await count(), ROWS, "a read with a gap proves nothing");
    assert.equal(await fetched(), "read");
    assert.equal(await count(), ROWS / 2);
  });

  test("headers go to no other server, whatever a link says", async () => {
    const other = await collectionServer({ cors: { "Access-Control-Allow-Origin": "*" } });
    server.linkTo = (next) => next.replace(server.origin, other.origin);
    await open({ ...PAGES, headers: { Authorization: "secret" } });
    assert.equal((await status()).error, "E_BAD_ANSWER");
    assert.equal(await count(), 500);
    assert.deepEqual(other.log, []);
    await other.stop();
  });

  test("links in a circle end with an error and delete nothing", async () => {
    await open(PAGES);
    server.linkTo = () => "/api/people?page=500";
    assert.equal(await fetched(), "E_BAD_ANSWER");
    assert.equal(await count(), ROWS);
  });

  test("across origins, where a server hides its links, one page is not all there is", async () => {
    const site = await collectionServer({ folder, pages: { "/": PAGE } });
    server.stop();
    const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" };
    const hiding = await collectionServer({ cors });
    for (let number = 1; number <= 20; number++) hiding.put(person(number));
    await open({ ...PAGES, baseUrl: `${hiding.origin}/api` }, site.origin);
    assert.equal(await count(), 20);
    hiding.pageSize = 5;
    assert.equal(await fetched(), "read");
    assert.equal(await count(), 20);
    await Promise.all([hiding.stop(), site.stop()]);
    await server.start();
  });
});

describe("deltas", () => {
  beforeEach(async () => {
    fill(20);
    server.deltas = true;
    await open(DELTAS);
    await settled();
  });

  test("tombstones take their items along, an answer without rows takes nothing", async () => {
    server.delete("p3");
    server.delete("p4");
    server.put({ ...person(5), name: "changed" });
    const [asked, ...others] = await open(DELTAS);
    assert.deepEqual([asked.rows, others, await count()], [1, [], 18]);
    assert.equal(await browser.page.evaluate(() => store.findById("p5").name), "changed");
    assert.equal(await fetched(), "read");
    assert.equal(await count(), 18);
  });

  test("an item with an edit that has not been sent is not taken along, but kept as gone", async () => {
    await open(DELTAS);
    await browser.page.evaluate(() => {
      store.pause();
      store.findById("p3").age = 99;
      return store.findById("p3").onceStored();
    });
    server.delete("p3");
    const reading = server.log.length;
    await browser.page.evaluate(() => store.resume());
    await until(async () => (await status()).parked === 1, { what: "the edit is parked" });
    assert.ok(server.log.length > reading);
    assert.equal(await browser.page.evaluate(() => store.pending()[0].reason.code), "E_GONE_REMOTELY");
    assert.equal(await browser.page.evaluate(() => store.findById("p3").age), 99);
  });

  test("another schema reads everything again", async () => {
    await browser.page.goto(server.origin);
    await browser.page.waitForFunction("window.ready");
    const from = server.log.length;
    await browser.page.evaluate((given) => window.open(given, { name: String, age: Number, city: String }), DELTAS);
    assert.deepEqual(
      server.log.slice(from).map(({ path, rows }) => [path, rows]),
      [["/api/people", 20]],
    );
  });
});

describe("a whole collection", () => {
  beforeEach(() => fill(20));

  test("that has not changed is told by its ETag, also after a reload", async () => {
    server.tags = true;
    await open({});
    await settled();
    const again = await open({});
    assert.deepEqual(
      again.map(({ status: code, headers }) => [code, headers["if-none-match"]]),
      [[304, '"20"']],
    );
    assert.equal(await count(), 20);
    assert.equal((await status()).error, undefined);
    server.delete("p1");
    assert.equal(await fetched(), "read");
    assert.equal(await count(), 19);
  });

  test("is read without a condition if the app does not want it, or if it has pages", async () => {
    server.tags = true;
    for (const options of [{ conditional: false }, PAGES]) {
      await open(options);
      assert.equal(await fetched(), "read");
      assert.equal(server.log.at(-1).headers["if-none-match"], undefined);
      await settled();
    }
  });

  test("loses what an empty list does not have, but nothing by an answer without a body", async () => {
    await open({});
    await browser.page.evaluate(() => {
      const middleware = { receive: ({ data }) => (window.nothing ? undefined : data) };
      store.pause();
      return middleware;
    });
    await browser.page.route("**/api/people", (route) => route.fulfill({ status: 204 }));
    await browser.page.evaluate(() => store.resume());
    assert.equal(await fetched(), "E_BAD_ANSWER");
    assert.equal(await count(), 20);
    await browser.page.unroute("**/api/people");
    for (const { id } of server.rows) server.delete(id);
    assert.equal(await fetched(), "read");
    assert.equal(await count(), 0);
  });

  test("rows without a key, of a wrong type or that come twice are left out and counted, and nothing is deleted", async () => {
    await open({});
    server.put({ id: "p21", name: 21 });
    server.put({ id: "p22", name: "fine" });
    server.delete("p1");
    const rows = [
      ...server.rows,
      { name: "no key" },
      server.rows[0],
      JSON.parse('{"id": "p23", "__proto__": {"age": 1}}'),
    ];
    await browser.page.route("**/api/people", (route) => route.fulfill({ json: rows }));
    assert.equal(await fetched(), "read");
    const message = await browser.page.evaluate(() => store.status.lastError.message);
    assert.match(message, /3 of 24 rows were left out/);
    assert.equal(await count(), 22);
    assert.equal(await browser.page.evaluate(() => ({}).age), undefined);
  });
});

test("a late answer takes no edit back", async () => {
  fill(3);
  await open({});
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await browser.page.route("**/api/people", async (route) => {
    if (route.request().method() !== "GET") return route.continue();
    const response = await route.fetch();
    await held;
    return route.fulfill({ response });
  });
  const reading = fetched();
  await browser.page.evaluate(() => {
    store.findById("p1").age = 77;
    return store.findById("p1").onceSynced();
  });
  release();
  assert.equal(await reading, "read");
  assert.equal(await browser.page.evaluate(() => store.findById("p1").age), 77);
});

test("bad options are refused at once, by name", async () => {
  await browser.page.goto(server.origin);
  await browser.page.waitForFunction("window.ready");
  const refused = await browser.page.evaluate(() => {
    const options = [
      { since: { param: "", from: "ETag" } },
      { since: { param: "since", from: "Date" } },
      { pages: "next" },
      { deleted: "deleted" },
      { conditional: "yes" },
      { live: "ftp://example.org/" },
      { live: { url: "/events", parse: "json" } },
      { offlineChecker: {} },
    ];
    return options.map((option) => {
      try {
        return String(new concordia.HttpTransporter({ path: "people", ...option }));
      } catch (error) {
        return error.code;
      }
    });
  });
  assert.deepEqual(
    refused,
    refused.map(() => "E_OPTIONS"),
  );
});
