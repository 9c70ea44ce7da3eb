/**
 * Runs the facts about transporters and client storages of one's own (`facts.js`) against the packed package, in Chromium and in
 * Firefox: a test for each fact and browser.
 */
import assert from "node:assert/strict";
import { copyFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, removeDir, tempDir, until } from "../e2e/support/browser.js";
import { launchFirefox } from "../e2e/support/firefox.js";
import { closed, serve, unpack } from "../e2e/support/packed-site.js";

const FACTS = fileURLToPath(new URL("facts.js", import.meta.url));
const LIMIT_MS = 15_000;

/** `run(name)` settles with why the fact is not so, or with null. */
const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Facts</title>
  <script type="module">
    const uncaught = [];
    addEventListener("error", (event) => uncaught.push("uncaught: " + event.message));
    addEventListener("unhandledrejection", (event) => uncaught.push("unhandled rejection: " + event.reason));

    const limit = (milliseconds) =>
      new Promise((_, reject) => setTimeout(() => reject(new Error("took longer than " + milliseconds + " ms")), milliseconds));
    // Rejections are reported as unhandled in a task of their own.
    const aTask = () => new Promise((resolve) => setTimeout(resolve));

    try {
      const { facts } = await import("/concordia/facts.js");
      window.names = facts.map((fact) => fact.name);
      window.run = async (name, options) => {
        const fact = facts.find((one) => one.name === name);
        uncaught.length = 0;
        try {
          await Promise.race([(async () => fact.run(options))(), limit(fact.limitMs ?? ${LIMIT_MS})]);
          await aTask();
        } catch (error) {
          return [String(error?.stack?.includes(error.message) ? error.stack : error), ...uncaught].join("\\n");
        }
        return uncaught.length > 0 ? uncaught.join("\\n") : null;
      };
    } catch (error) {
      window.names = [];
      window.broken = String(error);
    }
  </script>
</html>
`;

let folder, site, api;

before(async () => {
  folder = await unpack();
  // Beside the package's own files, since the site serves nothing else as a script.
  await copyFile(FACTS, join(folder, "facts.js"));
  site = await serve({ folder, pages: { "/": PAGE } });
  api = await restServer();
});

after(async () => {
  await site?.close();
  await api?.close();
  if (folder) await removeDir(dirname(folder));
});

const BROWSERS = {
  async Chromium() {
    const profile = await tempDir();
    const browser = await launch(profile);
    let page = browser.page;
    return {
      async open(url) {
        const old = page;
        page = await browser.context.newPage();
        await old.close();
        await page.goto(url);
      },
      evaluate: (what, argument) => page.evaluate(what, argument),
      async close() {
        await browser.close();
        await removeDir(profile);
      },
    };
  },
  Firefox: launchFirefox,
};

for (const [name, start] of Object.entries(BROWSERS)) {
  describe(`in ${name}`, () => {
    let browser;

    before(async () => {
      browser = await start();
    });
    after(() => browser?.close());

    async function open() {
      await browser.open(site.origin);
      const names = await until(() => browser.evaluate("window.names"), { what: "the facts are loaded" });
      assert.equal(await browser.evaluate("window.broken"), undefined);
      return names;
    }

    test("every fact about transporters and client storages holds", async (t) => {
      const names = await open();
      assert.ok(names.length > 0, "there are facts");
      for (const fact of names) {
        await t.test(fact, async () => {
          const call = `window.run(${JSON.stringify(fact)}, ${JSON.stringify({ api: api.origin })})`;
          const problem = await browser.evaluate(call);
          // What failed may have left something behind that disturbs the next one.
          if (problem !== null) await open();
          assert.equal(problem, null);
        });
      }
    });
  });
}

/**
 * A REST server of another origin, in memory. A write's header `X-Fact` becomes the row's `seenBy`; a row whose name is
 * `refuse <status>` is refused with that status.
 */
async function restServer() {
  const collections = new Map();
  let keys = 0;
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE");
    response.setHeader("Access-Control-Allow-Headers", "Content-Type, X-Fact");
    if (request.method === "OPTIONS") return response.writeHead(204).end();
    const [path, id] = request.url.slice(1).split("/");
    if (!collections.has(path)) collections.set(path, new Map());
    const rows = collections.get(path);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks)) : undefined;
    const seen = request.headers["x-fact"] === undefined ? {} : { seenBy: request.headers["x-fact"] };
    const [status, answer] = answerTo(request.method, id, body && { ...body, ...seen }, rows, () => String(++keys));
    response.writeHead(status, { "Content-Type": "application/json" });
    return response.end(JSON.stringify(answer));
  });
  await new Promise((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => closed(server) };
}

function answerTo(method, id, row, rows, nextKey) {
  const [, refused] = /^refuse (\d+)$/.exec(row?.name ?? "") ?? [];
  if (refused) return [Number(refused), { detail: "refused" }];
  if (method === "GET") return id === undefined ? [200, [...rows.values()]] : found(rows.get(id));
  if (method === "DELETE") return [rows.delete(id) ? 200 : 404, {}];
  const key = id ?? nextKey();
  rows.set(key, { ...(method === "PATCH" ? rows.get(key) : {}), ...row, id: key });
  return [method === "POST" ? 201 : 200, rows.get(key)];
}

const found = (row) => (row === undefined ? [404, {}] : [200, row]);
