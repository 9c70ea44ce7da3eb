/** Sessions in a real browser: the login page of the examples, tabs that share one refresh, users one after the other. */
/* global concordia, conformance -- of the page */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { stateStorageSuite } from "../../pkg/conformance.js";
import { startAuthorizationServer } from "../session/support/authorization-server.js";
import { launch, removeDir, tempDir, until } from "./support/browser.js";
import { serve, unpack } from "./support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Sessions</title>
  <script type="module">
    import * as concordia from "/concordia/index.js";
    import { stateStorageSuite } from "/concordia/conformance.js";
    await concordia.default();
    let databases = 0;
    window.conformance = () =>
      stateStorageSuite({
        make() {
          const database = "states-" + ++databases;
          return {
            storage: new concordia.IndexedDbStateStorage({ database }),
            reopen: () => new concordia.IndexedDbStateStorage({ database }),
          };
        },
        reopens: true,
      });
    window.concordia = concordia;
  </script>
</html>
`;
const TABS = 4;
const CALLS = 50;

let folder, site, profile, browser, server;
const troubles = [];

before(async () => {
  server = await startAuthorizationServer({ secret: "" });
  folder = await unpack();
  site = await serve({ folder, pages: { "/": PAGE } });
  profile = await tempDir();
  browser = await launch(profile);
});

after(async () => {
  await browser?.close();
  await site?.close();
  await server?.close();
  if (profile) await removeDir(profile);
  if (folder) await removeDir(dirname(folder));
});

async function openTab() {
  const page = await browser.context.newPage();
  page.on("pageerror", (error) => troubles.push(error.message));
  await page.goto(site.origin);
  await page.waitForFunction(() => window.concordia !== undefined);
  return page;
}

/** Logs a user in in a tab, with tokens for so many seconds. */
async function logIn(page, user, seconds = 3600) {
  const url = await page.evaluate(
    ([options, id]) => {
      window.session ??= new concordia.Session({ ...options, storage: new concordia.IndexedDbStateStorage() });
      return window.session.getAuthUrl(undefined, {}, id);
    },
    [server.options, user],
  );
  const back = await server.logIn(url, user);
  server.lifetimes.set(user, seconds);
  await page.evaluate(
    ([id, address]) => window.session.handleAuthorizationCodeRequest(id, { url: address }),
    [user, back],
  );
}

test(`${CALLS} calls in each of ${TABS} tabs with an expired token make one refresh`, async () => {
  const tabs = await Promise.all(Array.from({ length: TABS }, openTab));
  await logIn(tabs[0], "tabs", 0);
  server.counts.refresh_token = server.counts.reused = 0;
  const ask = (page) =>
    page.evaluate(
      ([options, count]) => {
        const storage = new concordia.IndexedDbStateStorage();
        const session = new concordia.Session({ ...options, storage });
        return Promise.all(Array.from({ length: count }, () => session.getAccessToken("tabs")));
      },
      [server.options, CALLS],
    );
  const tokens = (await Promise.all(tabs.map(ask))).flat();
  assert.equal(tokens.length, TABS * CALLS);
  assert.equal(new Set(tokens).size, 1);
  assert.equal(server.whose(tokens[0]), "tabs");
  assert.deepEqual([server.counts.refresh_token, server.counts.reused], [1, 0]);
  await Promise.all(tabs.map((page) => page.close()));
});

test("a tab that is closed in the middle of a refresh leaves no lock behind", async () => {
  const [closed, other] = await Promise.all([openTab(), openTab()]);
  await logIn(closed, "closed", 0);
  const came = new Promise((resolve) => server.answer("token", () => void resolve()));
  await closed.evaluate(() => void window.session.getAccessToken("closed").catch(() => {}));
  await came;
  await closed.close();
  const token = await other.evaluate((options) => {
    const session = new concordia.Session({ ...options, storage: new concordia.IndexedDbStateStorage() });
    return session.getAccessToken("closed");
  }, server.options);
  assert.equal(server.whose(token), "closed");
  await other.close();
});

test("A → B → A in one browser: B sees and sends nothing of A, and A's queue is sent after A's return", async () => {
  const page = await openTab();
  const use = (user, name) =>
    page.evaluate(
      async ([options, base, id, text]) => {
        const { HttpTransporter, IndexedDbStateStorage, Schema, Session, StateClientStorage, Store } = concordia;
        const storage = new IndexedDbStateStorage();
        window.session ??= new Session({ ...options, storage });
        const transporter = new HttpTransporter({ baseUrl: base, path: "people" }).use(window.session.middleware(id));
        const schema = new Schema({ properties: { name: String } });
        window.store = new Store({
          schema,
          transporter,
          clientStorage: new StateClientStorage({ storage, userId: id }),
        });
        await window.store.onceLoaded().catch(() => {});
        const seen = window.store.items.map((item) => item.name);
        if (text) await window.store.create({ name: text }).onceStored();
        return { seen, pending: window.store.pending().length };
      },
      [server.options, `${server.origin}/api`, user, name],
    );
  const sent = (login) => (server.api.get(login) ?? []).map(({ name }) => name);
  const held = () => page.evaluate(() => window.store.status.connection === "held");
  const done = () => page.evaluate(() => window.store.pending().length === 0);

  assert.deepEqual(await use("A", "secret of A"), { seen: [], pending: 1 });
  await until(held, { what: "the hold" });
  await page.evaluate(() => window.store.close());

  await logIn(page, "B");
  assert.deepEqual(await use("B", "of B"), { seen: [], pending: 1 });
  await until(done, { what: "B's edit is sent" });
  assert.deepEqual([sent("A"), sent("B")], [[], ["of B"]]);
  assert.ok(!server.log.some(({ body }) => body.includes("secret of A")));
  await page.evaluate(async () => {
    await window.store.close();
    await window.session.revokeToken("B");
  });
  // A comes back after a reload.
  await page.reload();
  await page.waitForFunction(() => window.concordia !== undefined);
  assert.deepEqual(await use("A"), { seen: ["secret of A"], pending: 1 });
  await logIn(page, "A");
  await until(done, { what: "A's edit is sent" });
  assert.deepEqual([sent("A"), sent("B")], [["secret of A"], ["of B"]]);
  await page.close();
});

test("the login page of the examples: log in, add, log out, add, log in again", async () => {
  const child = spawn(process.execPath, ["examples/browser-login/start.js"], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (text) => (printed += text));
  try {
    const address = await until(() => /open (http\S+)/.exec(printed)?.[1], { what: "the example's address" });
    const page = await browser.context.newPage();
    const status = (text) => page.getByText(text).waitFor();
    await page.goto(address);
    await status("logged out, held, 0 to send");
    await page.getByRole("button", { name: "Log in" }).click();
    await status("logged in, online, 0 to send");
    assert.equal(page.url(), address, "neither code nor state is left in the address");
    await page.getByLabel("Note").fill("first");
    await page.getByRole("button", { name: "Add" }).click();
    await status("logged in, online, 0 to send");
    await page.getByText("first").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Note").fill("second");
    await page.getByRole("button", { name: "Add" }).click();
    await status("logged out, held, 1 to send");
    await page.reload();
    await page.getByText("second").waitFor();
    await page.getByRole("button", { name: "Log in" }).click();
    await status("logged in, online, 0 to send");
    const notes = await page.evaluate(async () => [...document.querySelectorAll("li")].map((item) => item.textContent));
    assert.deepEqual(notes.sort(), ["first", "second"]);
    await page.close();
  } finally {
    child.kill("SIGKILL");
  }
});

describe("IndexedDbStateStorage in Chromium", () => {
  let page;
  before(async () => {
    page = await openTab();
  });
  for (const { name } of stateStorageSuite({ make: () => ({}), reopens: true }))
    test(name, async () => {
      const result = await page.evaluate(
        (wanted) =>
          conformance()
            .find((each) => each.name === wanted)
            .run()
            .then(
              () => "passed",
              (error) => error.stack,
            ),
        name,
      );
      assert.equal(result, "passed");
    });
  test("no error was left uncaught in a page", () => assert.deepEqual(troubles, []));
});
