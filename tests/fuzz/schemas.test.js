/** Definitions of schemas, whatever they are: refused with a code, or a schema whose items can be made, stored and loaded again. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import init, { ConcordiaError, EmptyTransporter, Key, NumberKey, Schema, Store } from "../../pkg/index.js";
import { MAGIC, demandCleanPrototypes, demandPlain, text } from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { Shelf } from "./support/shelf.js";

let stores = 0;
let other;

before(async () => {
  await init();
  other = new Store({ schema: new Schema({ name: String }), name: "other", transporter: new EmptyTransporter() });
});

/** What `act` makes; nothing if it is refused with one of these codes. */
function made(act, ...codes) {
  try {
    return act();
  } catch (error) {
    assert.ok(error instanceof ConcordiaError && codes.includes(error.code), error);
    return undefined;
  }
}

// --------------------------------------------------------------------------------------------------------- what is drawn

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("name", "age", "other", "a.b") },
  fc.constantFrom(
    ...MAGIC,
    "id",
    "_id",
    "__id",
    "_sync",
    "_schemaVersion",
    "error",
    "valueOf",
    "__defineGetter__",
    "a.__proto__.b",
  ),
  text,
);
const type = fc.constantFrom(String, Number, Boolean, Date, Object, Array, Key, NumberKey);
const odd = fc.constantFrom(
  undefined,
  null,
  0,
  "",
  "name",
  Symbol("s"),
  7n,
  Object.create(null),
  () => {},
  Map,
  [],
  "self",
);
const keyName = fc.oneof({ weight: 3, arbitrary: name }, odd);
const reference = fc.oneof(
  fc.constantFrom(
    "self",
    () => other,
    () => undefined,
    () => 7,
  ),
  fc.constant(null).map(() => other),
  odd,
);

const { properties } = fc.letrec((tie) => ({
  definition: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 6, arbitrary: type },
    {
      weight: 3,
      arbitrary: fc.record(
        { type: fc.constantFrom(Key, NumberKey), key: keyName, _key: keyName, primary: fc.boolean(), ref: reference },
        { requiredKeys: ["type"] },
      ),
    },
    {
      weight: 2,
      arbitrary: fc.record(
        { type, required: fc.boolean(), default: fc.oneof(text, fc.nat(), odd) },
        { requiredKeys: ["type"] },
      ),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant(Array), items: tie("definition") }) },
    { weight: 2, arbitrary: fc.record({ properties: tie("properties") }) },
    { weight: 1, arbitrary: odd },
    { weight: 1, arbitrary: fc.oneof(fc.nat(100), fc.constant(50_000)).map(nested) },
    { weight: 1, arbitrary: fc.constantFrom("properties", "items").map(circular) },
  ),
  properties: fc
    .array(fc.tuple(name, tie("definition")), { maxLength: 4 })
    .map((entries) => Object.fromEntries(entries)),
}));

function nested(depth) {
  let inner = String;
  for (let at = 0; at < depth; at++) inner = at % 2 === 0 ? { properties: { inner } } : { type: Array, items: inner };
  return inner;
}

function circular(side) {
  const around = side === "items" ? { type: Array } : {};
  if (side === "items") around.items = around;
  else around.properties = { around };
  return around;
}

const whole = fc.oneof(
  { weight: 6, arbitrary: properties },
  {
    weight: 3,
    arbitrary: fc.record(
      {
        properties,
        version: fc.oneof(fc.nat(3), odd),
        migrations: fc.oneof(fc.constant({ 2: (row) => row, 3: (row) => row }), odd),
        validate: odd,
      },
      { requiredKeys: ["properties"] },
    ),
  },
  { weight: 1, arbitrary: fc.anything() },
  { weight: 1, arbitrary: odd },
);

// --------------------------------------------------------------------------------------------------------------- checks

const SAMPLES = new Map([
  [String, "text"],
  [Number, 7],
  [Boolean, true],
  [Date, new Date(0)],
  [Object, { a: [1] }],
  [Array, [1]],
]);

/** Values for the properties that are simple, by their names. */
function valuesFor(given) {
  const all =
    typeof given.properties === "object" && given.properties !== null && !given.properties.type
      ? given.properties
      : given;
  const entries = Object.entries(all).map(([property, one]) => [property, SAMPLES.get(one) ?? SAMPLES.get(one?.type)]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined && value !== SAMPLES.get(undefined)));
}

test("any definition is refused as a schema, or its items can be made, stored and loaded again", async (t) => {
  let usable = 0;
  await holds(t, 1_500, whole, async (given) => {
    const schema = made(() => new Schema(given), "E_SCHEMA");
    demandCleanPrototypes();
    if (schema === undefined) return;
    const [shelf, storeName] = [new Shelf(), `schema-${++stores}`];
    const open = () =>
      new Store({ schema, name: storeName, transporter: new EmptyTransporter(), clientStorage: shelf });
    const first = open();
    await first.onceLoaded();
    const simple = new Set(["E_TYPE", "E_NOT_CLONEABLE", "E_UNSAFE_ID"]);
    const items = [{}, valuesFor(given)].map((values) => made(() => first.create(values), ...simple));
    for (const item of items.filter(Boolean)) {
      usable++;
      demandPlain(item.toJSON());
      await item.onceStored();
    }
    const earlier = first.items.map((item) => item.toJSON());
    await first.close();
    const second = open();
    await second.onceLoaded();
    assert.equal(second.status.storageError, undefined);
    assert.deepStrictEqual(
      second.items.map((item) => item.toJSON()),
      earlier,
    );
    await second.close();
    demandCleanPrototypes();
  });
  assert.ok(usable > 200, `${usable} items could be made`);
});
