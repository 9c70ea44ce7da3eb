/**
 * The right reaction to every answer: twenty items get twenty different ones, each ends as the table of outcomes says, nobody is asked
 * earlier than allowed, and no item waits for another one's trouble.
 */
/* global HttpTransporter, people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { problem } from "./support/collection.js";
import { world } from "./support/world.js";

const WAIT_S = 1;
const TIMEOUT_MS = 2_000;
const HTML = { status: 200, headers: { "Content-Type": "text/html" }, body: "<!doctype html><title>Sign in</title>" };

/** A date is in whole seconds: the first one that is at least the wait away. */
const dateAfterWait = () => new Date((Math.ceil(Date.now() / 1000) + WAIT_S) * 1000).toUTCString();

/**
 * What the first attempt at an update of item n is answered, and how the item ends: `synced`, or parked with this code. `waits`: the
 * answer asks the whole origin to wait.
 */
const ANSWERS = [
  { answer: undefined, ends: "synced" },
  { answer: { status: 204 }, ends: "synced", lies: true },
  { answer: HTML, ends: "synced" },
  { answer: { status: 200, body: '{"name": "cut o' }, ends: "synced" },
  { answer: { status: 302, headers: { Location: "/api/elsewhere" } }, ends: "synced" },
  { answer: problem(400), ends: "E_REJECTED" },
  { answer: problem(401), ends: "synced" },
  { answer: problem(403), ends: "E_REJECTED" },
  { answer: problem(404), ends: "E_GONE_REMOTELY" },
  { answer: { status: 408 }, ends: "synced" },
  { answer: problem(409), ends: "synced" },
  { answer: problem(412), ends: "synced" },
  { answer: problem(422), ends: "E_REJECTED" },
  { answer: { status: 425 }, ends: "synced" },
  { answer: { status: 429, headers: { "Retry-After": String(WAIT_S) } }, ends: "synced", waits: true },
  { answer: { status: 500 }, ends: "synced" },
  { answer: { status: 501 }, ends: "E_REJECTED" },
  { answer: () => ({ status: 503, headers: { "Retry-After": dateAfterWait() } }), ends: "synced", waits: true },
  { end: "hang", ends: "synced" },
  { end: "cut", ends: "synced" },
];

/** What the server does to an update for ever, in the second test. */
const TROUBLES = [
  { answer: HTML },
  { answer: { status: 200, body: "{" } },
  { answer: { status: 302, headers: { Location: "/api/elsewhere" } } },
  { answer: { status: 408 } },
  { answer: { status: 429, headers: { "Retry-After": String(WAIT_S) } } },
  { answer: { status: 500 } },
  { answer: { status: 502, headers: { "Content-Type": "text/html" }, body: "<h1>Bad gateway</h1>" } },
  { answer: { status: 503, headers: { "Retry-After": String(WAIT_S) } } },
  { answer: { status: 507 } },
  { answer: { status: 511 } },
  { answer: problem(422) },
  { position: "after", end: "cut" },
  { position: "middle" },
  { end: "cut" },
  { end: "hang" },
];

test("twenty_items_get_twenty_answers_and_each_ends_as_the_table_says", async (t) => {
  assert.equal(ANSWERS.length, 20);
  const { server, open } = await world(t);
  const rows = ANSWERS.map((_, at) => ({ name: `Person ${at}`, age: 0 }));
  const collection = server.collection("people", { keys: true, etags: true, rows });
  const page = await open();
  await watched(page);
  ANSWERS.forEach(({ answer, end }, at) => {
    if (answer || end) server.fault({ method: "PUT", path: `/people/${at + 1}`, answer, end });
  });
  const ends = await page.evaluate(() => {
    const waits = store.items.map((item, at) => item.update({ age: at + 100 }).onceSynced());
    return Promise.all(
      waits.map((wait) =>
        wait.then(
          () => "synced",
          ({ code }) => code,
        ),
      ),
    );
  });
  assert.deepEqual(
    ends,
    ANSWERS.map((row) => row.ends),
  );

  const { pending, status } = await page.evaluate(() => told(store));
  const parked = ANSWERS.flatMap((row, at) =>
    row.ends === "synced" ? [] : [`Person ${at} ${row.ends} ${row.answer.status}`],
  );
  assert.deepEqual(
    pending.map(({ name, reason }) => `${name} ${reason?.code} ${reason?.status}`).sort(),
    parked.sort(),
  );
  assert.equal(status.connection, "online");
  ANSWERS.forEach((row, at) => {
    const taken = row.ends === "synced" && !row.lies;
    assert.equal(collection.row(at + 1).age, taken ? at + 100 : 0, `row of the item that was answered ${named(row)}`);
    assert.ok(
      server.writes({ path: `/people/${at + 1}`, applied: true }).length <= 1,
      `${named(row)} took effect once`,
    );
    const keys = new Set(server.writes({ path: `/people/${at + 1}` }).map(({ headers }) => headers["idempotency-key"]));
    // What follows a conflict is another request, with what was merged.
    if (![409, 412].includes(row.answer?.status)) assert.equal(keys.size, 1, `${named(row)} kept its key`);
  });

  const { asked, answered } = await page.evaluate(() => window.exchanges);
  const waits = ANSWERS.filter(({ waits: asks }) => asks);
  for (const row of waits) {
    const path = `/people/${ANSWERS.indexOf(row) + 1}`;
    const { at } = answered.find((one) => one.path === path);
    const until = retryAfter(server.writes({ path })[0], at);
    const early = asked.filter((one) => one.at > at && one.at < until);
    assert.deepEqual(early, [], `nobody is asked before the wait of ${named(row)} is over`);
  }
});

test("items_that_fail_for_ever_delay_nobody_else", async (t) => {
  const { server, open } = await world(t);
  const count = 2 * TROUBLES.length;
  const rows = Array.from({ length: count }, (_, at) => ({ name: `Person ${at}`, age: 0 }));
  const collection = server.collection("people", { rows });
  const page = await open();
  await watched(page);
  const faults = TROUBLES.map((trouble, at) =>
    server.fault({ method: "PUT", path: `/people/${2 * at + 1}`, times: Infinity, ...trouble }),
  );
  await page.evaluate(() => {
    for (const item of store.items) item.age = 1;
  });
  // Three rounds of edits get through while the others go on failing.
  for (const round of [1, 2, 3])
    await page.evaluate(
      (age) =>
        Promise.all(store.items.filter((_, at) => at % 2 === 1).map((item) => item.update({ age }).onceSynced())),
      round,
    );
  const healthy = collection.rows().filter((_, at) => at % 2 === 1);
  assert.deepEqual(
    healthy.map(({ age }) => age),
    healthy.map(() => 3),
  );
  assert.ok(
    faults.every(({ seen }) => seen > 0),
    "all troubles were met",
  );
  const stuck = await page.evaluate(() => told(store).pending.map(({ name, state }) => [name, state]));
  assert.equal(stuck.length, TROUBLES.length, "who fails is kept");
  assert.equal(stuck.filter(([, state]) => state === "parked").length, 1, "and only the refused one is parked");
});

/** Opens the store; what it asks for and what is refused is written down where it happens. */
const watched = (page) =>
  page.evaluate(async (timeout) => {
    window.exchanges = { asked: [], answered: [] };
    const now = () => performance.timeOrigin + performance.now();
    const path = ({ url }) => new URL(url, location).pathname.replace("/api", "");
    const transporter = new HttpTransporter({ baseUrl: "/api", path: "people", timeout }).use({
      name: "watch",
      send: ({ req }) => {
        window.exchanges.asked.push({ path: path(req), at: now() });
        return req;
      },
      transmissionError: ({ req, error }) => {
        window.exchanges.answered.push({ path: path(req), at: now(), status: error.status });
        return error.status === 401 ? "retry" : error;
      },
    });
    window.store = people({}, { transporter });
    await store.onceLoaded();
  }, TIMEOUT_MS);

/** Until when the answer to this request asks to wait; a clock of whole milliseconds may be one behind. */
function retryAfter({ retry }, at) {
  const moment = /^\d+$/.test(retry) ? at + Number(retry) * 1000 : Date.parse(retry);
  return moment - 1;
}

const named = ({ answer, end }) => end ?? (typeof answer === "function" ? "503" : `${answer?.status ?? "as usual"}`);
