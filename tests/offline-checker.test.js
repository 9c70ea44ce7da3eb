/**
 * The offline checker by itself, under Node: which addresses it speaks for, how long that takes, and that it finds out when no store
 * uses it.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { before, test } from "node:test";
import init, { ConcordiaError, HttpOfflineChecker, HttpTransporter } from "../pkg/index.js";

before(() => init());

const CHECK = "http://127.0.0.1:9/ping";
const of = (pattern) => new HttpOfflineChecker({ pattern, checkUrl: CHECK });

const GLOBS = [
  ["https://example.org/api/*", "https://example.org/api/people", true],
  ["https://example.org/api/*", "https://example.org/api/", true],
  ["https://example.org/api/*", "https://example.org/ap", false],
  ["https://example.org/api", "https://example.org/api/people", false],
  ["*", "https://example.org/", true],
  ["*.json", "https://example.org/a.json", true],
  ["*.json", "https://example.org/a.json?b", false],
  ["*/a/*/c", "https://example.org/a/b/c", true],
  ["*/a/*/c", "https://example.org/a/c", false],
  ["ab*ba", "aba", false],
  ["a*b*c", "abbc", true],
  ["a*bc*c", "abc", false],
  ["/api/*", "https://example.org/api/people", true],
  ["/api/*", "https://example.org/v2/api/people", false],
  ["/api/*", "/api/people", true],
  ["a.c*", "abc", false],
  ["a?b", "a?b", true],
  ["a?b", "axb", false],
];

for (const [pattern, url, expected] of GLOBS)
  test(`${pattern} ${expected ? "speaks" : "does not speak"} for ${url}`, () => {
    assert.equal(of(pattern).test(url), expected);
  });

test("a glob of many stars takes time in proportion to the address", () => {
  const long = "a".repeat(2_048);
  const globs = [
    "*a*a*a*a*a*a*b",
    "a*".repeat(1_000) + "b",
    `*${"a".repeat(1_000)}b*${"a".repeat(1_000)}b`,
    "*".repeat(2_000) + "b",
  ];
  for (const glob of globs) {
    const checker = of(glob);
    checker.test(long);
    const started = performance.now();
    assert.equal(checker.test(long), false);
    assert.ok(performance.now() - started < 5, `${glob.slice(0, 20)}: ${performance.now() - started} ms`);
  }
});

test("an expression with the flag g answers the same each time, and is left as it is", () => {
  const pattern = /api/g;
  const checker = of(pattern);
  assert.deepEqual(
    [1, 2, 3].map(() => checker.test("https://example.org/api")),
    [true, true, true],
  );
  assert.equal(pattern.lastIndex, 0);
});

test("what makes no sense is refused", () => {
  const options = [
    undefined,
    {},
    { pattern: "*" },
    { pattern: "", checkUrl: CHECK },
    { pattern: 7, checkUrl: CHECK },
    { pattern: "*", checkUrl: "" },
    { pattern: "*", checkUrl: "ping" },
    { pattern: "*", checkUrl: "ftp://example.org" },
    { pattern: "*", checkUrl: "http://user:secret@example.org" },
    { pattern: "*", checkUrl: CHECK, method: "DELETE" },
  ];
  for (const given of options)
    for (const make of [() => new HttpOfflineChecker(given), () => HttpTransporter.addOfflineChecker(given)])
      assert.throws(
        make,
        (error) => error instanceof ConcordiaError && error.code === "E_OPTIONS",
        JSON.stringify(given),
      );
});

test("a checker that no store uses finds out by itself", async () => {
  let [answers, asked] = [500, 0];
  const server = createServer((request, response) => {
    asked++;
    assert.equal(request.method, "HEAD");
    response.writeHead(answers).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const checkUrl = `http://127.0.0.1:${server.address().port}/ping`;
  const checker = new HttpOfflineChecker({ pattern: "*", checkUrl, method: "head" });
  await checker.onceAvailable();
  assert.equal(checker.isOffline, false);
  const back = checker.setOffline();
  assert.equal(checker.isOffline, true);
  assert.equal(checker.setOffline(), back);
  // Kept alive by somebody who waits.
  const alive = setInterval(() => {}, 100);
  await once(server, "request");
  answers = 404;
  await Promise.all([back, checker.onceAvailable()]);
  clearInterval(alive);
  assert.equal(checker.isOffline, false);
  assert.ok(asked >= 2);
  server.close();
});

test("a checker that is told so is online at once", async () => {
  const checker = of("*");
  const back = checker.setOffline();
  checker.setOnline();
  await back;
  assert.equal(checker.isOffline, false);
});
