/**
 * A server's rows, whatever they hold: what fits the schema is taken as it came, the rest is left out and counted, and nothing of it
 * becomes a prototype. What was taken can be edited, sent, stored and loaded again.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import init, { ConcordiaError, HttpTransporter, NumberKey, Schema, Store } from "../../pkg/index.js";
import {
  MAGIC,
  demandCleanPrototypes,
  demandPlain,
  isUnicode,
  jsonText,
  objectText,
  scalarText,
  text,
} from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { answering } from "./support/server.js";
import { Shelf } from "./support/shelf.js";

const PROPERTIES = {
  name: String,
  age: Number,
  active: Boolean,
  born: Date,
  any: Object,
  tags: Array,
  scores: { type: Array, items: Number },
  address: { properties: { street: String, geo: { properties: { lat: Number } } } },
};
const MAX_DEPTH = 64;

before(() => init());

let server, given, stores;

before(() => {
  stores = 0;
  server = answering(({ method }) => (method === "GET" ? { text: given } : { status: 503 }));
});
after(() => server.restore());

// --------------------------------------------------------------------------------------------------------- what is drawn

const keyText = fc.oneof(
  { weight: 4, arbitrary: fc.nat(6).map((key) => JSON.stringify(String(key))) },
  { weight: 2, arbitrary: fc.nat(6).map(String) },
  text.map((key) => JSON.stringify(key)),
  jsonText,
);

const FITTING = {
  name: text.map((one) => JSON.stringify(one)),
  age: scalarText,
  active: fc.constantFrom("true", "false"),
  born: fc.date({ noInvalidDate: true }).map((date) => JSON.stringify(date)),
  any: jsonText,
  tags: fc.array(jsonText, { maxLength: 3 }).map((list) => `[${list}]`),
  scores: fc.array(scalarText, { maxLength: 3 }).map((list) => `[${list}]`),
  address: fc
    .tuple(scalarText, scalarText, jsonText)
    .map(([street, lat, more]) => `{"street":${street},"geo":{"lat":${lat}},"__proto__":${more}}`),
};

/** A property and its value as text: mostly one that fits. */
const entry = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(...Object.keys(FITTING)).chain((name) => FITTING[name].map((one) => [name, one])),
  },
  fc.tuple(fc.constantFrom(...Object.keys(FITTING)), jsonText),
  fc.tuple(fc.constantFrom(...MAGIC, "_id", "_sync", "_schemaVersion", "__id"), jsonText),
);

const row = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(keyText, fc.array(entry, { maxLength: 6 }))
      .map(([key, entries]) => objectText([...entries, ["id", key]])),
  },
  jsonText,
);

const list = fc.array(row, { maxLength: 8 }).map((rows) => `[${rows.join(",")}]`);

// ------------------------------------------------------------------------------------------------------- the reference

const isShallow = (value) => {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return false;
    level = level.filter((one) => typeof one === "object" && one !== null).flatMap((one) => Object.values(one));
  }
  return true;
};

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const own = (value, name) => (Object.hasOwn(value, name) ? value[name] : undefined);

/** What a property keeps of a value; throws if it does not fit. */
const KEPT = {
  text: (value) => demand(typeof value === "string", value),
  number: (value) => demand(Number.isFinite(value), value),
  boolean: (value) => demand(typeof value === "boolean", value),
  date(value) {
    const date = new Date(demand(["string", "number"].includes(typeof value), value));
    return demand(!Number.isNaN(date.getTime()), date);
  },
  object: (value) => demand(isObject(value) && isShallow(value), value),
  array: (value) => demand(Array.isArray(value) && isShallow(value), value),
  numbers: (value) => KEPT.array(value).map((one) => kept("number", one)),
  geo: (value) => of({ lat: "number" })(value),
  address: (value) => of({ street: "text", geo: "geo" })(value),
};

function demand(fits, value) {
  if (!fits) throw new TypeError("it does not fit");
  return value;
}

const kept = (kind, value) => (value === null ? null : KEPT[kind](value));

const of = (kinds) => (value) => {
  demand(isObject(value), value);
  const object = {};
  for (const [name, kind] of Object.entries(kinds)) {
    const inner = own(value, name);
    if (inner !== undefined) object[name] = kept(kind, inner);
  }
  return object;
};

const asRow = of({
  name: "text",
  age: "number",
  active: "boolean",
  born: "date",
  any: "object",
  tags: "array",
  scores: "numbers",
  address: "address",
});

const isKey = (key) =>
  typeof key === "number"
    ? Number.isFinite(key)
    : typeof key === "string" && !["", ".", ".."].includes(key) && !key.includes("\0") && isUnicode(key);

/** By key what is taken of an answer, and how many rows are left out. */
function reference(rows) {
  const taken = new Map();
  let leftOut = 0;
  for (const one of rows) {
    const key = isObject(one) ? own(one, "id") : undefined;
    try {
      demand(isKey(key) && !taken.has(String(key)), key);
      taken.set(String(key), { ...asRow(one), id: key });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      leftOut++;
    }
  }
  return { taken, leftOut };
}

// --------------------------------------------------------------------------------------------------------------- checks

function open(name, clientStorage, properties = PROPERTIES) {
  const transporter = new HttpTransporter({ baseUrl: `http://${name}.example`, path: name, update: "PATCH" });
  return new Store({ schema: new Schema(properties), name, transporter, clientStorage });
}

/** An item's values, without what is undefined and without client storage's key. */
function valuesOf(item) {
  const json = item.toJSON();
  demandPlain(json);
  return Object.fromEntries(Object.entries(json).filter(([name, value]) => name !== "_id" && value !== undefined));
}

const read = (store) => new Map(store.items.map((item) => [String(item.id), valuesOf(item)]));

test("what fits is taken as it came, the rest is left out and counted, and no prototype is touched", async (t) => {
  await holds(t, 300, list, async (json) => {
    const { taken, leftOut } = reference(JSON.parse(json));
    given = json;
    const store = open(`rows-${++stores}`);
    try {
      await store.fetch();
      assert.deepStrictEqual(read(store), taken);
      const { lastError } = store.status;
      if (leftOut === 0) assert.equal(lastError, undefined);
      else
        assert.ok(lastError.message.startsWith(`E_BAD_ANSWER: ${leftOut} of ${taken.size + leftOut} rows`), lastError);
      demandCleanPrototypes();

      // The same once more changes nothing.
      const told = [];
      store.subscribe(({ added, updated, removed }) => told.push(...added, ...updated, ...removed));
      await store.fetch();
      assert.deepEqual(told, []);
      for (const item of store.items) assert.equal(store.findById(item.id), item);
    } finally {
      await store.close();
    }
  });
});

test("what was taken can be edited, stored and loaded again, and no edit is set apart", async (t) => {
  await holds(t, 120, list, async (json) => {
    const shelf = new Shelf();
    const name = `rows-${++stores}`;
    given = json;
    const first = open(name, shelf);
    await first.fetch();
    for (const item of first.items) item.name = "edited";
    await Promise.all(first.items.map((item) => item.onceStored()));
    const values = read(first);
    await first.close();

    given = "[not JSON";
    const second = open(name, shelf);
    try {
      await second.onceLoaded();
      assert.equal(second.status.storageError, undefined);
      assert.deepStrictEqual(read(second), values);
      assert.equal(second.pending().length, values.size);
    } finally {
      await second.close();
    }
  });
});

test("keys that are numbers are numbers, or the row is left out", async (t) => {
  await holds(t, 120, list, async (json) => {
    given = json;
    const store = open(`rows-${++stores}`, undefined, { ...PROPERTIES, id: NumberKey });
    try {
      await store.fetch();
      for (const item of store.items) {
        assert.ok(Number.isFinite(item.id), String(item.id));
        assert.equal(store.findById(item.id), item);
      }
    } finally {
      await store.close();
    }
  });
});

test("a row that is handed in is taken or refused with a code", async (t) => {
  given = "[]";
  const store = open(`rows-${++stores}`);
  await store.fetch();
  await holds(t, 800, jsonText, jsonText, async (json, other) => {
    for (const values of [JSON.parse(json), { id: JSON.parse(other), ...JSON.parse(json) }]) {
      try {
        const item = store.create(values, "transporter");
        demandPlain(item.toJSON());
        item.update(JSON.parse(other), "transporter");
        demandPlain(item.toJSON());
        assert.equal(store.findById(item.id), item);
        item.remove("transporter");
      } catch (error) {
        assert.ok(error instanceof ConcordiaError, error);
      }
      demandCleanPrototypes();
    }
  });
  await store.close();
});
