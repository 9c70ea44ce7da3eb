/**
 * Outages over the packed package, in a real Chromium: what is asked while a server cannot be reached, with a checker and
 * without one, and what follows when it can be again.
 */
/* global store, checker -- of the page */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { collectionServer } from "./support/collection-server.js";
import { unpack } from "./support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>People</title>
  <script type="module">
    import init, { HttpOfflineChecker, HttpTransporter, Schema, Store } from "/concordia/index.js";
    await init();
    Object.assign(window, { HttpOfflineChecker, HttpTransporter });
    window.open = async (api, checkUrl) => {
      if (checkUrl) {
        window.checker = new HttpOfflineChecker({ pattern: "*/api/*", checkUrl });
        HttpTransporter.addOfflineChecker(checker);
      }
      window.store = new Store({
        schema: new Schema({ properties: { name: String, age: Number } }),
        transporter: new HttpTransporter({ baseUrl: api, path: "people" }),
      });
      await store.onceLoaded();
    };
    window.ready = true;
  </script>
</html>
`;

const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers": "*",
  "Access-Control-Allow-Methods": "*",
};

let folder, site, api, profile, browser;
/** What the page asked of the API: a path for each request. */
let asked;

before(async () => {
  folder = await unpack();
  profile = await tempDir();
  browser = await launch(profile);
  browser.page.on("request", (request) => {
    const url = new URL(request.url());
    if (api && url.origin === api.origin && request.method() !== "OPTIONS") asked.push(url.pathname);
  });
});
after(async () => {
  await browser.close();
  await removeDir(profile);
  await removeDir(dirname(folder));
});

beforeEach(async () => {
  asked = [];
  site = await collectionServer({ folder, pages: { "/": PAGE } });
  api = await collectionServer({ cors: CORS });
  api.put({ id: "p1", name: "Ada", age: 1 });
  await browser.page.goto(site.origin);
  await browser.page.waitForFunction("window.ready");
});
afterEach(async () => {
  await browser.page.goto("about:blank");
  await site.stop();
  await api.stop();
});

const open = (checked) =>
  browser.page.evaluate(
    ([base, url]) => window.open(base, url),
    [`${api.origin}/api`, checked && `${api.origin}/api/ping`],
  );
const connection = () => browser.page.evaluate(() => store.status.connection);
const edit = (age) => browser.page.evaluate((value) => void (store.findById("p1").age = value), age);

test("with a checker the outage is probed by its address, and what waits follows when it answers", async () => {
  await open(true);
  await api.stop();
  await edit(2);
  await until(async () => (await connection()) === "offline");
  assert.equal(await browser.page.evaluate(() => checker.isOffline), true);
  const lost = asked.length;
  await sleep(6_000);
  const probes = asked.slice(lost);
  assert.ok(probes.length >= 1 && probes.every((path) => path === "/api/ping"), `${probes}`);
  assert.ok(asked.length - lost <= 10 + 6 / 5, `${asked.length - lost} requests`);
  const available = browser.page.evaluate(() => checker.onceAvailable().then(() => "available"));
  api.put({ id: "p2", name: "Grace", age: 3 });
  await api.start();
  assert.equal(await available, "available");
  await until(async () => (await connection()) === "online");
  await until(() => api.rows.some(({ id, age }) => id === "p1" && age === 2), { what: "the edit has arrived" });
  await until(() => browser.page.evaluate(() => store.items.length === 2), { what: "what was missed is here" });
  assert.equal(await browser.page.evaluate(() => checker.isOffline), false);
});

test("without a checker the requests that wait are the probes, one at a time and less and less often", async () => {
  await open(false);
  await api.stop();
  await browser.page.evaluate(() => {
    for (let number = 0; number < 20; number++) store.create({ name: `new ${number}` });
  });
  await until(async () => (await connection()) === "offline");
  const lost = asked.length;
  await sleep(6_000);
  assert.ok(asked.length - lost <= 10, `${asked.length - lost} requests`);
  await api.start();
  await until(() => api.rows.length === 21, { what: "everything has arrived" });
});

test("a checker is told by hand, and probes at once with nothing waiting", async () => {
  await open(true);
  const result = await browser.page.evaluate(async () => {
    const back = checker.setOffline();
    const states = [store.status.connection, checker.isOffline];
    await back;
    return [...states, checker.isOffline];
  });
  assert.deepEqual(result, ["offline", true, false]);
  await until(async () => (await connection()) === "online");
  assert.ok(api.pings >= 1);
});

test("a checker that is told that the server is back lets what waits go on", async () => {
  await open(true);
  await api.stop();
  await edit(5);
  await until(async () => (await connection()) === "offline");
  await api.start();
  await browser.page.evaluate(() => checker.setOnline());
  await until(() => api.rows.some(({ age }) => age === 5));
  assert.equal(await connection(), "online");
});

test("pause stops requests and keeps edits, resume sends them, flush settles when that is done", async () => {
  await open(false);
  await browser.page.evaluate(() => store.pause());
  assert.equal(await connection(), "paused");
  await edit(7);
  const from = asked.length;
  await browser.page.evaluate(() => store.flush());
  assert.equal(asked.length, from);
  assert.deepEqual(await browser.page.evaluate(() => [store.status.pending, store.pending()[0].state]), [1, "queued"]);
  await browser.page.evaluate(() => {
    store.resume();
    return store.flush();
  });
  assert.deepEqual(await browser.page.evaluate(() => [store.status.pending, store.status.connection]), [0, "online"]);
  assert.equal(api.rows[0].age, 7);
});
