/**
 * What the server refuses is kept and shown with the server's own words, over reloads, until somebody decides; nobody else
 * waits for it.
 */
/* global Key, Schema, HttpTransporter, IndexedDbClientStorage, Store, people, rejection, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { world } from "./support/world.js";

const PROBLEM = {
  type: "https://example.org/problems/age",
  title: "That age cannot be.",
  status: 422,
  errors: [{ field: "age", detail: "must not be negative" }],
};
const ROWS = ["Ada", "Bea", "Cyd", "Dot"].map((name, at) => ({ name, age: 30 + at }));

test("a_422_is_kept_with_its_body_over_a_reload_and_ends_by_discard_or_by_a_fix_and_retry", async (t) => {
  const { server, profile } = await world(t);
  const refuses = ({ age }) => (age < 0 ? PROBLEM : undefined);
  const collection = server.collection("people", { keys: true, etags: true, rows: ROWS, refuses });
  const user = await profile();
  const open = async () => {
    const page = await user.open();
    await page.evaluate(async () => {
      window.store = people();
      await store.onceLoaded();
    });
    return page;
  };
  let page = await open();

  const refused = await page.evaluate(async () => {
    const [ada, bea, cyd, dot] = store.items;
    const wrong = [
      ada.update({ age: -1, city: "Aachen" }),
      bea.update({ age: -2 }),
      store.create({ name: "Eve", age: -3 }),
    ];
    const right = [cyd.update({ age: 40 }), dot.remove(), store.create({ name: "Fay", age: 20 })];
    await Promise.all(right.map((item) => item.onceSynced()));
    return Promise.all(wrong.map((item) => rejection(item.onceSynced())));
  });
  for (const { name, code, status, body } of refused)
    assert.deepEqual(
      { name, code, status, body },
      { name: "ConcordiaError", code: "E_REJECTED", status: 422, body: PROBLEM },
    );

  page = await open();
  const after = await page.evaluate(() => told(store));
  assert.deepEqual(
    after.pending.map(({ action, name, state, attempts }) => [action, name, state, attempts]),
    [
      ["update", "Ada", "parked", 1],
      ["update", "Bea", "parked", 1],
      ["create", "Eve", "parked", 1],
    ],
    "all three are there after the reload",
  );
  for (const { reason } of after.pending) {
    assert.deepEqual([reason.code, reason.status, reason.body], ["E_REJECTED", 422, PROBLEM]);
    assert.equal(typeof reason.message, "string");
  }
  assert.deepEqual([after.status.pending, after.status.parked], [3, 3]);
  const ada = after.items.find(({ name }) => name === "Ada");
  assert.deepEqual(
    [ada.age, ada.city, ada.synced, ada.error?.code, ada.error?.status],
    [-1, "Aachen", false, "E_REJECTED", 422],
  );
  assert.deepEqual(ada.error.body, PROBLEM);
  const unmarked = after.items.filter(({ synced, error }) => synced && error === undefined).map(({ name }) => name);
  assert.deepEqual(unmarked.sort(), ["Cyd", "Fay"], "the others are synced");

  const sent = server.writes().length;
  await page.evaluate(async () => {
    const edit = (name) => store.pending().find(({ item }) => item.name === name);
    edit("Ada").discard();
    edit("Eve").discard();
    await store.flush();
  });
  const restored = await page.evaluate(() => told(store));
  const again = restored.items.find(({ name }) => name === "Ada");
  assert.deepEqual(
    [again.age, again.city, again.synced, again.error],
    [30, undefined, true, undefined],
    "as the server has it",
  );
  assert.deepEqual(
    restored.items.map(({ name }) => name).sort(),
    ["Ada", "Bea", "Cyd", "Fay"],
    "what never was is gone",
  );
  assert.equal(server.writes().length, sent, "giving up is nobody else's business");

  await page.evaluate(async () => {
    const bea = store.findOne({ name: "Bea" });
    bea.update({ age: 41 });
    for (const edit of store.pending()) if (edit.state === "parked") edit.retry();
    await bea.onceSynced();
  });
  const fixed = server.writes().slice(sent);
  assert.deepEqual(
    fixed.map(({ method, path, status }) => [method, path, status]),
    [["PUT", "/people/2", 200]],
    "sent once",
  );
  assert.equal(fixed[0].body.age, 41);
  const told2 = await page.evaluate(() => told(store));
  assert.deepEqual(told2.pending, []);
  assert.ok(told2.items.every(({ synced, error }) => synced && error === undefined));
  assert.deepEqual(
    collection.rows().map(({ name, age }) => [name, age]),
    [
      ["Ada", 30],
      ["Bea", 41],
      ["Cyd", 40],
      ["Fay", 20],
    ],
  );
});

test("a_refused_delete_is_shown_and_discard_brings_the_item_back", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { rows: ROWS });
  server.fault({ method: "DELETE", times: 1, answer: { status: 403, body: { detail: "not yours" } } });
  const page = await open();
  const refused = await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    return rejection(store.items[0].remove().onceSynced());
  });
  assert.deepEqual([refused?.code, refused?.status, refused?.body], ["E_REJECTED", 403, { detail: "not yours" }]);
  const parked = await page.evaluate(() => told(store));
  assert.deepEqual(
    parked.pending.map(({ action, state, removed }) => [action, state, removed]),
    [["delete", "parked", true]],
  );
  assert.equal(parked.items.length, ROWS.length - 1);
  const { items, pending } = await page.evaluate(() => {
    store.pending()[0].discard();
    return told(store);
  });
  assert.deepEqual(items.map(({ name }) => name).sort(), ["Ada", "Bea", "Cyd", "Dot"]);
  assert.deepEqual(pending, []);
  assert.equal(collection.rows().length, ROWS.length);
});

test("an_update_of_what_was_deleted_elsewhere_is_parked_and_retry_creates_it_again", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { keys: true, etags: true, rows: ROWS.slice(0, 2) });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  for (const id of [1, 2]) collection.remove(id);
  const codes = await page.evaluate(async () => {
    const waits = store.items.map((item) => rejection(item.update({ city: "Bergen" }).onceSynced()));
    return (await Promise.all(waits)).map((error) => error?.code);
  });
  assert.deepEqual(codes, ["E_GONE_REMOTELY", "E_GONE_REMOTELY"]);
  await page.evaluate(async () => {
    const [ada, bea] = store.pending();
    bea.discard();
    ada.retry();
    await ada.item.onceSynced();
  });
  assert.deepEqual(
    collection.rows().map(({ name, city, age }) => [name, city, age]),
    [["Ada", "Bergen", 30]],
  );
  const { items, pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    items.map(({ name, synced }) => [name, synced]),
    [["Ada", true]],
  );
  assert.deepEqual(pending, []);
});

test("who_refers_to_a_parked_item_waits_says_why_and_goes_on_when_it_is_taken", async (t) => {
  const { server, open } = await world(t);
  const refuses = ({ name }) => (name === "" ? PROBLEM : undefined);
  const authors = server.collection("authors", { keys: true, refuses });
  const books = server.collection("books", { keys: true });
  const page = await open();
  const { refused, children } = await page.evaluate(async () => {
    const store_ = (path, properties) =>
      new Store({
        schema: new Schema({ properties }),
        transporter: new HttpTransporter({ baseUrl: "/api", path }),
        clientStorage: new IndexedDbClientStorage(),
      });
    const authors_ = store_("authors", { name: String });
    const books_ = store_("books", { title: String, author: { type: Key, key: "authorId", ref: authors_ } });
    Object.assign(window, { authors: authors_, books: books_ });
    await Promise.all([authors_.onceLoaded(), books_.onceLoaded()]);
    const parent = authors_.create({ name: "" });
    for (const title of ["One", "Two"]) books_.create({ title, author: parent });
    books_.create({ title: "Free" });
    return {
      refused: await rejection(parent.onceSynced()),
      children: await books_
        .findOne({ title: "Free" })
        .onceSynced()
        .then(() => told(books_).pending),
    };
  });
  assert.equal(refused?.code, "E_REJECTED");
  assert.deepEqual(
    children.map(({ state, action }) => [state, action]),
    [
      ["waiting", "create"],
      ["waiting", "create"],
    ],
  );
  for (const { reason } of children) assert.match(reason?.message ?? "", /\w/, "it says what it waits for");
  assert.deepEqual(
    books.rows().map(({ title }) => title),
    ["Free"],
  );

  await page.evaluate(async () => {
    const [edit] = window.authors.pending();
    edit.item.name = "Ada";
    edit.retry();
    await Promise.all(window.books.items.map((item) => item.onceSynced()));
  });
  assert.deepEqual(authors.rows(), [{ id: "1", name: "Ada" }]);
  const referring = books.rows().filter(({ title }) => title !== "Free");
  assert.deepEqual(referring.map(({ title, authorId }) => [title, authorId]).sort(), [
    ["One", "1"],
    ["Two", "1"],
  ]);
});
