/**
 * Items that refer to items, over the packed package and a REST server that nobody of this project wrote: what is made
 * without the server, and what the server's rows say.
 */
/* global concordia, stores -- of the page */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { jsonServer } from "./support/json-server.js";
import { serve, unpack } from "./support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Relations</title>
  <script type="module">
    import * as concordia from "/concordia/index.js";

    const { default: init, HttpTransporter, IndexedDbClientStorage, Key, Schema, Store } = concordia;
    await init();
    const baseUrl = new URLSearchParams(location.search).get("api");
    const open = (path, properties) =>
      new Store({
        schema: new Schema({ properties }),
        transporter: new HttpTransporter({ baseUrl, path }),
        clientStorage: new IndexedDbClientStorage(),
      });
    // The posts come before what they refer to.
    const posts = open("posts", {
      title: String,
      author: { type: Key, key: "authorId", _key: "_authorId", ref: () => people },
      tags: { type: Array, items: { type: Key, key: "tagIds", _key: "_tagIds", ref: () => tags } },
      answers: { type: Key, key: "answersId", ref: "self" },
      meta: { properties: { reviewer: { type: Key, key: "reviewerId", ref: () => people }, note: String } },
      owner: { type: Key, key: "links.ownerId", ref: () => people },
    });
    const people = open("authors", { name: String, favourite: { type: Key, key: "favouriteId", ref: posts } });
    const tags = open("tags", { word: String });
    window.concordia = concordia;
    window.stores = { posts, people, tags };
    await Promise.all([posts, people, tags].map((store) => store.onceLoaded()));
    window.ready = true;
  </script>
</html>
`;

let folder, site, server, profile, browser, page;
const troubles = [];

before(async () => {
  folder = await unpack();
  site = await serve({ folder, pages: { "/": PAGE } });
});

after(async () => {
  await site?.close();
  if (folder) await removeDir(dirname(folder));
});

beforeEach(async () => {
  profile = await tempDir();
  server = await jsonServer({ authors: [{ id: 7, name: "Ada" }], posts: [], tags: [] });
  troubles.length = 0;
});

afterEach(async () => {
  await browser?.close();
  await server?.remove();
  await removeDir(profile);
  assert.deepEqual(troubles, [], "no error was left uncaught in a page");
});

async function open() {
  browser = await launch(profile);
  page = browser.page;
  page.on("pageerror", (error) => troubles.push(error.message));
  await page.goto(`${site.origin}/?api=${encodeURIComponent(server.origin)}`);
  await page.waitForFunction(() => window.ready, undefined, { timeout: 30_000 });
}

const writes = () => server.log.filter(({ method }) => ["POST", "PUT", "PATCH", "DELETE"].includes(method));
const asWritten = () => writes().map(({ method, path, body }) => [method, path, body]);
const allSynced = () =>
  until(() => page.evaluate(() => Object.values(stores).every((store) => store.pending().length === 0)), {
    what: "everything is synced",
  });

test("what refers to a new item is sent after it, with its key, though the browser was closed in between", async () => {
  await open();
  const seen = await page.evaluate(async () => {
    const author = stores.people.create({ name: "Bea" });
    const words = ["new", "old"].map((word) => stores.tags.create({ word }));
    const post = stores.posts.create({ title: "First", author, tags: words });
    await Promise.all([author, post, ...words].map((item) => item.onceStored()));
    return {
      isItem: post.author === author && post.tags[1] === words[1] && post.tags.length === 2,
      found: stores.posts.find({ author }).length,
      json: post.toJSON(),
      states: stores.posts.pending().map(({ state }) => state),
    };
  });
  assert.equal(seen.isItem, true);
  assert.equal(seen.found, 1);
  assert.deepEqual([seen.json.title, seen.json.authorId, seen.json.tagIds], ["First", undefined, []]);
  assert.deepEqual(seen.states, ["waiting"]);

  await browser.close();
  await server.start();
  server.log.length = 0;
  await open();
  await allSynced();
  const [bea] = (await server.rows("authors")).filter(({ name }) => name === "Bea");
  // Both are sent at once, so the server may number them in either order.
  const tags = await server.rows("tags");
  const words = ["new", "old"].map((text) => tags.find(({ word }) => word === text));
  const posts = asWritten().filter(([, path]) => path === "/posts");
  assert.deepEqual(posts, [
    ["POST", "/posts", { title: "First", authorId: bea.id, tagIds: words.map(({ id }) => id) }],
  ]);
  assert.equal(writes().filter(({ path }) => path === "/authors").length, 1);
  assert.deepEqual(
    writes()
      .map(({ method, path }) => `${method} ${path}`)
      .at(-1),
    "POST /posts",
    "the post comes last",
  );
  const shown = await page.evaluate(() => {
    const [post] = stores.posts.items;
    return [post.author.name, post.tags.map((tag) => tag.word), post.toJSON().authorId === post.author.id];
  });
  assert.deepEqual(shown, ["Bea", ["new", "old"], true]);
});

test("two new items that refer to each other are sent in three requests", async () => {
  await open();
  await page.evaluate(async () => {
    const author = stores.people.create({ name: "Cyd" });
    const post = stores.posts.create({ title: "Loop", author });
    author.favourite = post;
    await Promise.all([author.onceStored(), post.onceStored()]);
  });
  await server.start();
  await page.evaluate(() => Promise.all(Object.values(stores).map((store) => store.flush())));
  await allSynced();
  const [cyd] = (await server.rows("authors")).filter(({ name }) => name === "Cyd");
  const [loop] = await server.rows("posts");
  assert.deepEqual(asWritten(), [
    ["POST", "/authors", { name: "Cyd" }],
    ["POST", "/posts", { title: "Loop", authorId: cyd.id }],
    ["PUT", `/authors/${cyd.id}`, { id: cyd.id, name: "Cyd", favouriteId: loop.id }],
  ]);
  assert.equal(cyd.favouriteId, loop.id);
});

test("what the server's rows refer to is there when the store is loaded", async () => {
  await server.start();
  const base = server.origin;
  const post = async (path, body) =>
    (
      await fetch(`${base}/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      })
    ).json();
  const tag = await post("tags", { word: "x" });
  const first = await post("posts", { title: "One", authorId: 7, tagIds: [tag.id], links: { ownerId: 7, more: 1 } });
  await post("posts", { title: "Two", authorId: null, answersId: first.id, meta: { reviewerId: 7, note: "n" } });
  server.log.length = 0;
  await open();
  const shown = await page.evaluate(() => {
    const [one, two] = stores.posts.items;
    return [
      one.author.name,
      one.tags.map(({ word }) => word),
      one.owner === one.author,
      two.author,
      two.answers === one,
      two.meta.reviewer === one.author,
      two.toJSON().meta,
      one.toJSON().links,
    ];
  });
  assert.deepEqual(shown, ["Ada", ["x"], true, null, true, true, { reviewerId: 7, note: "n" }, { ownerId: 7 }]);
  assert.ok(
    server.log.every(({ path }) => path.split("/").length === 2),
    "what comes with its collection is not fetched by itself",
  );

  await page.evaluate(async () => {
    const [one, two] = stores.posts.items;
    two.author = one.author;
    two.meta.note = "m";
    await two.onceSynced();
    one.author = null;
    one.tags.pop();
    await one.onceSynced();
  });
  const [one, two] = await server.rows("posts");
  assert.deepEqual([two.authorId, two.meta, two.answersId], [7, { reviewerId: 7, note: "m" }, first.id]);
  assert.deepEqual([one.authorId, one.tagIds, one.links.ownerId], [null, [], 7]);

  // Without the server, from what is stored.
  await browser.close();
  await server.stop();
  await open();
  const again = await page.evaluate(() => {
    const [a, b] = stores.posts.items;
    return [a.author, b.author.name, a.owner.name, b.answers === a, b.meta.reviewer.name];
  });
  assert.deepEqual(again, [null, "Ada", "Ada", true, "Ada"]);
});

test("an item that is referred to and was not listed is fetched", async () => {
  await server.start();
  await open();
  await page.evaluate(() => stores.people.pause());
  const response = await fetch(`${server.origin}/authors`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: "Dan" }),
  });
  const dan = await response.json();
  await fetch(`${server.origin}/posts`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Three", authorId: dan.id }),
  });
  await page.evaluate(() => stores.posts.fetch());
  assert.equal(await page.evaluate(() => stores.posts.items[0].author.id), dan.id, "it is there, and empty");
  await page.evaluate(() => stores.people.resume());
  await until(() => page.evaluate(() => stores.posts.items[0].author.name === "Dan"), {
    what: "the author was fetched",
  });
});

test("anything but an item of the right store is refused with the property's name", async () => {
  await open();
  const refusals = await page.evaluate(() => {
    const tag = stores.tags.create({ word: "x" });
    const gone = stores.people.create({ name: "y" });
    gone.remove();
    const post = stores.posts.create({ title: "z", author: undefined });
    const refused = (act) => {
      try {
        return act();
      } catch (error) {
        return [error.code, /"([^"]*)"/.exec(error.message)?.[1]];
      }
    };
    const schema = (definition) => () => new concordia.Schema({ properties: definition });
    const { Key } = concordia;
    return [
      () => (post.author = 5),
      () => (post.author = tag),
      () => (post.author = gone),
      () => (post.author = {}),
      () => (post.tags = [tag, "x"]),
      () => post.update({ meta: { reviewer: tag } }),
      () => stores.posts.create({ author: "7" }),
      schema({ author: { type: Key, ref: 5 } }),
      schema({ author: { type: String, ref: "self" } }),
      schema({ author: { type: Key, key: "x", ref: "self" }, x: String }),
      schema({ author: { type: Key, key: "x", _key: "x", ref: "self" } }),
    ].map(refused);
  });
  const types = ["author", "author", "author", "author", "tags", "meta.reviewer", "author"];
  assert.deepEqual(refusals, [
    ...types.map((name) => ["E_TYPE", name]),
    ["E_SCHEMA", "author"],
    ["E_SCHEMA", "author"],
    ["E_SCHEMA", "x"],
    ["E_SCHEMA", "x"],
  ]);
  const allowed = await page.evaluate(() => {
    const [post] = stores.posts.items;
    post.author = null;
    post.autoSave = false;
    const author = stores.people.create({ name: "w" });
    post.author = author;
    const draft = post.author === author;
    post.update();
    return [draft, post.author === author, post.synced];
  });
  assert.deepEqual(allowed, [true, true, false]);
});

test("a client storage written in page script is given the keys of its own, and gives the items back", async () => {
  await open();
  const seen = await page.evaluate(async () => {
    const { Schema, Store, Key } = concordia;
    /** Keeps text, as many do. */
    const storage = () => {
      const records = new Map();
      return {
        records,
        _prepareSend: (item) => item,
        _send({ action, _id, payload }) {
          if (action === "delete") records.delete(_id);
          else records.set(_id, JSON.stringify(payload));
        },
        _prepareFetch: () => undefined,
        _fetch: () => [...records.values()].map((text) => JSON.parse(text)),
      };
    };
    const kept = { people: storage(), posts: storage() };
    const openBoth = async () => {
      const make = (name, properties) =>
        new Store({ name: `own ${name}`, schema: new Schema({ properties }), clientStorage: kept[name] });
      const people = make("people", { name: String });
      const author = { type: Key, key: "authorId", _key: "_authorId", ref: people };
      const posts = make("posts", {
        author,
        readers: { type: Array, items: { type: Key, key: "readerIds", ref: people } },
        meta: { properties: { owner: { type: Key, key: "ownerId", ref: people } } },
      });
      await Promise.all([people.onceLoaded(), posts.onceLoaded()]);
      return { people, posts };
    };
    const first = await openBoth();
    const [ada, bea] = ["Ada", "Bea"].map((name) => first.people.create({ name }));
    const post = first.posts.create({ author: ada, readers: [bea, ada], meta: { owner: bea } });
    await Promise.all([ada, bea, post].map((item) => item.onceStored()));
    const [record] = [...kept.posts.records.values()].map((text) => JSON.parse(text));
    const expected = [ada._id, [bea._id, ada._id], bea._id];
    await first.posts.close();
    await first.people.close();
    const second = await openBoth();
    const [again] = second.posts.items;
    return {
      stored: [record._authorId, record._readerIds, record.meta._ownerId],
      expected,
      again: [again.author.name, again.readers.map(({ name }) => name), again.meta.owner.name],
      same: again.author === second.people.findOne({ name: "Ada" }),
    };
  });
  assert.deepEqual(seen.stored, seen.expected);
  assert.deepEqual(seen.again, ["Ada", ["Bea", "Ada"], "Bea"]);
  assert.equal(seen.same, true);
});
