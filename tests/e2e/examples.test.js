/**
 * The examples' pages in a real Chromium, each over its own server: a transporter over a WebSocket, a client storage in
 * localStorage, and a JSON:API transporter with an auth middleware.
 *
 * Screenshots are left in `test-results/screenshots/`.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer as createJsonApi } from "../../www/examples/json-api/server.js";
import { createServer as createLocalStorage } from "../../www/examples/local-storage/server.js";
import { createServer as createWebSocket } from "../../www/examples/websocket/server.js";
import { freePort, launch, removeDir, tempDir, until } from "./support/browser.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SCREENSHOTS = join(ROOT, "test-results", "screenshots");
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
/** Backoff grows to a minute while a server is down: so long may the first attempt after it take. */
const AFTER_OUTAGE_MS = 90_000;
const MEDIA_TYPE = "application/vnd.api+json";

let dir;
before(async () => {
  dir = await tempDir();
  await mkdir(SCREENSHOTS, { recursive: true });
});
after(() => removeDir(dir));

test("websocket_an_edit_is_seen_by_others_and_edits_made_without_the_server_arrive_once", async (t) => {
  const file = join(dir, "websocket.json");
  const port = await freePort();
  let server = await createWebSocket({ file, port });
  t.after(() => server.close());
  const browser = await launch(join(dir, "websocket-profile"));
  t.after(() => browser.close());
  const ada = new Example(browser.page);
  const bob = new Example(await browser.context.newPage());

  await t.test("both see the list", async () => {
    await ada.open(`${server.url}?person=1`);
    await bob.open(`${server.url}?person=2`);
    for (const one of [ada, bob]) {
      await one.shows(["Bread", "Apples, the sour ones", "Coffee"]);
      await one.isSettled();
      assert.equal(await one.connection(), "online");
    }
  });

  await t.test("what one adds, edits and removes, the other sees without asking", async () => {
    await ada.edit("Bread", "title", "Rye bread");
    await bob.shows(["Rye bread", "Apples, the sour ones", "Coffee"]);
    await bob.add({ title: "Oats" });
    await ada.shows(["Rye bread", "Apples, the sour ones", "Coffee", "Oats"]);
    await ada.remove("Coffee");
    await bob.shows(["Rye bread", "Apples, the sour ones", "Oats"]);
    await ada.isSettled();
    await bob.isSettled();
    assert.deepEqual(
      server.log.map(({ method }) => method),
      ["update", "create", "delete"],
    );
    await ada.screenshot("websocket");
  });

  await t.test("a page knows at once that the socket is gone, and goes on", async () => {
    await server.close();
    await until(async () => (await ada.connection()) === "offline" && (await bob.connection()) === "offline", {
      what: "both pages say that they are offline",
    });
    await ada.edit("Oats", "title", "Rolled oats");
    await ada.add({ title: "Milk" });
    await ada.check("Apples, the sour ones", "done");
    await ada.add({ title: "Rice" });
    await ada.remove("Rye bread");
    await ada.edit("Rolled oats", "title", "Oat flakes");
    await ada.edit("Rice", "title", "Brown rice");
    await ada.shows(["Apples, the sour ones", "Oat flakes", "Milk", "Brown rice"]);
    await ada.isStored();
    await ada.screenshot("websocket-offline");
  });

  await t.test("when the server is back, each edit arrives once, in the order of its item", async () => {
    server = await createWebSocket({ file, port });
    await ada.isSettled({ timeoutMs: AFTER_OUTAGE_MS });
    assert.ok(server.log.every(({ replayed }) => !replayed));
    assert.equal(new Set(server.log.map(({ params }) => params.idempotencyKey)).size, server.log.length);
    const edits = (id) => server.log.filter(({ params }) => params.id === id);
    assert.deepEqual(shape(edits("1")), [["delete", undefined]]);
    assert.deepEqual(shape(edits("2")), [["update", { done: true }]]);
    // An attempt that may have left is frozen, and what was edited after it follows; else both are one edit.
    assert.deepEqual(shape(edits("4")), [
      ...(edits("4").length > 1 ? [["update", { title: "Rolled oats" }]] : []),
      ["update", { title: "Oat flakes" }],
    ]);
    const created = server.log.filter(({ method }) => method === "create").map(({ params }) => params.values.title);
    assert.equal(created.length, 2, `each addition once: ${created}`);
    assert.ok(created.includes("Milk"), `additions: ${created}`);
    assert.deepEqual(
      server.collection
        .list()
        .map(({ title, done }) => [title, done])
        .sort(),
      [
        ["Apples, the sour ones", true],
        ["Brown rice", undefined],
        ["Milk", undefined],
        ["Oat flakes", undefined],
      ],
    );
    await ada.shows(["Apples, the sour ones", "Oat flakes", "Milk", "Brown rice"]);
    await until(async () => assert.deepEqual((await bob.titles()).sort(), (await ada.titles()).sort()) ?? true, {
      what: "the other one sees the same list",
    });
    await until(async () => (await bob.connection()) === "online", { what: "the other page is online" });
  });

  await t.test("after that, changes are live again", async () => {
    await bob.edit("Milk", "title", "Oat milk");
    await ada.shows(["Apples, the sour ones", "Oat flakes", "Oat milk", "Brown rice"]);
  });

  await t.test("what the server refuses is parked with its words, and taken when it is put right", async () => {
    await ada.edit("Oat milk", "title", "");
    await until(async () => (await ada.reason("Untitled")) === "A thing to buy needs a name. (422)");
    await ada.edit("Untitled", "title", "Soy milk");
    await ada.isSettled();
    await until(async () => (await bob.titles()).includes("Soy milk"), { what: "the other one sees it" });
    assert.deepEqual([ada.troubles, bob.troubles], [[], []]);
  });
});

test("local_storage_edits_survive_a_killed_browser_and_are_sent_exactly_once", async (t) => {
  const file = join(dir, "local-storage.json");
  const profile = join(dir, "local-storage-profile");
  const port = await freePort();
  let server = await createLocalStorage({ file, port });
  t.after(() => server.close());
  let browser = await launch(profile);
  t.after(() => browser.close());
  let page = new Example(browser.page);
  const edited = ["Water the orchids", "Call Grandma", "Buy stamps", "Mend the bicycle"];

  await t.test("each item is one key of localStorage", async () => {
    await page.open(server.url);
    await page.shows(["Water the plants", "Return the library books", "Call Grandma"]);
    await page.isSettled();
    assert.equal(await page.value("Return the library books", "due"), "2030-03-01");
    const records = await page.records();
    assert.deepEqual(records.map(({ title }) => title).sort(), [
      "Call Grandma",
      "Return the library books",
      "Water the plants",
    ]);
    assert.ok(records.every((record) => !("_sync" in record)));
    await page.isKeptForOffline();
    await page.screenshot("local-storage");
  });

  await t.test("without the server, edits are stored with what is not sent yet", async () => {
    await server.close();
    await page.edit("Water the plants", "title", "Water the orchids");
    await page.edit("Call Grandma", "due", "2030-05-04");
    await page.add({ title: "Buy stamps" });
    await page.add({ title: "Mend the bicycle", due: "2030-06-01" });
    await page.remove("Return the library books");
    await page.isStored();
    await until(async () => (await page.connection()) === "offline", { what: "the page says that it is offline" });
    const records = await page.records();
    assert.equal(records.length, 5, "the removed item stays until the server has deleted it");
    assert.equal(records.filter((record) => "_sync" in record).length, 5);
    await page.screenshot("local-storage-offline");
  });

  await t.test(
    "after page and browser are killed, the page opens without the server and shows every edit",
    async () => {
      // The browser writes localStorage to its files when it likes, but at once when its last page is gone: so the page goes
      // first, without a chance to say or do anything, and the browser when its files hold the edits.
      await page.crash();
      await until(() => filesHold(join(profile, "Default", "Local Storage"), "Mend the bicycle"), {
        what: "the browser has written the edits to its files",
      });
      await browser.kill();
      browser = await launch(profile);
      page = new Example(browser.page);
      await page.open(server.url);
      await page.shows(edited);
      assert.equal(await page.value("Call Grandma", "due"), "2030-05-04");
      assert.equal(await page.value("Mend the bicycle", "due"), "2030-06-01");
      assert.deepEqual(await page.badges("synced"), ["no", "no", "no", "no"]);
    },
  );

  await t.test("when the server is back, each edit is sent exactly once", async () => {
    server = await createLocalStorage({ file, port });
    await page.isSettled({ timeoutMs: AFTER_OUTAGE_MS });
    const writes = server.log.filter(({ method }) => method !== "GET");
    const sent = writes.map(({ method, path, body, status }) => [method, path, body.title, body.due, status]);
    assert.deepEqual(sent.toSorted(), [
      ["DELETE", "/api/todos/2", undefined, undefined, 204],
      ["POST", "/api/todos", "Buy stamps", undefined, 201],
      ["POST", "/api/todos", "Mend the bicycle", "2030-06-01T00:00:00.000Z", 201],
      ["PUT", "/api/todos/1", "Water the orchids", undefined, 200],
      ["PUT", "/api/todos/3", "Call Grandma", "2030-05-04T00:00:00.000Z", 200],
    ]);
    assert.ok(writes.every(({ replayed }) => !replayed));
    await page.shows(edited);
    const records = await page.records();
    assert.equal(records.length, 4, "the removed item's record is gone");
    assert.ok(records.every((record) => !("_sync" in record)));
  });

  await t.test("without room the page says so, sends all the same, and stores again when there is room", async () => {
    await page.fillLocalStorage();
    await page.add({ title: `Write ${"a long letter ".repeat(3)}` });
    await page.page.locator("#notice", { hasText: "E_QUOTA" }).waitFor();
    await until(() => server.collection.list().some(({ title }) => title.startsWith("Write")), {
      what: "the edit is on the server",
    });
    await page.page.evaluate(() => localStorage.removeItem("filler"));
    await page.edit("Buy stamps", "title", "Buy envelopes");
    await page.isSettled();
    assert.ok(await page.page.locator("#notice").isHidden());
    assert.equal((await page.records()).length, 5);
    assert.deepEqual(page.troubles, []);
  });
});

test("json_api_documents_go_both_ways_and_an_expired_token_is_refreshed_once", async (t) => {
  const file = join(dir, "json-api.json");
  const port = await freePort();
  let server = await createJsonApi({ file, port, tokenLifeMs: 600_000 });
  t.after(() => server.close());
  const browser = await launch(join(dir, "json-api-profile"));
  t.after(() => browser.close());
  const page = new Example(browser.page);
  const brief = () => server.log.map(({ method, path, status }) => `${method} ${path} ${status}`);

  await t.test("the list loads, with a token", async () => {
    await page.open(server.url);
    await page.shows(["Emma", "Things Fall Apart", "Kitchen"]);
    await page.isSettled();
    assert.equal(await page.value("Emma", "author"), "Jane Austen");
    assert.deepEqual(brief(), ["POST /token 200", "GET /api/books 200"]);
    assert.match(server.log[1].authorization, /^Bearer \S+$/);
    await page.screenshot("json-api");
  });

  await t.test("edits go out as JSON:API documents with the header", async () => {
    server.log.length = 0;
    await page.edit("Kitchen", "year", "1989");
    await page.isSettled();
    await page.add({ title: "Beloved", author: "Toni Morrison", year: "1987" });
    await page.isSettled();
    await page.remove("Emma");
    await until(() => server.log.length === 3 && server.log[2].status === 204, { what: "three edits on the server" });
    assert.deepEqual(brief(), ["PATCH /api/books/3 200", "POST /api/books 201", "DELETE /api/books/1 204"]);
    const [patch, post, removal] = server.log;
    assert.deepEqual(patch.body, { data: { type: "books", id: "3", attributes: { year: 1989 } } });
    const attributes = { title: "Beloved", author: "Toni Morrison", year: 1987 };
    assert.deepEqual(post.body, { data: { type: "books", attributes } });
    assert.deepEqual([patch.contentType, post.contentType], [MEDIA_TYPE, MEDIA_TYPE]);
    assert.equal(new Set([patch, post, removal].map(({ authorization }) => authorization)).size, 1);
    assert.match(patch.authorization, /^Bearer \S+$/);
  });

  await t.test("when the token has expired, there is one refresh, and the edit arrives once", async () => {
    server.log.length = 0;
    server.expireTokens();
    await page.edit("Beloved", "title", "Jazz");
    await page.isSettled();
    assert.deepEqual(brief(), ["PATCH /api/books/4 401", "POST /token 200", "PATCH /api/books/4 200"]);
    const [first, , second] = server.log;
    assert.notEqual(first.authorization, second.authorization);
    assert.deepEqual(first.body, second.body);
    assert.equal(server.collection.get("4").title, "Jazz");
    assert.equal(await page.connection(), "online");
  });

  await t.test("edits at the same time share one refresh", async () => {
    server.log.length = 0;
    server.expireTokens();
    await page.editAtOnce("author", { Jazz: "T. Morrison", Kitchen: "B. Yoshimoto" });
    await page.isSettled();
    assert.equal(server.log.filter(({ path }) => path === "/token").length, 1);
    const taken = server.log.filter(({ method, status }) => method === "PATCH" && status === 200);
    assert.deepEqual(taken.map(({ body }) => body.data.attributes.author).sort(), ["B. Yoshimoto", "T. Morrison"]);
  });

  await t.test("a 422 parks the edit, and the page shows the reason", async () => {
    server.log.length = 0;
    await page.edit("Kitchen", "year", "2999");
    await until(async () => (await page.reason("Kitchen")) === "The year 2999 is in the future. (422)");
    assert.deepEqual(await page.badges("synced"), ["yes", "refused", "yes"]);
    assert.deepEqual(brief(), ["PATCH /api/books/3 422"]);
    await page.screenshot("json-api-refused");
    await page.edit("Kitchen", "year", "1990");
    await page.isSettled();
    assert.equal(server.collection.get("3").year, 1990);
  });

  await t.test("who is signed out keeps the edits, and they arrive after signing in", async () => {
    await server.close();
    server = await createJsonApi({ file, port, tokenLifeMs: 600_000 });
    await page.edit("Kitchen", "year", "1988");
    await page.page.locator("#sign-in").waitFor();
    assert.equal(await page.connection(), "held");
    await page.screenshot("json-api-held");
    await page.page.locator("#sign-in").click();
    await page.isSettled();
    assert.equal(await page.connection(), "online");
    assert.equal(server.collection.get("3").year, 1988);
    assert.deepEqual(page.troubles, []);
  });
});

const shape = (entries) => entries.map(({ method, params: { values } }) => [method, values && withoutId(values)]);

const withoutId = ({ id: _id, ...values }) => values;

async function filesHold(folder, text) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFile(join(parentPath, name)));
  return (await Promise.all(files)).some((bytes) => bytes.includes(text));
}

/** A page as a person sees it. */
class Example {
  troubles = [];

  constructor(page) {
    this.page = page;
    page.on("pageerror", (error) => this.troubles.push(error.message));
  }

  async open(url) {
    await this.page.goto(url);
    await this.page.getByTestId("item").first().waitFor();
  }

  item(title) {
    return this.page.getByTestId("item").filter({ has: this.page.getByRole("group", { name: title, exact: true }) });
  }

  /** Types into a field and leaves it. */
  async edit(title, field, value) {
    const input = this.item(title).locator(`[name=${field}]`);
    await input.fill(value);
    await input.press("Tab");
  }

  /** Sets a field of several items in one turn. */
  async editAtOnce(field, values) {
    await this.page.evaluate(
      ([name, list]) => {
        const inputs = Object.keys(list).map((title) =>
          document.querySelector(`[aria-label=${CSS.escape(title)}] [name=${name}]`),
        );
        Object.values(list).forEach((value, index) => {
          inputs[index].value = value;
          inputs[index].dispatchEvent(new Event("change"));
        });
      },
      [field, values],
    );
  }

  check(title, field) {
    return this.item(title).locator(`[name=${field}]`).check();
  }

  async add(values) {
    const form = this.page.locator("#add");
    for (const [name, value] of Object.entries(values)) await form.locator(`[name=${name}]`).fill(value);
    await form.locator("[name=title]").press("Enter");
    await this.item(values.title).waitFor();
  }

  async remove(title) {
    await this.page.getByRole("button", { name: `Remove: ${title}`, exact: true }).click();
    await this.item(title).waitFor({ state: "detached" });
  }

  titles() {
    return this.page
      .getByTestId("item")
      .locator("[name=title]")
      .evaluateAll((inputs) => inputs.map((input) => input.value));
  }

  shows(titles) {
    return until(async () => assert.deepEqual(await this.titles(), titles) ?? true, {
      what: `the list of ${titles.join(", ")}`,
    });
  }

  value(title, field) {
    return this.item(title).locator(`[name=${field}]`).inputValue();
  }

  connection() {
    return this.page.getByTestId("connection").getAttribute("data-state");
  }

  badges(which) {
    return this.page.getByTestId(which).evaluateAll((badges) => badges.map((badge) => badge.dataset.state));
  }

  reason(title) {
    return this.item(title).getByTestId("reason").textContent();
  }

  isStored() {
    const check = async () => (await this.badges("stored")).every((state) => state === "yes");
    return until(check, { what: "every item is on this device" });
  }

  async isSettled(options) {
    const check = async () => {
      assert.deepEqual(new Set(await this.badges("synced")), new Set(["yes"]));
      assert.equal(await this.page.getByTestId("connection").textContent(), "Online");
      return true;
    };
    await until(check, { what: "every edit is on the server", ...options });
    await this.isStored();
  }

  /** What lies in localStorage. */
  records() {
    return this.page.evaluate(() =>
      Object.keys(localStorage)
        .filter((key) => key.startsWith("example/"))
        .map((key) => JSON.parse(localStorage.getItem(key))),
    );
  }

  /** Until not even one more letter finds room. */
  fillLocalStorage() {
    return this.page.evaluate(() => {
      let filler = "";
      for (let size = 4_194_304; size >= 1; size /= 2) {
        try {
          localStorage.setItem("filler", filler + "x".repeat(size));
          filler += "x".repeat(size);
        } catch {
          // Half of it may fit.
        }
      }
    });
  }

  /** Ends the page's process. Another page keeps the browser open. */
  async crash() {
    const context = this.page.context();
    await context.newPage();
    const session = await context.newCDPSession(this.page);
    const crashed = this.page.waitForEvent("crash");
    // Nobody is left to answer.
    session.send("Page.crash").catch(() => {});
    await crashed;
  }

  isKeptForOffline() {
    return this.page.evaluate(async () => void (await navigator.serviceWorker.ready));
  }

  async screenshot(name) {
    for (const [device, size] of Object.entries({ desk: DESK, phone: PHONE })) {
      await this.page.setViewportSize(size);
      await this.page.evaluate(() => scrollTo(0, 0));
      const path = join(SCREENSHOTS, `example-${name}-${device}.png`);
      await this.page.screenshot({ path });
      console.log(`screenshot: ${relative(ROOT, path)}`);
    }
    await this.page.setViewportSize(DESK);
  }
}
