/**
 * Bad input gets a clear error, and nothing is lost: what an app can get wrong is refused at the call, with a code and
 * a sentence that names the property; what a server can get wrong never harms the page or what it holds.
 */
/* global concordia, openStore, store -- of the page */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, before, describe, test } from "node:test";
import { until } from "./support/browser.js";
import { packedPage } from "./support/packed-page.js";
import { closed } from "./support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Bad input</title>
  <script type="module">
    import * as concordia from "/concordia/index.js";

    window.concordia = concordia;
    window.openStore = async (api, options = {}) => {
      const { default: init, HttpTransporter, IndexedDbClientStorage, NumberKey, Schema, Store } = concordia;
      await init();
      window.store = new Store({
        schema: new Schema({
          properties: {
            id: { type: NumberKey, primary: true },
            firstName: String,
            age: Number,
            active: Boolean,
            born: Date,
            tags: { type: Array, items: String },
            address: { properties: { street: String, city: String } },
            anything: Object,
            list: Array,
          },
        }),
        transporter: new HttpTransporter({ baseUrl: api, path: "people", ...options }),
        clientStorage: new IndexedDbClientStorage(),
      });
      await store.onceLoaded();
    };
  </script>
</html>
`;
const ADA = { id: 1, firstName: "Ada", age: 36, active: true, tags: ["first"], address: { street: "A", city: "B" } };
const BEA = { id: 2, firstName: "Bea", age: 40, active: false, tags: [], address: { street: "C", city: "D" } };
const MEGABYTE = 1024 * 1024;

const site = packedPage(PAGE);
let page;

/** A fresh page with nothing stored, on which `init()` was not called yet. */
async function blank() {
  await page?.close();
  page = await site.context.newPage();
  const session = await site.context.newCDPSession(page);
  await session.send("Storage.clearDataForOrigin", { origin: site.origin, storageTypes: "all" });
  await load();
}

async function load() {
  await page.goto(site.origin);
  await page.waitForFunction(() => window.concordia !== undefined);
}

afterEach(() => {
  const found = site.troubles.splice(0);
  assert.deepEqual(found, [], "no error was left uncaught in the page");
});

/** What the call throws, synchronously. `call` runs in the page. */
function thrown(call, argument) {
  const source = `(() => {
    try {
      (${call})(${JSON.stringify(argument)});
      return { code: "nothing was thrown" };
    } catch (error) {
      return {
        code: error.code,
        message: error.message,
        isConcordiaError: error instanceof concordia.ConcordiaError,
        isError: error instanceof Error,
      };
    }
  })()`;
  return page.evaluate(source);
}

function assertRefused(error, code, naming) {
  assert.equal(error.code, code, `${error.code}: ${error.message}`);
  assert.ok(error.isConcordiaError && error.isError, "a ConcordiaError, which is an Error");
  if (naming) assert.match(error.message, naming);
  assert.ok(error.message.length > 20, `says what to do: ${error.message}`);
}

/** A REST server whose answers the test writes. `log` holds the requests but for preflights. */
async function scripted(answer) {
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      const body = Buffer.concat(chunks).toString();
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
      response.setHeader("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key");
      if (request.method === "OPTIONS") return response.writeHead(204).end();
      const entry = {
        method: request.method,
        path: request.url,
        key: request.headers["idempotency-key"],
        body: body ? JSON.parse(body) : undefined,
      };
      self.log.push(entry);
      await self.answer(entry, response);
    });
  });
  const self = { log: [], answer, close: () => closed(server) };
  await new Promise((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  self.origin = `http://127.0.0.1:${server.address().port}`;
  self.writes = () => self.log.filter((entry) => entry.method !== "GET");
  return self;
}

function json(response, body, status = 200) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function html(response) {
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
  response.end("<!doctype html><title>Free wifi</title><h1>Please sign in</h1>");
}

const healthy = (rows) => (entry, response) => {
  if (entry.method === "GET") return json(response, rows);
  if (entry.method === "DELETE") return response.writeHead(204).end();
  return json(response, { id: 100, ...entry.body }, entry.method === "POST" ? 201 : 200);
};

async function withStore(answer, steps, options) {
  const server = await scripted(answer);
  try {
    await blank();
    await page.evaluate((given) => openStore(...given), [server.origin, options]);
    await steps(server);
    await page.evaluate(() => store.close());
  } finally {
    await server.close();
  }
}

const shown = () => page.evaluate(() => JSON.parse(JSON.stringify(store.items)));
const names = async () => (await shown()).map((row) => row.firstName).sort();
const status = () =>
  page.evaluate(() => ({
    connection: store.status.connection,
    pending: store.status.pending,
    parked: store.status.parked,
    lastError: store.status.lastError?.code,
  }));
/** The promise of the fetch is rejected with it; or, where the fetch is tried again, the status says so. */
async function assertFetchTells(code) {
  await page.evaluate(() => {
    window.told = undefined;
    store.fetch().then(
      () => (window.told = "no error"),
      (error) => (window.told = error.code),
    );
  });
  const told = await until(() => page.evaluate(() => window.told ?? store.status.lastError?.code), { what: code });
  assert.equal(told, code);
}

const onceSynced = () =>
  until(() => page.evaluate(() => store.pending().length === 0), { what: "every edit is taken" });

describe("before init() has settled", () => {
  const uses = {
    Schema: () => new concordia.Schema({ age: Number }),
    Store: () => new concordia.Store({}),
    HttpTransporter: () => new concordia.HttpTransporter({ path: "people" }),
    IndexedDbClientStorage: () => new concordia.IndexedDbClientStorage(),
  };
  test("using the package is refused with E_NOT_INITIALISED, and works afterwards", async () => {
    await blank();
    const refused = await thrown(uses.Store);
    assertRefused(refused, "E_NOT_INITIALISED", /init\(\)/);
    for (const [name, use] of Object.entries(uses)) {
      const error = await thrown(use);
      if (error.code !== "nothing was thrown") assertRefused(error, "E_NOT_INITIALISED", /init\(\)/);
      else assert.notEqual(name, "Store");
    }
    await page.evaluate(() => concordia.default());
    assert.equal((await thrown(uses.Schema)).code, "nothing was thrown");
  });
});

describe("a definition without sense", () => {
  before(async () => {
    await blank();
    await page.evaluate(() => concordia.default());
  });

  const schemas = [
    [
      "two primary keys",
      /one|two|key/,
      ({ Key, NumberKey }) => ({
        properties: { one: { type: Key, primary: true }, two: { type: NumberKey, primary: true, key: "other" } },
      }),
    ],
    [
      "a key that is named the same on both sides",
      /id/,
      ({ Key }) => ({ properties: { id: { type: Key, primary: true, key: "id", _key: "id" } } }),
    ],
    ["an unknown constructor", /when/, () => ({ properties: { when: RegExp } })],
    ["a type's name as text", /age/, () => ({ properties: { age: "number" } })],
    ["no type at all", /age/, () => ({ properties: { age: null } })],
    ["an unknown type in the long form", /age/, () => ({ properties: { age: { type: Symbol } } })],
    ["an unknown type of a list's elements", /tags/, () => ({ properties: { tags: { type: Array, items: RegExp } } })],
    ["an unknown type deep inside", /street/, () => ({ properties: { address: { properties: { street: RegExp } } } })],
    ["no definition", undefined, () => undefined],
    [
      "more properties than a schema can have",
      /128|properties/,
      () => ({ properties: Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`p${index}`, Number])) }),
    ],
  ];
  for (const [what, naming, definition] of schemas) {
    test(`a schema with ${what} is refused with E_SCHEMA`, async () => {
      const call = `() => new concordia.Schema((${definition})(concordia))`;
      assertRefused(await thrown(call), "E_SCHEMA", naming);
    });
  }

  const options = [
    ["a store without options", /schema|options/, () => new concordia.Store()],
    ["a store without a schema", /schema/, () => new concordia.Store({ name: "people" })],
    ["a store with a definition for a schema", /schema/, () => new concordia.Store({ schema: { age: Number } })],
    ["a baseUrl of another scheme", /baseUrl/, () => new concordia.HttpTransporter({ baseUrl: "ftp://a", path: "b" })],
    ["a baseUrl of script", /baseUrl/, () => new concordia.HttpTransporter({ baseUrl: "javascript:0", path: "b" })],
    ["a baseUrl without a host", /baseUrl/, () => new concordia.HttpTransporter({ baseUrl: "http://", path: "b" })],
    ["a baseUrl that is no text", /baseUrl/, () => new concordia.HttpTransporter({ baseUrl: 7, path: "b" })],
    ["no path", /path/, () => new concordia.HttpTransporter({ baseUrl: "/api" })],
    [
      "a header value with a line break",
      /X-Name/i,
      () => new concordia.HttpTransporter({ path: "b", headers: { "X-Name": "a\r\nX-Other: b" } }),
    ],
    [
      "a header name with a line break",
      /header/i,
      () => new concordia.HttpTransporter({ path: "b", headers: { "X-Name\nX-Other": "a" } }),
    ],
  ];
  for (const [what, naming, call] of options) {
    test(`${what} is refused with E_OPTIONS`, async () => assertRefused(await thrown(call), "E_OPTIONS", naming));
  }
});

describe("a value that cannot be", () => {
  const wrong = {
    firstName: ["1", "{}"],
    age: ['"old"', "true"],
    active: ['"yes"'],
    born: ["{}"],
    tags: ['"a"', "[1]"],
    address: ['"here"', "{ street: 1, city: 'B' }"],
  };
  const values = Object.entries(wrong).flatMap(([name, literals]) => literals.map((literal) => [name, literal]));
  const unkept = [
    ["anything", "{ run() {} }", "a function"],
    ["anything", "(() => { const a = {}; a.self = a; return a; })()", "a cycle"],
    ["anything", "{ mark: Symbol('mark') }", "a symbol"],
    ["list", "[() => 1]", "a function in a list"],
  ];
  const ways = {
    create: (name, literal) => `() => store.create({ firstName: "Cyd", ${name}: ${literal} })`,
    assignment: (name, literal) => `() => { store.findById(1).${name} = ${literal}; }`,
    update: (name, literal) => `() => store.findById(1).update({ firstName: "Eve", ${name}: ${literal} })`,
  };

  /** Every refusal, and that none of it can be seen: in the store, in its queue, on the server or after a reload. */
  async function assertAllRefused(calls, code) {
    await withStore(healthy([ADA, BEA]), async (server) => {
      const untouched = await shown();
      for (const [call, naming] of calls) {
        assertRefused(await thrown(call), code, naming);
        assert.deepEqual(await shown(), untouched, `unchanged after ${call}`);
        assert.equal(await page.evaluate(() => store.pending().length), 0, `nothing is queued after ${call}`);
      }
      await page.evaluate(() => store.flush());
      assert.deepEqual(server.writes(), []);
      await load();
      await page.evaluate((api) => openStore(api), server.origin);
      assert.deepEqual(await shown(), untouched);
    });
  }

  for (const [way, call] of Object.entries(ways)) {
    test(`of a wrong type, by ${way}, is refused with E_TYPE and the store is unchanged`, () =>
      assertAllRefused(
        values.map(([name, literal]) => [call(name, literal), new RegExp(name)]),
        "E_TYPE",
      ));
    test(`that cannot be cloned, by ${way}, is refused with E_NOT_CLONEABLE and the store is unchanged`, () =>
      assertAllRefused(
        unkept.map(([name, literal]) => [call(name, literal), new RegExp(name)]),
        "E_NOT_CLONEABLE",
      ));
  }

  test("as an id, '', '.' and '..' are refused with E_UNSAFE_ID", async () => {
    await blank();
    const refused = await page.evaluate(async () => {
      const { default: init, EmptyTransporter, Key, Schema, Store } = concordia;
      await init();
      const schema = new Schema({ properties: { id: { type: Key, primary: true }, firstName: String } });
      window.store = new Store({ schema, name: "people", transporter: new EmptyTransporter() });
      await store.onceLoaded();
      return true;
    });
    assert.ok(refused);
    for (const id of ["", ".", ".."]) {
      const calls = [
        (unsafe) => store.create({ id: unsafe, firstName: "Ada" }),
        (unsafe) => store.create({ id: unsafe, firstName: "Ada" }, "transporter"),
        (unsafe) => store.findOneOrFetch({ id: unsafe }),
      ];
      for (const call of calls) assertRefused(await thrown(call, id), "E_UNSAFE_ID", /id/);
    }
    assert.deepEqual(await shown(), []);
    await page.evaluate(() => store.close());
  });

  test("as a key of findOneOrFetch, anything but the primary key is refused with E_NOT_A_KEY", async () => {
    await withStore(healthy([ADA]), async (server) => {
      for (const key of [{ firstName: "Ada" }, {}, 1]) {
        assertRefused(await thrown((given) => store.findOneOrFetch(given), key), "E_NOT_A_KEY");
      }
      assert.deepEqual(await names(), ["Ada"]);
      assert.deepEqual(server.writes(), []);
    });
  });
});

describe("a property that the schema does not have", () => {
  test("is not taken: not shown, not sent, not stored", async () => {
    await withStore(healthy([ADA]), async (server) => {
      await page.evaluate(async () => {
        const hostile = JSON.parse('{"firstName": "Cyd", "nickname": "C", "__proto__": {"polluted": 1}}');
        const cyd = store.create(hostile);
        Reflect.set(cyd, "nickname", "Cy");
        store.findById(1).update({ age: 37, nickname: "A" });
        await cyd.onceSynced();
      });
      await onceSynced();
      for (const row of await shown()) assert.ok(!("nickname" in row), JSON.stringify(row));
      assert.equal(await page.evaluate(() => ({}).polluted), undefined);
      assert.equal(server.writes().length, 2);
      for (const { body } of server.writes()) {
        assert.ok(!Object.hasOwn(body, "nickname") && !Object.hasOwn(body, "__proto__"), JSON.stringify(body));
      }
      await load();
      await page.evaluate((api) => openStore(api), server.origin);
      for (const row of await shown()) assert.ok(!("nickname" in row), JSON.stringify(row));
    });
  });
});

describe("a server that answers", () => {
  test("HTML to a read counts as offline, and the store keeps what it has", async () => {
    await withStore(healthy([ADA, BEA]), async (server) => {
      server.answer = (_entry, response) => html(response);
      await page.evaluate(() => void store.fetch().catch(() => undefined));
      await until(async () => (await status()).connection === "offline", { what: "offline" });
      assert.deepEqual(await names(), ["Ada", "Bea"]);
    });
  });

  test("HTML to a write has not applied it: the edit is kept and sent again", async () => {
    await withStore(healthy([ADA]), async (server) => {
      server.answer = (_entry, response) => html(response);
      await page.evaluate(() => void store.create({ firstName: "Cyd", age: 20 }));
      await until(async () => (await status()).connection === "offline", { what: "offline" });
      assert.deepEqual(await names(), ["Ada", "Cyd"]);
      assert.deepEqual(
        { ...(await status()), lastError: "" },
        { connection: "offline", pending: 1, parked: 0, lastError: "" },
      );
      server.answer = healthy([ADA]);
      await onceSynced();
      assert.equal((await shown()).find((row) => row.firstName === "Cyd").id, 100);
      assert.equal((await status()).connection, "online");
    });
  });

  test("malformed JSON to a write may have applied it: it is sent again with the same key", async () => {
    const steps = async (server) => {
      server.answer = (entry, response) => {
        if (entry.method !== "POST" || server.writes().length > 1) return healthy([ADA])(entry, response);
        return json(response, '{"id": 100, "firstName": ', 201);
      };
      await page.evaluate(() => void store.create({ firstName: "Cyd", age: 20 }));
      await onceSynced();
      const [first, second, ...more] = server.writes();
      assert.deepEqual([first.method, second.method, more], ["POST", "POST", []]);
      assert.match(first.key, /^[0-9a-f-]{36}$/);
      assert.equal(second.key, first.key);
      assert.deepEqual(second.body, first.body);
      assert.deepEqual(await names(), ["Ada", "Cyd"]);
    };
    await withStore(healthy([ADA]), steps, { idempotencyKey: true });
  });

  test("malformed JSON to a read makes the fetch say so, and the store keeps what it has", async () => {
    await withStore(healthy([ADA, BEA]), async (server) => {
      server.answer = (_entry, response) => json(response, '[{"id": 1, "firstName": "X"}, ');
      await assertFetchTells("E_BAD_ANSWER");
      assert.deepEqual(await names(), ["Ada", "Bea"]);
    });
  });

  for (const declared of [true, false]) {
    const how = declared ? "with its length declared" : "in chunks";
    test(`100 MB, ${how}, is told E_TOO_LARGE, and the page survives with what it has`, async () => {
      await withStore(healthy([ADA, BEA]), async (server) => {
        server.answer = (entry, response) => flood(response, declared);
        await assertFetchTells("E_TOO_LARGE");
        assert.deepEqual(await names(), ["Ada", "Bea"]);
        server.answer = healthy([ADA, BEA]);
        await page.evaluate(() => void store.findById(1).update({ age: 37 }));
        await onceSynced();
        assert.equal(server.writes().at(-1).body.age, 37);
      });
    });
  }

  test("a row with __proto__, constructor and prototype pollutes nothing", async () => {
    const row = (id) => `{"id": ${id}, "firstName": "Ada", "__proto__": {"polluted": 1},
      "constructor": {"prototype": {"polluted": 2}}, "prototype": {"polluted": 3},
      "address": {"street": "A", "city": "B", "__proto__": {"polluted": 4}},
      "anything": {"__proto__": {"polluted": 5}, "constructor": {"prototype": {"polluted": 6}}}}`;
    const hostile = (entry, response) => json(response, entry.method === "GET" ? `[${row(1)}]` : row(1));
    const clean = () =>
      page.evaluate(() => {
        const item = store.findById(1);
        return [
          {}.polluted,
          [].polluted,
          item.polluted,
          item.address.polluted,
          item.anything.polluted,
          Object.getPrototypeOf(item.toJSON().address) === Object.prototype,
          item.firstName,
          typeof item.update,
        ];
      });
    const untouched = [undefined, undefined, undefined, undefined, undefined, true, "Ada", "function"];
    await withStore(hostile, async (server) => {
      assert.deepEqual(await clean(), untouched);
      await page.evaluate(() => store.findById(1).update({ age: 37 }).onceSynced());
      assert.deepEqual(await clean(), untouched);
      await load();
      await page.evaluate((api) => openStore(api), server.origin);
      assert.deepEqual(await clean(), untouched);
    });
  });

  test('a body that is nothing but {"__proto__": …} pollutes nothing, and is no collection', async () => {
    await withStore(healthy([ADA]), async (server) => {
      server.answer = (_entry, response) => json(response, '{"__proto__": {"polluted": 1}}');
      await assertFetchTells("E_BAD_ANSWER");
      assert.equal(await page.evaluate(() => ({}).polluted), undefined);
      assert.deepEqual(await names(), ["Ada"]);
    });
  });

  test("rows without a key, of a wrong type or twice: they are left out and told, the rest is merged", async () => {
    const rows = [
      ADA,
      { firstName: "Keyless" },
      { id: null, firstName: "Null" },
      { ...BEA, id: 3, age: "forty" },
      { ...BEA, id: 4, firstName: "Twin" },
      { ...BEA, id: 4, firstName: "Other twin" },
      7,
      null,
      BEA,
    ];
    await withStore(healthy(rows), async (server) => {
      const merged = await names();
      assert.deepEqual(
        merged.filter((name) => !name.toLowerCase().includes("twin")),
        ["Ada", "Bea"],
      );
      assert.ok(merged.length <= 3, `a key stands for one item: ${merged}`);
      assert.equal((await status()).lastError, "E_BAD_ANSWER");
      assert.equal((await status()).connection, "online");
      assert.deepEqual(server.writes(), []);
    });
  });
});

/** 100 MB of rows that are well formed as far as they go. */
async function flood(response, declared) {
  const size = 100 * MEGABYTE;
  const head = '[{"id": 1, "firstName": "';
  const tail = '"}]';
  const type = { "Content-Type": "application/json" };
  response.writeHead(200, declared ? { ...type, "Content-Length": size } : type);
  response.on("error", () => undefined);
  const chunk = "x".repeat(MEGABYTE);
  response.write(head);
  let left = size - head.length - tail.length;
  while (left > 0 && !response.destroyed) {
    const part = left >= MEGABYTE ? chunk : chunk.slice(0, left);
    left -= part.length;
    if (!response.write(part)) await drained(response);
  }
  if (!response.destroyed) response.end(tail);
}

const drained = (response) =>
  new Promise((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
