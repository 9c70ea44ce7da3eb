// The code of the README's section "Write your own transporter", as it stands there, run against the packed package.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const call = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("../pkg", import.meta.url));
const README = fileURLToPath(new URL("../README.md", import.meta.url));
const LIMIT_MS = 60_000;

/**
 * The server that the section talks to: two people are there, and the token `fresh` is wanted. Keeps what was asked, and tells it when
 * the section has run.
 */
const WORLD = `
  const rows = [{ id: "1", name: "Bea", age: 40 }, { id: "2", name: "Cyd", age: 20 }];
  const asked = [];
  const answer = ({ action, values }) => {
    if (action === "list") return rows;
    const row = { ...values, id: String(rows.length + 1) };
    rows.push(row);
    return row;
  };
  globalThis.fetch = async (address, { method = "GET", headers, body } = {}) => {
    const { pathname } = new URL(address);
    if (method === "GET" && pathname === "/token") {
      asked.push({ action: "token" });
      return new Response("fresh");
    }
    const request = JSON.parse(body);
    const allowed = headers.Authorization === "Bearer fresh";
    asked.push({ method, path: pathname, ...request, allowed });
    return allowed ? Response.json(answer(request)) : new Response("who are you?", { status: 401 });
  };
  const printed = [];
  const print = console.log;
  console.log = (...words) => printed.push(words.join(" "));
  await import("./section.js");
  print(JSON.stringify({ rows, asked, printed }));
  process.exit();
`;

let app;

before(async () => {
  app = mkdtempSync(join(tmpdir(), "concordia-readme-"));
  const installed = join(app, "node_modules", "concordia");
  mkdirSync(installed, { recursive: true });
  const { stdout } = await call("npm", ["pack", PACKAGE, "--json", "--ignore-scripts", "--pack-destination", app]);
  const [{ filename }] = JSON.parse(stdout);
  await call("tar", ["-xzf", join(app, filename), "-C", installed, "--strip-components=1"]);
  writeFileSync(join(app, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(app, "world.js"), WORLD);
});

after(() => rmSync(app, { recursive: true, force: true }));

test("the README's own transporter reads the rows, refreshes its token and sends a create once", async () => {
  writeFileSync(join(app, "section.js"), codeUnder("Write your own transporter"));
  const { stdout } = await call(process.execPath, ["world.js"], { cwd: app, timeout: LIMIT_MS });
  const { rows, asked, printed } = JSON.parse(stdout);

  assert.deepEqual(
    asked.map(({ action, allowed }) => [action, allowed]),
    [
      ["list", false],
      ["token", undefined],
      ["list", true],
      ["create", true],
    ],
  );
  for (const { action, method, path } of asked.filter((request) => request.action !== "token"))
    assert.deepEqual([method, path], ["POST", "/rpc"], action);
  assert.match(asked.at(-1).once, /^[0-9a-f-]{36}$/, "the idempotency key reaches the server");
  assert.deepEqual(rows.at(-1), { name: "Ada", age: 36, id: "3" });
  assert.deepEqual(printed, ["Ada is number 3 of 3"]);
});

/** The one JavaScript block of the section with this heading. */
function codeUnder(heading) {
  const sections = readFileSync(README, "utf8").split(/^## /m);
  const section = sections.find((text) => text.startsWith(`${heading}\n`));
  assert.ok(section, `README.md has a section "${heading}"`);
  const blocks = [...section.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(blocks.length, 1, "the section has one block of JavaScript");
  return blocks[0];
}
