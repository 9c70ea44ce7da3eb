/**
 * Several tabs over one database: one of them sends, each edit once, whichever tab it was made in and whatever becomes of the one that
 * sends; and what one shows the others show.
 */
/* global HttpTransporter, IndexedDbClientStorage, Key, Schema, Store, authors, books, people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import puppeteer from "puppeteer-core";
import { LIMIT_MS, until, world } from "./support/world.js";

const ROWS = ["Ada", "Bea", "Cyd"].map((name) => ({ name, age: 0 }));
/** What is promised, and what a machine that does other things as well is given. */
const SEEN_LIMIT_MS = 2000;
const TAKEOVER_LIMIT_MS = 20_000;
/** What the lock and the channel of the usual store are called. */
const LOCK = `concordia ${JSON.stringify(["concordia", "people"])}`;

test("what_three_tabs_edit_offline_is_sent_by_one_of_them_each_edit_once", async (t) => {
  const { server, collection, pages } = await tabs(t, 3, { rows: ROWS });
  assert.deepEqual(await senders(pages), [true, false, false], "the tab that came first sends");
  await server.stop();
  await Promise.all(
    pages.map((page, tab) =>
      page.evaluate(async (nth) => {
        for (const number of [0, 1]) await store.create({ name: `New ${nth}.${number}` }).onceStored();
        const own = store.items[nth];
        await own.update({ age: nth + 1 }).onceStored();
        await own.update({ city: `City ${nth}` }).onceStored();
      }, tab),
    ),
  );
  await server.start();
  await allSent(pages);

  const expected = [
    ...ROWS.map(({ name }, tab) => ({ name, age: tab + 1, city: `City ${tab}` })),
    ...[0, 1, 2].flatMap((tab) => [0, 1].map((number) => ({ name: `New ${tab}.${number}` }))),
  ];
  assert.deepEqual(shown(collection.rows()), shown(expected));
  const writes = server.writes().map(({ method, body }) => `${method} ${body.name}`);
  assert.deepEqual(writes.sort(), [
    ...["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"].map((name) => `POST New ${name}`),
    ...["Ada", "Bea", "Cyd"].map((name) => `PUT ${name}`),
  ]);
  for (const page of pages) assert.deepEqual(shown(await items(page)), shown(collection.rows()));
});

test("an_edit_of_one_tab_is_seen_in_the_others", async (t) => {
  const { pages } = await tabs(t, 3, { rows: ROWS });
  const took = [];
  for (const [from, page] of pages.entries()) {
    const others = pages.filter((other) => other !== page);
    const seen = others.map((other) =>
      other.evaluate(
        (age) =>
          new Promise((resolve) => {
            const look = () => store.items[0].age === age && resolve(performance.timeOrigin + performance.now());
            store.subscribe(look);
            look();
          }),
        from + 10,
      ),
    );
    const at = await page.evaluate((age) => {
      store.items[0].age = age;
      return performance.timeOrigin + performance.now();
    }, from + 10);
    for (const then of await Promise.all(seen)) took.push(then - at);
  }
  t.diagnostic(`seen after ${took.map((ms) => ms.toFixed(0)).join(", ")} ms`);
  assert.ok(Math.max(...took) < SEEN_LIMIT_MS, `${took}`);
});

test("another_tab_takes_over_when_the_one_that_sends_is_closed", async (t) => {
  const { server, collection, pages } = await tabs(t, 3, { rows: ROWS });
  const fault = server.fault({ method: "PUT", hold: true });
  await pages[1].evaluate(() => store.items[0].update({ age: 5 }).onceStored());
  await until(() => fault.seen === 1, { what: "the request is on its way" });
  await pages[0].close();
  fault.release();
  const left = pages.slice(1);
  await left[1].evaluate(() => store.items[1].update({ age: 6 }).onceStored());
  await allSent(left);
  assert.equal((await senders(left)).filter(Boolean).length, 1);
  assert.deepEqual(ages(collection.rows()), [5, 6, 0]);
  assert.equal(server.writes({ applied: true }).length, 2, "each edit took effect once");
});

test("a_frozen_tab_does_not_keep_what_others_edit_and_sends_nothing_twice_when_it_thaws", async (t) => {
  const { server } = await world(t);
  const collection = server.collection("people", { keys: true, etags: true, rows: ROWS });
  const [first, second] = await hideable(t, server);
  const devtools = await first.createCDPSession();
  // It has an edit of its own on its way, and has yet to write down what came of it.
  const fault = server.fault({ method: "PUT", position: "after", hold: true });
  await first.evaluate(() => store.items[2].update({ age: 9 }).onceStored());
  await until(() => fault.seen === 1, { what: "the request is on its way" });
  await second.bringToFront();
  await first.evaluate(() => document.addEventListener("freeze", () => (window.wasFrozen = true)));
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  await until(() => first.evaluate(() => window.wasFrozen), { what: "it is frozen" });
  fault.release();
  const begun = performance.now();
  await second.evaluate(() => store.items[0].update({ age: 7 }).onceStored());
  await until(() => collection.row(1).age === 7, { timeoutMs: TAKEOVER_LIMIT_MS, what: "another tab sends" });
  t.diagnostic(`sent after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await allSent([second]);
  assert.deepEqual(await senders([second]), [true]);

  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await first.evaluate(() => store.items[1].update({ age: 8 }).onceStored());
  await allSent([first, second]);
  assert.deepEqual(await senders([first, second]), [false, true]);
  assert.deepEqual(ages(collection.rows()), [7, 8, 9]);
  assert.deepEqual(ages(await items(first)), [7, 8, 9]);
  const applied = server.writes({ applied: true }).map(({ body }) => body.name);
  assert.deepEqual(applied.sort(), ["Ada", "Bea", "Cyd"], "each edit took effect once");
});

test("a_tab_that_is_stuck_does_not_keep_what_others_edit", async (t) => {
  const { server, collection, pages } = await tabs(t, 2, { rows: ROWS });
  const stuck = server.fault({ path: "/stuck", hold: true });
  await pages[0].evaluate(() => {
    setTimeout(() => {
      const request = new XMLHttpRequest();
      request.open("GET", "/api/stuck", false);
      request.send();
      window.isOver = true;
      // What it does first is what it had yet to do as the tab that sends.
      store.items[1].age = 8;
    });
  });
  await until(() => stuck.seen === 1, { what: "the first tab is stuck" });
  const begun = performance.now();
  await pages[1].evaluate(() => store.items[0].update({ age: 7 }).onceStored());
  await until(() => collection.row(1).age === 7, { timeoutMs: TAKEOVER_LIMIT_MS, what: "another tab sends" });
  t.diagnostic(`sent after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  stuck.release();
  await pages[0].waitForFunction(() => window.isOver);
  await allSent(pages);
  assert.deepEqual(await senders(pages), [false, true]);
  assert.deepEqual(ages(collection.rows()), [7, 8, 0]);
  for (const page of pages) assert.deepEqual(ages(await items(page)), [7, 8, 0]);
  assert.equal(server.writes({ applied: true }).length, 2, "each edit took effect once");
});

test("a_tab_that_is_killed_in_the_middle_of_a_request_is_replaced_and_its_request_repeated", async (t) => {
  const { server, collection, pages } = await tabs(t, 2, { rows: ROWS });
  const fault = server.fault({ method: "POST", position: "after", hold: true });
  await pages[0].evaluate(() => store.create({ name: "Dot" }).onceStored());
  await until(() => fault.seen === 1, { what: "the request is on its way" });
  const devtools = await pages[0].context().newCDPSession(pages[0]);
  const crashed = pages[0].waitForEvent("crash");
  devtools.send("Page.crash").catch(() => {});
  await crashed;
  fault.release();
  await pages[1].evaluate(() => store.create({ name: "Eve" }).onceStored());
  await allSent([pages[1]]);
  assert.deepEqual(
    collection.rows().map(({ name }) => name),
    ["Ada", "Bea", "Cyd", "Dot", "Eve"],
  );
  const keys = (name) => new Set(server.writes().flatMap((one) => (one.body.name === name ? [keyOf(one)] : [])));
  assert.equal(keys("Dot").size, 1, "the repeated request has the same key");
  assert.deepEqual(shown(await items(pages[1])), shown(collection.rows()));
});

test("four_tabs_that_create_at_once_make_four_rows", async (t) => {
  const { server, collection, pages } = await tabs(t, 4, {});
  await Promise.all(
    pages.map((page, tab) => page.evaluate((nth) => void store.create({ name: `Of tab ${nth}` }), tab)),
  );
  await until(async () => (await Promise.all(pages.map(items))).every((all) => all.length === 4), {
    what: "each tab shows all four",
  });
  await allSent(pages);
  assert.deepEqual(
    collection
      .rows()
      .map(({ name }) => name)
      .sort(),
    [0, 1, 2, 3].map((tab) => `Of tab ${tab}`),
  );
  assert.equal(server.writes().length, 4);
  for (const page of pages) assert.deepEqual(shown(await items(page)), shown(collection.rows()));
});

test("what_is_edited_in_a_tab_that_does_not_send_survives_a_reload_in_the_same_task", async (t) => {
  const { server, collection, pages } = await tabs(t, 2, { rows: ROWS });
  const [first, late] = pages;
  server.fault({ method: "POST", times: Infinity, end: "cut" });
  // A page that goes takes along a transaction that still waits for another tab's (Chromium): they are at rest when that is seen.
  await first.evaluate(() => void (store.items[0].age = 50));
  const isThere = () => late.evaluate(() => store.items[0].age === 50 && store.items[0].synced);
  await until(isThere, { what: "the edit is seen" });
  await late
    .evaluate(() => {
      for (let number = 0; number < 50; number++) store.create({ name: `Late ${number}` });
      location.reload();
    })
    .catch(() => {});
  await late.waitForFunction(() => window.ready && window.store === undefined);
  await open(late);
  await until(async () => (await items(late)).length === 53, { what: "all are there" });
  await until(async () => (await items(first)).length === 53, { what: "all are there in the other tab" });
  assert.equal(collection.rows().length, 3);
});

test("edits_of_two_tabs_to_different_fields_of_one_item_arrive_both", async (t) => {
  const { server, collection, pages } = await tabs(t, 2, { rows: ROWS });
  await Promise.all([
    pages[0].evaluate(() => void (store.items[0].age = 40)),
    pages[1].evaluate(() => void (store.items[0].city = "Aachen")),
  ]);
  await until(() => collection.row(1).age === 40 && collection.row(1).city === "Aachen", { what: "both arrive" });
  await allSent(pages);
  for (const page of pages) {
    const [ada] = await items(page);
    assert.deepEqual([ada.age, ada.city], [40, "Aachen"]);
  }
  assert.ok(server.writes().length <= 2);
});

test("a_parked_edit_is_retried_and_given_up_from_a_tab_that_does_not_send", async (t) => {
  const refuses = ({ age }) => (age < 0 ? { title: "That age cannot be.", status: 422 } : undefined);
  const { collection, pages } = await tabs(t, 2, { rows: ROWS, refuses });
  const [, other] = pages;
  await other.evaluate(() => {
    store.items[0].age = -1;
    store.items[1].age = -2;
  });
  for (const page of pages)
    await until(async () => (await page.evaluate(() => told(store).status.parked)) === 2, { what: "both are parked" });
  assert.deepEqual(await senders(pages), [true, false]);
  await other.evaluate(() => {
    const edit = (name) => store.pending().find(({ item }) => item.name === name);
    edit("Ada").discard();
  });
  for (const page of pages) await until(async () => (await items(page))[0].age === 0, { what: "it is given up" });
  collection.is.refuses = undefined;
  await other.evaluate(() => store.pending()[0].retry());
  await allSent(pages);
  assert.deepEqual(ages(collection.rows()), [0, -2, 0]);
});

test("a_store_that_is_closed_leaves_the_lock_to_another_tab_and_can_be_opened_again", async (t) => {
  const { server, collection, pages } = await tabs(t, 2, { rows: ROWS });
  const heard = pages[1].evaluate(
    () => new Promise((resolve) => store.subscribe(({ status }) => status.sender && resolve(true))),
  );
  await pages[0].evaluate(async () => {
    store.items[0].age = 1;
    await store.close();
  });
  assert.equal(await heard, true, "subscribers hear of it");
  assert.equal(await lockCount(pages[0]), 1, "one tab has the lock, and none waits for it");
  await pages[0].evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    await store.items[1].update({ age: 2 }).onceStored();
  });
  assert.deepEqual(await senders(pages), [false, true]);
  await allSent(pages);
  assert.deepEqual(ages(collection.rows()), [1, 2, 0]);
  assert.equal(server.writes({ applied: true }).length, 2);
  await pages[1].evaluate(() => store.close());
  await until(async () => (await senders([pages[0]]))[0], { what: "it goes back" });
});

/** What was noted of a store that was opened first is read first. */
test("what_refers_to_a_new_item_of_another_tab_is_sent_with_its_key", (t) => isSentWithItsKey(t, ["authors", "books"]));

test("what_refers_to_a_new_item_of_another_tab_is_sent_with_its_key_though_its_store_is_opened_first", (t) =>
  isSentWithItsKey(t, ["books", "authors"]));

async function isSentWithItsKey(t, order) {
  const { server, user } = await tabs(t, 0, {});
  const collections = ["authors", "books"].map((name) => server.collection(name, { keys: true }));
  const pages = [await user.tab(), await user.tab()];
  for (const page of pages)
    await page.evaluate(async (names) => {
      const storeOf = (path, properties) =>
        new Store({
          schema: new Schema({ properties }),
          transporter: new HttpTransporter({ baseUrl: "/api", path }),
          clientStorage: new IndexedDbClientStorage(),
        });
      const author = { type: Key, key: "authorId", ref: () => authors };
      const schemas = { authors: { name: String }, books: { title: String, at: Date, author } };
      for (const name of names) window[name] = storeOf(name, schemas[name]);
      await Promise.all([authors.onceLoaded(), books.onceLoaded()]);
    }, order);
  const isLeft = server.fault({ method: "POST", times: Infinity, position: "before", end: "cut" });
  await pages[1].evaluate(() => authors.create({ name: "Ada" }).onceStored());
  await pages[0].waitForFunction(() => authors.items.length === 1);
  await pages[1].evaluate(() => {
    books.create({ title: "Here", at: new Date(5), author: authors.items[0] });
    // The item that is new, and what refers to it, in one turn.
    books.create({ title: "Both", at: new Date(6), author: authors.create({ name: "Bea" }) });
  });
  await pages[0].waitForFunction(() => books.items.length === 2);
  const seen = () => books.items.map(({ title, at, author }) => [title, at?.getTime(), author?.name]);
  for (const page of pages)
    await until(async () => {
      assert.deepEqual((await page.evaluate(seen)).sort(), [
        ["Both", 6, "Bea"],
        ["Here", 5, "Ada"],
      ]);
      return true;
    });
  isLeft.lift();
  for (const page of pages) await page.evaluate(() => window.dispatchEvent(new Event("online")));
  for (const page of pages)
    await page.waitForFunction(() => [...authors.items, ...books.items].every((item) => item.synced));
  const [ids, titles] = collections.map((collection) => collection.rows());
  const idOf = (name) => ids.find((row) => row.name === name).id;
  assert.deepEqual(titles.map(({ title, authorId }) => [title, authorId]).sort(), [
    ["Both", idOf("Bea")],
    ["Here", idOf("Ada")],
  ]);
  assert.deepEqual([ids.length, titles.length], [2, 2]);
}

test("what_a_tab_that_is_gone_has_stored_is_there_when_the_next_one_opens_though_nobody_has_sent_it", (t) =>
  isThereNext(t, async (first, second) => {
    await first.close();
    return second;
  }));

test("what_a_closed_store_has_stored_is_there_when_the_page_opens_it_anew_though_nobody_has_sent_it", (t) =>
  isThereNext(t, async (page) => {
    await page.evaluate(() => store.close());
    return page;
  }));

/** What is stored and not sent is there in the page that opens the store next. */
async function isThereNext(t, leave) {
  const { server, collection, user } = await tabs(t, 0, { rows: ROWS });
  const guard = await user.tab({ blank: true });
  // Somebody has the lock who does nothing, as a tab that is stuck: what is read is written down by nobody.
  await guard.evaluate(takeLock, LOCK);
  const [first, second] = [await user.tab(), await user.tab()];
  await open(first);
  await server.stop();
  await first.evaluate(async () => {
    const [edited, removed] = store.items;
    const made = store.create({ name: "Dot" });
    edited.age = 36;
    removed.remove();
    await Promise.all([edited, removed, made].map((item) => item.onceStored()));
  });
  const next = await leave(first, second);
  const seen = await next.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    const pending = store.pending().map(({ action, item }) => `${action} ${item.name}`);
    return [store.items.map(({ name, age }) => `${name} ${age}`).sort(), pending.sort()];
  });
  assert.deepEqual(seen, [
    ["Ada 36", "Dot undefined"],
    ["create Dot", "delete Bea", "update Ada"],
  ]);
  await guard.close();
  await server.start();
  await allSent([next]);
  const rows = collection.rows().map(({ name, age }) => `${name} ${age}`);
  assert.deepEqual(rows.sort(), ["Ada 36", "Cyd 0", "Dot undefined"]);
  assert.equal(server.writes({ applied: true }).length, 3);
}

test("notes_of_an_older_schema_are_taken_in_by_a_newer_one", async (t) => {
  const { server, collection, user } = await tabs(t, 0, { rows: [{ fullName: "Ada Lovelace" }] });
  const guard = await user.tab({ blank: true });
  const older = await user.tab();
  // Every record is stored by the time that somebody has the lock who does nothing, as a tab that is stuck.
  await older.evaluate(openVersion, 1);
  await older.evaluate(() => store.close());
  await guard.evaluate(takeLock, LOCK);
  await older.evaluate(openVersion, 1);
  await older.evaluate(async () => {
    const edited = store.items[0].update({ fullName: "Augusta King", born: new Date(0) });
    const made = store.create({ fullName: "Grace Hopper", born: new Date(1) });
    await Promise.all([edited.onceStored(), made.onceStored()]);
  });
  await older.close();
  await guard.close();
  assert.equal(server.writes().length, 0);
  const newer = await user.tab();
  await newer.evaluate(openVersion, 2);
  await newer.waitForFunction(() => store.items.length === 2 && store.items.every((item) => item.synced));
  assert.deepEqual((await newer.evaluate(firstAndLast)).sort(), [
    ["Augusta", "King", 0],
    ["Grace", "Hopper", 1],
  ]);
  const names = collection.rows().map(({ firstName, lastName }) => `${firstName} ${lastName}`);
  assert.deepEqual(names.sort(), ["Augusta King", "Grace Hopper"]);
});

test("a_tab_with_a_newer_schema_does_not_wait_for_one_with_an_older_that_has_the_lock", async (t) => {
  const { collection, user } = await tabs(t, 0, { rows: [{ fullName: "Ada Lovelace" }] });
  const [older, newer] = [await user.tab(), await user.tab()];
  await older.evaluate(openVersion, 1);
  await newer.evaluate(openVersion, 2);
  assert.deepEqual(await senders([older, newer]), [true, false]);
  await newer.evaluate(() => store.items[0].update({ firstName: "Augusta" }).onceStored());
  await until(() => collection.row(1).firstName === "Augusta", {
    timeoutMs: TAKEOVER_LIMIT_MS,
    what: "the newer one sends",
  });
  await until(async () => (await senders([newer]))[0], { what: "it says so" });
  assert.equal(await older.evaluate(() => told(store).status.storageError?.code), "E_NEWER_VERSION");
});

/** Takes the lock for as long as the page lives. */
const takeLock = (name) =>
  new Promise((resolve) => {
    void navigator.locks.request(name, () => {
      resolve();
      return new Promise(() => {});
    });
  });

/** Opens the usual collection with a schema of this version. */
const openVersion = async (version) => {
  const migrations = {
    2: ({ fullName, ...rest }) => {
      if (fullName === undefined) return rest;
      const [firstName, lastName] = fullName.split(" ");
      return { ...rest, firstName, lastName };
    },
  };
  const names = version === 1 ? { fullName: String } : { firstName: String, lastName: String };
  window.store = new Store({
    schema: new Schema({ properties: { ...names, born: Date }, version, migrations: version === 1 ? {} : migrations }),
    transporter: new HttpTransporter({ baseUrl: "/api", path: "people" }),
    clientStorage: new IndexedDbClientStorage(),
  });
  await store.onceLoaded();
  await Promise.all(store.items.map((item) => item.onceStored()));
};

const firstAndLast = () => store.items.map(({ firstName, lastName, born }) => [firstName, lastName, born.getTime()]);

const keyOf = ({ headers }) => headers["idempotency-key"];

const ages = (rows) => rows.map(({ age }) => age);

const shown = (rows) =>
  rows
    .map(({ name, age = null, city = null }) => ({ name, age, city }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));

const items = (page) => page.evaluate(() => told(store).items);

const senders = (pages) => Promise.all(pages.map((page) => page.evaluate(() => store.status.sender)));

const lockCount = (page) =>
  page.evaluate(async () => {
    const { held, pending } = await navigator.locks.query();
    return held.length + pending.length;
  });

async function allSent(pages) {
  for (const page of pages) await page.evaluate(() => window.dispatchEvent(new Event("online")));
  for (const page of pages)
    await until(() => page.evaluate(() => store.pending().length === 0), { timeoutMs: LIMIT_MS, what: "all is sent" });
}

async function open(page) {
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
  });
  return page;
}

/** Two pages of one profile, opened one after the other, that are hidden when another is in front: only such a page can be frozen, and
 *  Playwright's are all visible. */
async function hideable(t, server) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
    ignoreDefaultArgs: ["--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"],
  });
  t.after(() => browser.close());
  const pages = [];
  for (const page of [await browser.newPage(), await browser.newPage()]) {
    await page.bringToFront();
    await page.goto(server.origin);
    await page.waitForFunction(() => window.ready, { timeout: LIMIT_MS });
    pages.push(await open(page));
  }
  return pages;
}

/** A profile with so many pages, opened one after the other, so that the first is the one that sends. */
async function tabs(t, count, habits) {
  const { server, profile } = await world(t);
  const collection = server.collection("people", { keys: true, etags: true, ...habits });
  const user = await profile();
  await user.launch();
  const pages = [];
  for (let tab = 0; tab < count; tab++) pages.push(await open(await user.tab()));
  return { server, collection, user, pages };
}
