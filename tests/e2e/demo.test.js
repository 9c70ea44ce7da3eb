/**
 * The demo page in a real Chromium, over its own server: edits made while the server is down, over a reload, over a
 * browser that is killed, until the server is back and holds each of them once.
 *
 * Screenshots of the way are left in `test-results/screenshots/`.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer } from "../../www/server.js";
import { freePort, launch, removeDir, tempDir, until } from "./support/browser.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SCREENSHOTS = join(ROOT, "test-results", "screenshots");
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
/** Backoff grows to a minute while a server is down: so long may the first attempt after it take. */
const AFTER_OUTAGE_MS = 90_000;

let dir;
before(async () => {
  dir = await tempDir();
  await mkdir(SCREENSHOTS, { recursive: true });
});
after(() => removeDir(dir));

test("edits_made_while_the_server_is_down_survive_a_reload_and_a_killed_browser_and_arrive_once", async (t) => {
  const profile = join(dir, "outage-profile");
  const dataFile = join(dir, "outage.json");
  const port = await freePort();
  const arrived = [];
  let server = await createServer({ dataFile, port });
  t.after(() => server.close());
  let browser = await launch(profile);
  t.after(() => browser.close());
  let demo = new Demo(browser.page, server.url);
  const expected = structuredClone(server.people.list());

  await t.test("the page lists the people of the server and is kept for offline use", async () => {
    await demo.open();
    await demo.page.getByTestId("offline-ready").waitFor();
    assert.deepEqual(await demo.names(), expected.map(nameOf).toReversed());
    assert.equal(await demo.connection(), "online");
    await demo.isSettled();
  });

  await t.test("an edit, an addition and a deletion arrive, and the badges say so", async () => {
    await demo.type("Amara Okafor", "city", "Abuja");
    await demo.check("Jonas Lindqvist", "vip");
    await demo.type("Mei Tanaka", "tags", "design, print, paper");
    await demo.type("Rafael Duarte", "joined", "2018-02-01");
    await demo.add("Nadia", "Petrova");
    await demo.remove("Luca Ferri");
    await demo.isSettled();

    rowOf(expected, "Amara Okafor").address.city = "Abuja";
    rowOf(expected, "Jonas Lindqvist").vip = true;
    rowOf(expected, "Mei Tanaka").tags = ["design", "print", "paper"];
    rowOf(expected, "Rafael Duarte").joined = "2018-02-01T00:00:00.000Z";
    removeFrom(expected, "Luca Ferri");
    expected.push(added("13", "Nadia", "Petrova"));
    await until(() => assertRows(server, expected), { what: "the first edits on the server" });
    await demo.screenshot("online");
  });

  await t.test("with the server stopped, edits are kept and shown", async () => {
    arrived.push(...server.log.entries);
    await server.close();
    await demo.type("Salma Haddad", "lastName", "Haddad-Roy");
    await until(async () => (await demo.connection()) === "offline", { what: "the page says that it is offline" });
    await demo.type("Piotr Zieliński", "age", "63");
    await demo.type("Nadia Petrova", "email", "nadia@example.org");
    await demo.add("Oscar", "Lund");
    await demo.add("Passing", "Visitor");
    await demo.remove("Passing Visitor");
    await demo.remove("Freya Nielsen");
    await demo.isStored();
    await demo.page.getByTestId("queue-entry").nth(4).waitFor();
    await until(async () => (await demo.serverState()) === "down", {
      what: "the fault panel says that the server is down",
    });
    await demo.screenshot("offline");
    await until(() => showsOfflineEdits(demo), { what: "every edit is shown" });
  });

  await t.test("the page reloads without the server and shows every edit", async () => {
    await demo.page.reload();
    await demo.isShown();
    await until(() => showsOfflineEdits(demo), { what: "every edit is shown" });
  });

  await t.test("after the browser is killed the page opens without the server and shows every edit", async () => {
    await demo.isStored();
    await browser.kill();
    browser = await launch(profile);
    demo = new Demo(browser.page, server.url);
    await demo.open();
    await until(() => showsOfflineEdits(demo), { what: "every edit is shown" });
  });

  await t.test("when the server is back it holds each edit once", async () => {
    server = await createServer({ dataFile, port });
    await demo.isSettled({ timeoutMs: AFTER_OUTAGE_MS });

    rowOf(expected, "Salma Haddad").lastName = "Haddad-Roy";
    rowOf(expected, "Piotr Zieliński").age = 63;
    rowOf(expected, "Nadia Petrova").email = "nadia@example.org";
    removeFrom(expected, "Freya Nielsen");
    expected.push(added("14", "Oscar", "Lund"));
    assertRows(server, expected);
    assert.deepEqual(await demo.names(), expected.map(nameOf).toReversed());

    arrived.push(...server.log.entries);
    const created = arrived.filter(({ method, outcome }) => method === "POST" && outcome !== "replayed");
    assert.deepEqual(created.map(({ body }) => nameOf(body)).sort(), ["Nadia Petrova", "Oscar Lund"]);
    const failed = arrived.filter(({ status, outcome }) => status >= 400 || outcome === "refused");
    assert.deepEqual(failed, [], "no request that the server had to turn down");
  });
});

test("a_503_is_waited_for_and_a_lost_answer_leaves_one_row", async (t) => {
  const server = await createServer({ dataFile: join(dir, "faults.json"), port: 0 });
  t.after(() => server.close());
  const browser = await launch(join(dir, "faults-profile"));
  t.after(() => browser.close());
  const demo = new Demo(browser.page, server.url);
  const { page } = demo;
  await demo.open();
  await demo.isSettled();

  await t.test("while the server answers 503 the edit waits, and is sent after Retry-After", async () => {
    await demo.setFault("fault-retry-after", "2");
    await page.getByTestId("fault-503").check();
    await until(() => server.faults.state.status503 && server.faults.state.retryAfter === 2);
    await demo.type("Ines Moreau", "city", "Roubaix");
    await page.locator('[data-testid="queue-entry"][data-state="waiting"]').waitFor();
    assert.match(await page.getByTestId("queue-attempts").textContent(), /^[1-9]/);
    await demo.screenshot("503");
    await page.getByTestId("fault-503").uncheck();
    await until(() => !server.faults.state.status503);
    await demo.isSettled();
    assert.equal(rowOf(server.people.list(), "Ines Moreau").address.city, "Roubaix");
  });

  await t.test("an addition whose answer is lost is one row on the server", async () => {
    await demo.setFault("fault-lose-answers", "1");
    await until(() => server.faults.state.loseAnswers === 1);
    await demo.add("Odile", "Brun");
    await until(() => server.log.entries.some(({ outcome }) => outcome === "lost"), { what: "an answer is lost" });
    await demo.isSettled();
    assert.equal(server.people.list().filter((row) => nameOf(row) === "Odile Brun").length, 1);
    const posts = server.log.entries.filter(({ method }) => method === "POST");
    assert.deepEqual(
      posts.map(({ outcome }) => outcome),
      ["lost", "replayed"],
    );
    assert.equal(posts[0].idempotencyKey, posts[1].idempotencyKey);
    assert.deepEqual(posts[0].body, posts[1].body);
  });

  await t.test("the network switch takes the page offline and back", async () => {
    await page.getByTestId("network-switch").uncheck();
    await until(() => server.faults.state.offline);
    await demo.type("Dev Raman", "firstName", "Devika");
    await until(async () => (await demo.connection()) === "offline", { what: "the page says that it is offline" });
    await page.getByTestId("network-switch").check();
    await demo.isSettled();
    assert.equal(await demo.connection(), "online");
    assert.ok(rowOf(server.people.list(), "Devika Raman"));
  });
});

test("the_server_carries_a_write_out_once_per_idempotency_key_even_after_a_restart", async () => {
  const dataFile = join(dir, "keys.json");
  let server = await createServer({ dataFile, port: 0 });
  const send = (method, path, key, body) =>
    fetch(new URL(path, server.url), {
      method,
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: body && JSON.stringify(body),
    });
  try {
    const first = await send("POST", "/api/people", "k1", { firstName: "Ada" });
    assert.equal(first.status, 201);
    const row = await first.json();
    const other = await send("POST", "/api/people", "k1", { firstName: "Eve" });
    assert.equal(other.status, 422);
    assert.match(other.headers.get("Content-Type"), /^application\/problem\+json/);
    assert.equal((await send("PATCH", `/api/people/${row.id}`, "k2", { age: 36 })).status, 200);
    assert.equal((await send("PUT", `/api/people/${row.id}`, "k3", { age: 151 })).status, 422);

    await server.close();
    server = await createServer({ dataFile, port: 0 });
    const again = await send("POST", "/api/people", "k1", { firstName: "Ada" });
    assert.equal(again.status, 201);
    assert.deepEqual(await again.json(), row);
    assert.deepEqual(server.people.get(row.id), { firstName: "Ada", age: 36, id: row.id });
    assert.equal((await send("DELETE", `/api/people/${row.id}`, "k4")).status, 204);
    assert.equal((await send("DELETE", `/api/people/${row.id}`, "k4")).status, 204);
    assert.equal((await send("DELETE", `/api/people/${row.id}`, "k5")).status, 404);
    assert.equal(server.people.list().length, 12);
  } finally {
    await server.close();
  }
});

/** The page as a person sees it. */
class Demo {
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async open() {
    await this.page.setViewportSize(DESK);
    await this.page.goto(this.url);
    await this.isShown();
  }

  isShown() {
    return this.page.getByTestId("person").first().waitFor();
  }

  card(name) {
    return this.page.getByTestId("person").filter({ has: this.page.getByRole("group", { name, exact: true }) });
  }

  /** Replaces a field's value; names are looked up before it, so that a name can be changed too. */
  async type(name, field, value) {
    await this.card(name).getByTestId(`field-${field}`).fill(value);
  }

  value(name, field) {
    return this.card(name).getByTestId(`field-${field}`).inputValue();
  }

  check(name, field) {
    return this.card(name).getByTestId(`field-${field}`).check();
  }

  async add(firstName, lastName) {
    await this.page.getByTestId("add-first-name").fill(firstName);
    await this.page.getByTestId("add-last-name").fill(lastName);
    await this.page.getByTestId("add-last-name").press("Enter");
    await this.card(`${firstName} ${lastName}`).waitFor();
  }

  async remove(name) {
    await this.card(name).getByTestId("remove").click();
    await this.card(name).waitFor({ state: "detached" });
  }

  async setFault(testId, value) {
    const input = this.page.getByTestId(testId);
    await input.fill(value);
    await input.press("Enter");
  }

  names() {
    return this.page
      .getByTestId("person")
      .getByRole("group")
      .evaluateAll((cards) => cards.map((card) => card.ariaLabel));
  }

  connection() {
    return this.page.getByTestId("connection").getAttribute("data-state");
  }

  serverState() {
    return this.page.getByTestId("server-state").getAttribute("data-state");
  }

  badges(which) {
    return this.page.getByTestId(`badge-${which}`).evaluateAll((badges) => badges.map((badge) => badge.dataset.state));
  }

  isStored(options) {
    const check = async () => (await this.badges("stored")).every((state) => state === "yes");
    return until(check, { what: "every person is on this device", ...options });
  }

  async isSettled(options) {
    const check = async () => {
      assert.deepEqual(await this.page.getByTestId("queue-entry").allInnerTexts(), []);
      assert.deepEqual(new Set(await this.badges("synced")), new Set(["yes"]));
      return true;
    };
    await until(check, { what: "every edit is on the server", ...options });
    await this.isStored();
  }

  async screenshot(name) {
    for (const [device, size] of Object.entries({ desk: DESK, phone: PHONE })) {
      await this.page.setViewportSize(size);
      await this.page.getByTestId("faults").evaluate((panel, open) => (panel.open = open), device === "desk");
      await this.page.evaluate(() => scrollTo(0, 0));
      const path = join(SCREENSHOTS, `demo-${name}-${device}.png`);
      await this.page.screenshot({ path });
      console.log(`screenshot: ${relative(ROOT, path)}`);
    }
    await this.page.setViewportSize(DESK);
    await this.page.getByTestId("faults").evaluate((panel) => (panel.open = true));
  }
}

async function showsOfflineEdits(demo) {
  const names = await demo.names();
  assert.equal(names.length, 12);
  assert.equal(await demo.value("Salma Haddad-Roy", "lastName"), "Haddad-Roy");
  assert.equal(await demo.value("Piotr Zieliński", "age"), "63");
  assert.equal(await demo.value("Nadia Petrova", "email"), "nadia@example.org");
  assert.ok(names.includes("Oscar Lund"));
  for (const gone of ["Passing Visitor", "Freya Nielsen", "Luca Ferri"]) assert.ok(!names.includes(gone), gone);
  assert.equal(await demo.page.getByTestId("queue-entry").count(), 5);
  return true;
}

/** Rows are compared without regard to fields that were never given a value. */
function assertRows(server, expected) {
  const given = (row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
  const byId = (a, b) => Number(a.id) - Number(b.id);
  assert.deepEqual(server.people.list().map(given).sort(byId), expected.toSorted(byId));
  return true;
}

const nameOf = ({ firstName, lastName }) => `${firstName} ${lastName}`;

const rowOf = (rows, name) => rows.find((row) => nameOf(row) === name);

function removeFrom(rows, name) {
  rows.splice(rows.indexOf(rowOf(rows, name)), 1);
}

function added(id, firstName, lastName) {
  return { firstName, lastName, email: "", vip: false, tags: [], address: { city: "" }, id };
}
