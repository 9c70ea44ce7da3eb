/**
 * Twelve secrets are used in a page and under Node while everything fails that can fail. None of them is in what the package logs, in the text
 * or the parts of an error, in `status`, in `pending()`, or in what it has stored. The values of items are stored, as they should be, but are
 * in no log and no error either; and a session's tokens are kept where the app has told it to keep them, and nowhere else.
 */
/* global store -- of the page */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import init, { HttpTransporter, Schema, Store } from "../../pkg/index.js";
import { FaultServer } from "../accept/support/server.js";
import { launch, removeDir, tempDir, until } from "../e2e/support/browser.js";
import { closed, contentOf, unpack } from "../e2e/support/packed-site.js";

const NAMES = [
  ...["authorization", "apiKey", "cookie", "token", "newToken", "checkKey", "ticket", "password"],
  ...["clientSecret", "code", "accessToken", "refreshToken"],
];
const CANARIES = Object.fromEntries(
  NAMES.map((name, at) => [name, `canary-${at}-${Math.random().toString(36).slice(2)}-${name}`]),
);

const named = (...names) => NAMES.filter((name) => names.includes(name));
const foundIn = (text) => NAMES.filter((name) => text.includes(CANARIES[name]));

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Canaries</title>
  <script type="module">
    import init, { HttpOfflineChecker, HttpTransporter, IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";
    await init();
    const secrets = ${JSON.stringify(CANARIES)};
    window.texts = [];
    const parts = (error) => [String(error), error?.stack, error?.cause && parts(error.cause), JSON.stringify(error), JSON.stringify(error?.body)];
    window.tell = (error) => texts.push(...parts(error).flat());
    const transporter = new HttpTransporter({
      baseUrl: "/api",
      path: "people",
      timeout: 700,
      headers: { Authorization: "Bearer " + secrets.authorization, "X-Api-Key": secrets.apiKey },
      live: "/api/people/events?ticket=" + secrets.ticket,
      offlineChecker: new HttpOfflineChecker({ pattern: "/api/*", checkUrl: "/api/ping?key=" + secrets.checkKey }),
    });
    let token = secrets.token;
    transporter.use({
      name: "token",
      send({ req }) {
        req.headers["X-Token"] = token;
      },
      transmissionError({ error }) {
        tell(error);
        if (error.status !== 401) return undefined;
        token = secrets.newToken;
        return "retry";
      },
    });
    window.store = new Store({
      schema: new Schema({
        properties: { name: String, password: String, age: Number },
        validate: {
          "~standard": {
            version: 1,
            vendor: "test",
            validate: (value) => (value.name === "Nobody" ? { issues: [{ message: "is no name", path: ["name"] }] } : { value }),
          },
        },
      }),
      transporter,
      clientStorage: new IndexedDbClientStorage(),
    });
    window.attempt = async (act) => {
      try {
        return await act();
      } catch (error) {
        return tell(error);
      }
    };
    window.look = () => {
      const { storageError, lastError, ...status } = store.status;
      for (const error of [storageError, lastError]) tell(error);
      texts.push(JSON.stringify(status), JSON.stringify(store.pending().map(({ item, ...edit }) => edit)));
    };
    /** All that the site has stored, as text. */
    window.dump = async () => {
      const all = [JSON.stringify(localStorage), JSON.stringify(sessionStorage)];
      for (const { name } of await indexedDB.databases()) {
        const request = indexedDB.open(name);
        const database = await new Promise((done) => (request.onsuccess = () => done(request.result)));
        for (const place of database.objectStoreNames) {
          const values = database.transaction(place).objectStore(place).getAll();
          all.push(JSON.stringify(await new Promise((done) => (values.onsuccess = () => done(values.result)))));
        }
        database.close();
      }
      return all.join("\\n");
    };
    window.ready = true;
  </script>
</html>
`;

test("no_secret_of_a_page_is_in_its_console_in_an_error_or_in_what_is_stored", async (t) => {
  const folder = await unpack();
  t.after(() => removeDir(dirname(folder)));
  const site = async (path) => contentOf(path, folder, { "/": PAGE });
  const server = await new FaultServer({ site }).start();
  t.after(() => server.stop());
  const collection = server.collection("people", { keys: true, etags: true, rows: [{ name: "Bea" }] });
  let isToken = false;
  server.guard = ({ path, headers }) => {
    if (path === "/ping") return { status: 204, headers: {} };
    isToken ||= headers["x-token"] === CANARIES.newToken;
    if (headers["x-token"] !== CANARIES.newToken && isToken === false) return { status: 401, headers: {} };
    return undefined;
  };
  const profile = await tempDir();
  t.after(() => removeDir(profile));
  const browser = await launch(profile);
  t.after(() => browser.close());
  const { page, context } = browser;
  const [said, asked] = [[], []];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error.stack)));
  page.on("request", (request) => asked.push(request.url()));
  const cookie = { name: "session", value: CANARIES.cookie, url: server.origin, httpOnly: true };
  await context.addCookies([cookie]);
  await page.goto(server.origin);
  await page.waitForFunction(() => window.ready).catch((error) => assert.fail(`${error}: ${said}`));

  await page.evaluate((password) => {
    /* global attempt, look */
    return (async () => {
      await attempt(() => store.onceLoaded());
      await attempt(() => store.create({ name: "Ada", age: password }));
      await attempt(() => store.create({ name: "Ada", password: [password] }));
      await attempt(() => store.create({ name: "Nobody", password }));
      const item = store.create({ name: "Ada", password });
      await attempt(() => item.onceSynced());
      await attempt(() => item.update({ age: { password } }));
      look();
    })();
  }, CANARIES.password);

  // Each way in which a request can fail, for an edit that has the password in it and for a read.
  const problem = { status: 422, headers: { "Content-Type": "application/problem+json" }, body: { title: "No." } };
  for (const fault of [
    { answer: { status: 500, body: "broken" } },
    { position: "after", end: "cut" },
    { answer: { status: 200, headers: { "Content-Type": "text/html" }, body: "<p>hotel" } },
    { answer: { status: 200, body: '{"name":' } },
    { answer: { status: 302, headers: { Location: "/elsewhere" } } },
    { position: "after", end: "hang" },
    { answer: problem },
  ]) {
    const switched = [
      server.fault({ method: "PUT", ...fault }),
      server.fault({ method: "GET", path: "/people", ...fault }),
    ];
    await page.evaluate((password) => {
      return (async () => {
        const item = store.items.find(({ name }) => name === "Ada");
        item.update({ password: password + Math.random() });
        const read = attempt(() => store.fetch());
        await attempt(() => item.onceStored());
        await read;
        look();
      })();
    }, CANARIES.password);
    await until(() => switched[0].seen > 0 || page.evaluate(() => store.status.parked > 0), {
      what: "the edit was sent",
    });
    await page.evaluate(() => look());
    for (const one of switched) one.lift();
    // Each fault is met by an edit that has not failed before: waits grow with every failure.
    const isOver = () => page.evaluate(() => store.flush().then(() => store.status.pending === store.status.parked));
    await until(isOver, { what: "the edit is taken or parked" });
  }
  await until(() => page.evaluate(() => store.status.parked > 0), { what: "the edit is parked" });
  server.isCut = true;
  await page.evaluate(() => attempt(() => store.fetch()));
  await until(() => page.evaluate(() => store.status.connection === "offline"), { what: "the server is away" });
  await until(() => asked.some((url) => url.includes("/ping?")), { what: "it is probed" });
  await page.evaluate(() => look());

  const texts = await page.evaluate(() => window.texts.join("\n"));
  assert.ok(texts.includes("E_TYPE") && texts.includes("422"), "errors were told");
  const leaks = texts.split("\n").filter((line) => foundIn(line).length > 0);
  assert.deepEqual(leaks, [], "in errors, status and pending()");
  assert.deepEqual(foundIn(said.join("\n")), [], "in the console");
  const stored = await page.evaluate(() => window.dump());
  assert.deepEqual(foundIn(stored), ["password"], "in what is stored: the values of items alone");
  const used = JSON.stringify(server.log.map(({ headers, body }) => [headers, body])) + asked.join("\n");
  const expected = named("authorization", "apiKey", "cookie", "token", "newToken", "checkKey", "ticket", "password");
  assert.deepEqual(foundIn(used), expected, "all of them were used");
  assert.ok(collection.rows().length >= 2);
});

test("an_error_that_middleware_is_given_says_what_failed_and_nothing_of_the_request", async (t) => {
  const gone = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => gone.once("listening", listening));
  const origin = `http://127.0.0.1:${gone.address().port}`;
  await closed(gone);
  await init();
  const transporter = new HttpTransporter({
    baseUrl: origin,
    path: "people",
    headers: { "X-Api-Key": CANARIES.apiKey },
  });
  const given = new Promise((resolve) =>
    transporter.use({ name: "ears", transmissionError: ({ error }) => resolve(error) }),
  );
  const store = new Store({ name: "people", schema: new Schema({ properties: { name: String } }), transporter });
  t.after(() => store.close());
  const error = await given;
  assert.deepEqual([error.kind, error.status], ["unreachable", undefined]);
  assert.match(error.message, /fetch/i);
  assert.deepEqual(foundIn(inspect(error, { depth: 9 }) + JSON.stringify(error)), []);
});

test("a_header_that_cannot_be_sent_is_refused_by_its_name_and_its_value_is_told_to_nobody", async (t) => {
  await init();
  const transporter = new HttpTransporter({ baseUrl: "http://127.0.0.1:9", path: "people" });
  const heard = [];
  transporter.use({
    name: "token",
    send({ req }) {
      req.headers["X-Token"] = `${CANARIES.token}\n`.repeat(2);
    },
    transmissionError: ({ error }) => void heard.push(error),
  });
  const store = new Store({ name: "headers", schema: new Schema({ properties: { name: String } }), transporter });
  t.after(() => store.close());
  const item = store.create({ name: "Ada" });
  const error = await item.onceSynced().catch((thrown) => thrown);
  assert.equal(error.status, 422);
  assert.match(error.body, /X-Token/);
  const { lastError } = store.status;
  const texts = [error, item.error, lastError, store.pending()[0].reason, ...heard].map(
    (one) => inspect(one, { depth: 9 }) + JSON.stringify(one),
  );
  assert.deepEqual(foundIn(texts.join("\n")), []);
});

test("no_secret_of_a_program_under_node_is_in_its_output_in_an_error_or_in_its_state_but_for_its_tokens", async (t) => {
  const heard = [];
  let logins = 0;
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString();
    heard.push(request.url, text, JSON.stringify(request.headers));
    const end = (status, type, body) => response.writeHead(status, { "Content-Type": type }).end(body);
    const json = (status, body) => end(status, "application/json", JSON.stringify(body));
    if (!request.url.startsWith("/token")) return json(request.method === "GET" ? 500 : 422, { title: "No." });
    if (text.includes("grant_type=refresh_token")) return json(400, { error: "invalid_grant" });
    logins += 1;
    if (logins === 1) return json(400, { error: "invalid_grant" });
    if (logins === 2) return end(200, "text/html", "<p>hotel");
    const { accessToken, refreshToken } = CANARIES;
    return json(200, {
      access_token: accessToken,
      refresh_token: refreshToken,
      token_type: "Bearer",
      expires_in: 3600,
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => closed(server));
  const program = fileURLToPath(new URL("support/canary-in-node.js", import.meta.url));
  const env = {
    ...process.env,
    CANARIES: JSON.stringify(CANARIES),
    SERVER: `http://127.0.0.1:${server.address().port}`,
  };
  const child = fork(program, { env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  let told;
  child.on("message", (message) => (told = message));
  await new Promise((exited) => child.once("close", exited));
  assert.ok(told, `it came to its end: ${output}`);
  const texts = told.texts.join("\n");
  assert.ok(
    texts.includes("E_AUTH") && texts.includes("E_TYPE") && texts.includes("422"),
    `errors were told: ${texts}`,
  );
  assert.deepEqual(foundIn(texts), [], "in errors, status, pending() and what the session's logger is told");
  assert.deepEqual(foundIn(output), [], "in what it prints");
  const kept = foundIn(told.stored);
  assert.deepEqual(
    kept.filter((name) => !["accessToken", "refreshToken", "password"].includes(name)),
    [],
  );
  const expected = named("apiKey", "password", "clientSecret", "code", "accessToken");
  assert.deepEqual(
    foundIn(heard.join("\n")).filter((name) => name !== "refreshToken"),
    expected,
    "all of them were used",
  );
});
