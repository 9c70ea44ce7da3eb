/**
 * Live changes over the packed package, in a real Chromium, from a real server: Server-Sent Events and WebSocket.
 */
/* global store -- of the page */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
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
    import init, { HttpTransporter, IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";
    await init();
    window.open = async (live, more = {}) => {
      window.store = new Store({
        schema: new Schema({ properties: { name: String, age: Number } }),
        transporter: new HttpTransporter({ baseUrl: "/api", path: "people", live, ...more }),
        clientStorage: new IndexedDbClientStorage(),
      });
      window.seen = new Map();
      store.subscribe(({ added, updated }) => {
        for (const item of [...added, ...updated]) seen.set(item.id + " " + item.age, Date.now());
      });
      await store.onceLoaded();
    };
    window.ready = true;
  </script>
</html>
`;

let folder, server, profile, browser;

before(async () => {
  folder = await unpack();
  profile = await tempDir();
  browser = await launch(profile);
});
after(async () => {
  await browser.close();
  await removeDir(profile);
  await removeDir(dirname(folder));
});

beforeEach(async () => {
  server = await collectionServer({ folder, pages: { "/": PAGE } });
  for (let number = 1; number <= 30; number++) server.put(person(number, 0));
});
afterEach(async () => {
  await browser.page.goto("about:blank");
  await server.stop();
});

const person = (number, age) => ({ id: `p${number}`, name: `Person ${number}`, age });
const ages = () => browser.page.evaluate(() => store.items.map(({ age }) => age));
const error = () => browser.page.evaluate(() => store.status.lastError?.code);

async function open(live, more) {
  await browser.page.goto(server.origin);
  await browser.page.waitForFunction("window.ready");
  await browser.page.evaluate(([given, others]) => window.open(given, others), [live, more]);
  await until(() => server.live === 1, { what: "the live connection is open" });
  // The read that may follow an open connection has been answered.
  let quiet = [0, 0];
  await until(() => {
    if (quiet[0] !== server.log.length) quiet = [server.log.length, Date.now()];
    return server.log.every(({ status }) => status !== undefined) && Date.now() - quiet[1] > 300;
  });
}

const KINDS = {
  "Server-Sent Events": () => "/api/events",
  "a WebSocket": () => `${server.origin.replace("http", "ws")}/api/socket`,
};

for (const [kind, address] of Object.entries(KINDS))
  describe(`by ${kind}`, () => {
    test("changes made elsewhere arrive within 100 ms", async () => {
      await open(address());
      const reads = server.log.length;
      const took = [];
      for (let number = 1; number <= 20; number++) {
        const said = Date.now();
        server.put(person(number, 50 + number));
        const seen = await until(() =>
          browser.page.evaluate((name) => window.seen.get(name), `p${number} ${50 + number}`),
        );
        took.push(seen - said);
      }
      took.sort((one, other) => one - other);
      assert.ok(took[took.length >> 1] < 100, `median ${took[took.length >> 1]} ms of ${took}`);
      assert.equal(server.log.length, reads, "nothing had to be asked for");
      server.delete("p1");
      server.put(person(31, 31));
      await until(() => browser.page.evaluate(() => !store.findById("p1") && store.findById("p31")?.age === 31));
    });

    test("a cut of 5 s with 20 changes in it loses none, and makes no storm", async () => {
      await open(address());
      await server.stop();
      for (let number = 1; number <= 18; number++) server.put(person(number, 99));
      server.delete("p19");
      server.put(person(31, 99));
      await sleep(5_000);
      const from = server.log.length;
      await server.start();
      await until(async () => (await ages()).filter((age) => age === 99).length === 19, {
        what: "all changes are here",
      });
      assert.equal(await browser.page.evaluate(() => store.findById("p19")), undefined);
      await until(() => server.live === 1, { what: "the live connection is open again" });
      server.put(person(20, 100));
      await until(async () => (await ages()).includes(100));
      assert.ok(server.log.length - from <= 6, `${server.log.length - from} reads`);
    });

    test("rubbish is told and harms nothing", async () => {
      await open(address());
      const rubbish = [
        "{",
        "[]",
        "null",
        "7",
        '{"action":"explode"}',
        '{"action":"update"}',
        '{"action":"update","data":{}}',
      ];
      for (const text of [...rubbish, '{"action":"update","data":{"id":"p2","age":"old"}}', '{"action":"delete"}']) {
        server.put(person(1, 1));
        await until(async () => (await error()) === undefined, { what: "a good message clears the error" });
        server.say(text);
        await until(async () => (await error()) !== undefined, { what: `${text} is told` });
        assert.equal((await ages()).length, 30, text);
        server.put(person(1, 2));
        await until(async () => (await ages()).includes(2));
      }
      assert.equal(server.live, 1);
    });

    test("`refetch` reads the collection", async () => {
      await open(address());
      const reads = server.log.length;
      server.say("refetch");
      await until(() => server.log.length === reads + 1);
      server.say('"refetch"');
      await until(() => server.log.length === reads + 2);
    });

    test("an edit made here is not taken back by its own echo", async () => {
      await open(address());
      const back = await browser.page.evaluate(async () => {
        const item = store.findById("p1");
        let newest = 0;
        const taken = [];
        item.subscribe(() => item.age < newest && taken.push([item.age, newest]));
        for (let age = 1; age <= 60; age++) {
          item.age = newest = age;
          await new Promise((resolve) => setTimeout(resolve, age % 7));
        }
        await item.onceSynced();
        return taken;
      });
      assert.deepEqual(back, []);
      assert.equal(server.rows.find(({ id }) => id === "p1").age, 60);
    });

    test("a paused store does not listen, and reads what it missed", async () => {
      await open(address());
      await browser.page.evaluate(() => store.pause());
      await until(() => server.live === 0, { what: "the connection is closed" });
      server.put(person(1, 55));
      await browser.page.evaluate(() => store.resume());
      await until(async () => (await ages()).includes(55));
      assert.equal(server.live, 1);
    });

    test("closing the store closes the connection", async () => {
      await open(address());
      await browser.page.evaluate(() => store.close());
      await until(() => server.live === 0);
      await sleep(1_500);
      assert.equal(server.live, 0);
    });
  });

test("a server that ends every connection is asked less and less often", async () => {
  await browser.page.goto(server.origin);
  await browser.page.waitForFunction("window.ready");
  const asked = [];
  await browser.page.route("**/api/events", (route) => {
    asked.push(Date.now());
    return route.fulfill({ contentType: "text/event-stream", body: "data: hello\n\n" });
  });
  await browser.page.evaluate(() => window.open("/api/events"));
  await sleep(10_000);
  await browser.page.unroute("**/api/events");
  assert.ok(asked.length >= 2 && asked.length <= 8, `${asked.length} connections in 10 s`);
});

test("cookies go to the collection's own server alone", async () => {
  const other = await collectionServer({ cors: { "Access-Control-Allow-Origin": server.origin } });
  await browser.page.goto(server.origin);
  await browser.page.waitForFunction("window.ready");
  await browser.page.evaluate(() => {
    document.cookie = "session=secret; path=/";
    window.made = [];
    const Real = window.EventSource;
    window.EventSource = class extends Real {
      constructor(url, options) {
        super(url, options);
        window.made.push([new URL(url).origin === location.origin, options.withCredentials]);
      }
    };
  });
  await browser.page.evaluate((live) => window.open(live, { credentials: "include" }), `${other.origin}/api/events`);
  await until(() => other.live === 1);
  assert.deepEqual(await browser.page.evaluate(() => window.made), [[false, false]]);
  await browser.page.evaluate(() => store.close());
  await browser.page.evaluate(() => window.open("/api/events", { credentials: "include" }));
  await until(() => server.live === 1);
  assert.deepEqual(await browser.page.evaluate(() => window.made.at(-1)), [true, true]);
  await other.stop();
});
