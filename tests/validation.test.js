/** A schema's validator: any that follows Standard Schema, here zod's and some by hand. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { z } from "zod";
import init, { ConcordiaError, EmptyTransporter, Schema, Store } from "../pkg/index.js";

before(() => init());

const PROPERTIES = {
  name: String,
  age: Number,
  active: { type: Boolean, default: true },
  address: { properties: { street: String, zip: String } },
};

const PERSON = z.object({
  name: z.string().trim().min(1, "must not be empty"),
  age: z.coerce.number().int().min(0).optional(),
  active: z.boolean(),
  address: z.object({ street: z.string().min(2), zip: z.string().optional() }).optional(),
});

let stores = 0;

function open(validate, options) {
  const schema = new Schema({ properties: PROPERTIES, validate });
  return new Store({ schema, name: `validated-${++stores}`, transporter: new EmptyTransporter(), options });
}

/** What the call throws. */
function thrown(act) {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ConcordiaError, String(error));
    return error;
  }
  return assert.fail("nothing was thrown");
}

test("values that the validator does not accept are refused with their paths, and the store is as it was", () => {
  const store = open(PERSON);
  const told = [];
  store.subscribe(() => told.push(1));
  const refused = thrown(() => store.create({ name: " ", age: -1, address: { street: "A" } }));
  assert.equal(refused.code, "E_VALIDATION");
  assert.match(refused.message, /"name": must not be empty; "age": .*; "address\.street": /);
  assert.deepEqual([store.items.length, told.length], [0, 0]);

  const ada = store.create({ name: "Ada", age: 36, address: { street: "Main" } });
  told.length = 0;
  assert.equal(thrown(() => (ada.age = -1)).code, "E_VALIDATION");
  assert.equal(thrown(() => ada.update({ name: "" })).code, "E_VALIDATION");
  assert.match(thrown(() => (ada.address.street = "x")).message, /"address\.street"/);
  assert.equal(thrown(() => (ada.age = 1.5)).code, "E_VALIDATION");
  assert.deepEqual([ada.name, ada.age, ada.address.street, told.length], ["Ada", 36, "Main", 0]);
});

test("each assignment is validated, the second one of a turn too", () => {
  const ada = open(PERSON).create({ name: "Ada" });
  ada.age = 1;
  assert.equal(thrown(() => (ada.age = -1)).code, "E_VALIDATION");
  ada.age = 2;
  assert.equal(ada.age, 2);
});

test("values that the validator changes are taken", () => {
  const store = open(PERSON);
  const ada = store.create({ name: "  Ada ", age: "36" });
  assert.deepEqual([ada.name, ada.age, ada.active], ["Ada", 36, true]);
  ada.name = " Ada King ";
  assert.equal(ada.name, "Ada King");
  ada.update({ age: "37" });
  assert.equal(ada.age, 37);
});

test("the validator sees all values of the item as they would be, and what it does not know stays", () => {
  const seen = [];
  const store = open({
    "~standard": {
      version: 1,
      vendor: "test",
      validate(value) {
        seen.push(value);
        return { value: { name: value.name } };
      },
    },
  });
  const ada = store.create({ name: "Ada", unknown: 1 });
  assert.deepEqual(seen.pop(), { name: "Ada", active: true });
  ada.age = 5;
  assert.deepEqual(seen.pop(), { name: "Ada", active: true, age: 5 });
  assert.equal(ada.age, 5);
  ada.update({ age: undefined });
  assert.deepEqual(seen.pop(), { name: "Ada", active: true });
});

test("what was assigned while autoSave was off is validated when it is saved", () => {
  const ada = open(PERSON, { autoSave: false }).create({ name: "Ada" });
  ada.name = "";
  assert.equal(thrown(() => ada.update()).code, "E_VALIDATION");
  ada.name = " Bea ";
  ada.update();
  assert.equal(ada.name, "Bea");
});

test("what the server says is not validated", () => {
  const store = open(PERSON);
  const row = store.create({ id: "1", name: "" }, "transporter");
  row.update({ age: -1 }, "transporter");
  assert.deepEqual([row.name, row.age], ["", -1]);
});

test("an asynchronous validator is refused at its first use", () => {
  const store = open(PERSON.refine(async () => true));
  const refused = thrown(() => store.create({ name: "Ada" }));
  assert.equal(refused.code, "E_SCHEMA");
  assert.match(refused.message, /asynchronous/);
  assert.equal(store.items.length, 0);
});

test("a validator, a version or migrations without sense are refused with the schema", () => {
  const migrate = (row) => row;
  for (const [definition, naming] of [
    [{ validate: () => true }, /Standard Schema/],
    [{ validate: null }, /Standard Schema/],
    [{ version: 0 }, /version/],
    [{ version: 1.5 }, /version/],
    [{ version: "2" }, /version/],
    [{ version: 2 }, /migrations\[2\]/],
    [{ version: 3, migrations: { 3: migrate } }, /migrations\[2\]/],
    [{ version: 2, migrations: { 2: "row" } }, /migrations\[2\]/],
    [{ version: 2, migrations: null }, /migrations/],
  ]) {
    const refused = thrown(() => new Schema({ properties: PROPERTIES, ...definition }));
    assert.equal(refused.code, "E_SCHEMA");
    assert.match(refused.message, naming);
  }
  new Schema({ properties: PROPERTIES, version: 3, migrations: { 2: migrate, 3: migrate } });
});
