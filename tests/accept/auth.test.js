/**
 * An expired token costs no edit: the origin is held, the credentials are renewed once for all that were refused, and everything goes
 * on under the keys that it had.
 */
/* global HttpTransporter, people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { problem } from "./support/collection.js";
import { world } from "./support/world.js";

const EDITS = 5;
const ROWS = Array.from({ length: EDITS }, (_, at) => ({ name: `Person ${at}`, age: 0 }));

test("five_queued_edits_and_an_expired_token_cost_one_refresh_and_no_edit_and_no_attempt", async (t) => {
  const { server, open } = await world(t);
  const { collection, tokens } = guarded(server);
  const page = await open();
  await signedIn(page);

  tokens.expire();
  const refresh = server.fault({ method: "POST", path: "/token", hold: true });
  // Each is refused once more for another reason afterwards: then its attempts can be looked at.
  for (let id = 1; id <= EDITS; id++)
    server.fault({ method: "PUT", path: `/people/${id}`, skip: 1, answer: { status: 500 } });
  await page.evaluate(() => {
    window.attempts = {};
    store.subscribe(() => {
      for (const { item, state, attempts } of store.pending())
        if (state === "waiting") window.attempts[item.id] ??= attempts;
    });
    store.pause();
    store.items.forEach((item, at) => (item.age = at + 1));
    store.resume();
  });
  await page.waitForFunction(() => window.refreshes > 0);
  const during = await page.evaluate(() => told(store).pending);
  assert.equal(during.length, EDITS, "nothing is lost while the token is renewed");
  refresh.release();
  await page.evaluate(() => Promise.all(store.items.map((item) => item.onceSynced())));

  assert.equal(server.writes({ path: "/token" }).length, 1, "one refresh");
  assert.equal(await page.evaluate(() => window.refreshes), 1, "asked for once");
  assert.deepEqual(
    collection.rows().map(({ age }) => age),
    [1, 2, 3, 4, 5],
  );
  for (let id = 1; id <= EDITS; id++) {
    const puts = server.writes({ method: "PUT", path: `/people/${id}` });
    assert.equal(new Set(puts.map(({ headers }) => headers["idempotency-key"])).size, 1, `edit ${id} kept its key`);
    const refusals = puts.filter(({ status }) => status === 401).length;
    assert.ok(refusals <= 1, `edit ${id} was refused ${refusals} times`);
    assert.ok(
      puts.slice(1).every(({ headers }) => headers.authorization === "Bearer 2"),
      "repeated with the new token",
    );
  }
  const attempts = await page.evaluate(() => window.attempts);
  assert.deepEqual(attempts, { 1: 1, 2: 1, 3: 1, 4: 1, 5: 1 }, "the refusal for the token is no attempt");
  assert.equal(await page.evaluate(() => store.status.connection), "online");
});

test("without_new_credentials_everything_is_held_over_a_reload_and_sent_on_resume", async (t) => {
  const { server, profile } = await world(t);
  const { collection, tokens } = guarded(server);
  const user = await profile();
  let page = await user.open();
  await signedIn(page, { refreshes: false });
  tokens.expire();
  await page.evaluate(() => {
    store.items.forEach((item, at) => (item.age = at + 1));
  });
  await page.waitForFunction(() => store.status.connection === "held");
  const held = await page.evaluate(() => told(store));
  assert.equal(held.pending.length, EDITS);
  await page.waitForFunction(() =>
    store.pending().every(({ state, attempts }) => state !== "sending" && attempts === 0),
  );
  assert.equal(held.status.parked, 0);
  assert.deepEqual(
    collection.rows().map(({ age }) => age),
    [0, 0, 0, 0, 0],
  );

  page = await user.open();
  await signedIn(page, { refreshes: false });
  await page.waitForFunction(() => store.status.connection === "held");
  assert.equal(await page.evaluate(() => store.pending().length), EDITS, "all of it is there after a reload");
  const refused = server.writes({ method: "PUT" });
  await page.evaluate(() => {
    window.token = "2";
    store.resume();
    return Promise.all(store.items.map((item) => item.onceSynced()));
  });
  assert.deepEqual(
    collection.rows().map(({ age }) => age),
    [1, 2, 3, 4, 5],
  );
  for (const { path, headers } of refused) {
    const taken = server.writes({ path, applied: true });
    assert.deepEqual(
      taken.map((entry) => entry.headers["idempotency-key"]),
      [headers["idempotency-key"]],
      "the same key",
    );
  }
});

/** A collection behind a token that can expire, and where a new one is had. */
function guarded(server) {
  const collection = server.collection("people", { keys: true, rows: ROWS });
  const tokens = { valid: "1", expire: () => (tokens.valid = "2") };
  server.guard = ({ path, headers }) => {
    if (path === "/token") return { status: 200, headers: {}, body: { token: tokens.valid } };
    return headers.authorization === `Bearer ${tokens.valid}` ? undefined : problem(401, "The token has expired.");
  };
  return { collection, tokens };
}

/** Opens the store with a middleware that adds the token and, unless told otherwise, renews it. */
const signedIn = (page, { refreshes = true } = {}) =>
  page.evaluate(async (renews) => {
    window.token ??= "1";
    window.refreshes = 0;
    const transporter = new HttpTransporter({ baseUrl: "/api", path: "people" }).use({
      name: "token",
      send: ({ req }) => ({ ...req, headers: { ...req.headers, Authorization: `Bearer ${window.token}` } }),
      async transmissionError({ error }) {
        if (error.status !== 401 || !renews) return error;
        window.refreshes += 1;
        const answer = await fetch("/api/token", { method: "POST" });
        window.token = (await answer.json()).token;
        return "retry";
      },
    });
    window.store = people({}, { transporter });
    await store.onceLoaded();
  }, refreshes);
