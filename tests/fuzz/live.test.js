/**
 * Messages of a live connection, whatever they hold: taken, or complained of in the status. None throws in the page, and the next one is
 * heard.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import init, { HttpTransporter, Schema, Store } from "../../pkg/index.js";
import { MAGIC, demandCleanPrototypes, demandPlain, isUnicode, jsonText, objectText, text } from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { answering } from "./support/server.js";

let server, stores;

/** A connection that the test speaks through. */
class Spoken extends EventTarget {
  static last;
  constructor(url) {
    super();
    this.url = String(url);
    Spoken.last = this;
  }
  say(data) {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }
  close() {}
}

const real = [globalThis.EventSource, globalThis.WebSocket];

before(async () => {
  await init();
  stores = 0;
  server = answering(() => ({ text: "[]" }));
  globalThis.EventSource = class extends Spoken {};
  globalThis.WebSocket = class extends Spoken {};
});
after(() => {
  server.restore();
  [globalThis.EventSource, globalThis.WebSocket] = real;
});

const uncaught = [];
process.on("uncaughtException", (error) => uncaught.push(error));
process.on("unhandledRejection", (error) => uncaught.push(error));

async function listening(live) {
  const transporter = new HttpTransporter({ baseUrl: `http://live-${++stores}.example`, path: "people", live });
  const store = new Store({ schema: new Schema({ name: String, any: Object }), transporter });
  await store.onceLoaded();
  Spoken.last.dispatchEvent(new Event("open"));
  return { store, say: (data) => Spoken.last.say(data) };
}

const action = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("create", "update", "delete").map((one) => JSON.stringify(one)) },
  fc.constantFrom(...MAGIC).map((one) => JSON.stringify(one)),
  jsonText,
);
const key = fc.oneof(
  { weight: 3, arbitrary: fc.nat(3).map(String) },
  text.map((one) => JSON.stringify(one)),
  jsonText,
);
const data = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(key, text, jsonText).map(([id, name, any]) =>
      objectText([
        ["id", id],
        ["name", JSON.stringify(name)],
        ["any", any],
        ["__proto__", any],
      ]),
    ),
  },
  key,
  jsonText,
);
const message = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(action, data).map(([does, row]) =>
      objectText([
        ["action", does],
        ["data", row],
      ]),
    ),
  },
  jsonText,
  text,
);

const asJson = (said) => {
  try {
    return JSON.parse(said);
  } catch {
    return undefined;
  }
};

/** What a message makes of the items, where that is plain to see. */
function expectation(said) {
  const { action: does, data: row } = asJson(said) ?? {};
  const id = row?.id;
  const isKey =
    (typeof id === "number" && Number.isFinite(id)) ||
    (typeof id === "string" && !["", ".", ".."].includes(id) && !id.includes("\0") && isUnicode(id));
  if (!isKey || typeof row !== "object" || !Object.hasOwn(row, "id")) return undefined;
  return does === "delete" ? { id, is: false } : undefined;
}

for (const url of ["/changes", "ws://elsewhere.example/changes"])
  test(`any message of ${url} is taken or complained of, and the next one is heard`, async (t) => {
    const { store, say } = await listening(url);
    let nth = 0;
    await holds(t, 800, message, async (said) => {
      say(said);
      demandCleanPrototypes();
      for (const item of store.items) demandPlain(item.toJSON());
      const expected = expectation(said);
      if (expected) assert.equal(store.findById(expected.id) !== undefined, expected.is);
      const id = `good-${++nth}`;
      say(JSON.stringify({ action: "create", data: { id, name: said } }));
      assert.equal(store.findById(id)?.name, said);
      say(JSON.stringify({ action: "delete", data: id }));
      assert.equal(store.findById(id), undefined);
      if (store.items.length > 20) for (const item of store.items) item.remove("transporter");
      if (nth % 100 === 0) await new Promise((resume) => setTimeout(resume));
    });
    await new Promise((resume) => setTimeout(resume, 20));
    assert.deepEqual(uncaught, []);
    await store.close();
  });

test("what is no text, or makes no sense to the app's own parser, is complained of", async (t) => {
  const thrown = fc.constantFrom(new Error("no"), "no", undefined, null, Symbol("no"), Object.create(null), {
    message: 7n,
  });
  let throws;
  const parse = (given) => {
    if (throws) throw throws.value;
    return given;
  };
  const { store, say } = await listening({ url: "/changes", parse });
  await holds(
    t,
    300,
    fc.oneof(fc.anything(), fc.constantFrom(new ArrayBuffer(4), new Blob(["{}"]))),
    fc.option(thrown),
    (given, value) => {
      throws = undefined;
      say(typeof given === "string" ? undefined : given);
      assert.match(store.status.lastError.message, /a live message makes no sense/);
      throws = { value };
      say("{}");
      assert.match(store.status.lastError.message, /a live message makes no sense/);
      throws = undefined;
      say(JSON.stringify({ action: "create", data: { id: 1, name: "heard" } }));
      assert.equal(store.findById(1).name, "heard");
    },
  );
  await new Promise((resume) => setTimeout(resume, 20));
  assert.deepEqual(uncaught, []);
  await store.close();
});
