/**
 * The table of outcomes for writes, end to end: every answer, met before the server has applied the write, after it, and in the middle
 * of the answer's body, by a create, an update and a delete. Each edit ends as the table says, and the server holds exactly what it should.
 */
/* global HttpTransporter, people, store, told -- of the page */
import assert from "node:assert/strict";
import { test } from "node:test";
import { problem } from "./support/collection.js";
import { world } from "./support/world.js";

const ACTIONS = ["create", "update", "delete"];
const METHODS = { create: "POST", update: "PUT", delete: "DELETE" };
const BEFORE_AND_AFTER = ["before", "after"];
const EVERYWHERE = [...BEFORE_AND_AFTER, "middle"];
const TIMEOUT_MS = 3_000;

const PARKED = { create: "parked", update: "parked", delete: "parked" };
const SYNCED = { create: "synced", update: "synced", delete: "synced" };
const HTML = { headers: { "Content-Type": "text/html" }, body: "<!doctype html><title>Sign in</title>" };
const RETRY_AFTER = { headers: { "Retry-After": "1" } };

const withStatus = (status) => (entry, right) => ({ ...right, status, body: right.body ?? {} });
const withoutBody = (status) => (entry, right) => ({ status, headers: { Location: right.headers.Location } });
const withoutUndefined = (answer) => (entry, right) => {
  const { headers, ...rest } = answer(entry, right);
  return { ...rest, headers: headers.Location ? headers : {} };
};

/**
 * `answer`: what is given instead of the right one, or `end`: how the connection ends, once; `ends`: what becomes of the edit, by action; `at`:
 * where it can happen. An edit whose answer breaks off in the middle is sent again, whatever the answer was going to be.
 *
 * Source: outcomes of writes, RFC 9110, RFC 6585.
 */
const TABLE = {
  "each item for itself": [
    ...[200, 201, 202].map((status) =>
      row(`${status} with JSON`, { answer: withStatus(status), at: ["after", "middle"] }),
    ),
    ...[204, 205, 200, 201].map((status) =>
      row(`${status} without a body`, { answer: withoutUndefined(withoutBody(status)), at: ["after"] }),
    ),
    row("200 with malformed JSON", { answer: { status: 200, body: '{"name": "ha' } }),
    ...[400, 402, 403, 405, 406, 411, 413, 414, 415, 417, 418, 422, 431, 451, 501].map((status) =>
      row(`${status}`, { answer: problem(status, "No."), ends: PARKED }),
    ),
    ...[404, 410].map((status) =>
      row(`${status}`, {
        answer: problem(status, "Gone."),
        ends: { create: "parked", update: "E_GONE_REMOTELY", delete: "synced" },
      }),
    ),
    ...[408, 421, 425].map((status) => row(`${status}`, { answer: problem(status, "Later.") })),
    row("409", {
      answer: problem(409, "No."),
      ends: { ...SYNCED, create: "parked" },
      resent: true,
      at: ["before", "middle"],
    }),
    // The row of the create is there: it has met itself.
    row("409 for what it has taken", { answer: problem(409, "No."), ends: SYNCED, resent: true, at: ["after"] }),
    row("412", { answer: problem(412, "No."), ends: { update: "synced", delete: "synced" }, resent: true }),
    row("428", { answer: problem(428, "Which?"), ends: { update: "synced", delete: "synced" }, resent: true }),
    ...[500, 502, 504, 520].map((status) => row(`${status}`, { answer: problem(status, "Oh.") })),
    row("502 with HTML", { answer: { status: 502, ...HTML } }),
    row("a timeout", { end: "hang", at: BEFORE_AND_AFTER }),
  ],
  "the origin asks to wait or for credentials": [
    ...[429, 503, 507].map((status) =>
      row(`${status} with Retry-After`, { answer: { ...problem(status, "Later."), ...RETRY_AFTER } }),
    ),
    row("503", { answer: problem(503, "Later.") }),
    row("401", { answer: problem(401, "Who?") }),
  ],
  "the server is not reached": [
    row("200 with HTML", { answer: { status: 200, ...HTML } }),
    row("302", { answer: { status: 302, headers: { Location: "/api/elsewhere" }, body: {} } }),
    row("407", { answer: problem(407, "Who?") }),
    row("511", { answer: problem(511, "Sign in.") }),
    row("a broken connection", { end: "cut", at: BEFORE_AND_AFTER }),
  ],
};

/** What can be lost after the server has applied it, for a server that knows versions and no keys. */
const LOST = ["500", "200 with malformed JSON", "a timeout"];

for (const [kind, rows] of Object.entries(TABLE))
  test(`every_answer_ends_as_the_table_says_on_a_server_with_keys: ${kind}`, async (t) => {
    await meets(t, { keys: true, etags: true }, rows, ACTIONS);
  });

test("a_lost_answer_to_an_update_or_delete_takes_effect_once_on_a_server_with_conditions_alone", async (t) => {
  const lost = TABLE["each item for itself"].filter(({ name }) => LOST.includes(name));
  await meets(t, { etags: true, required: true }, lost, ["update", "delete"]);
});

test("a_create_that_is_answered_without_a_key_is_matched_by_the_next_full_fetch", async (t) => {
  const { server, open } = await world(t);
  const collection = server.collection("people", { keys: true });
  server.fault({ method: "POST", position: "after", answer: { status: 204 } });
  const page = await open();
  await page.evaluate(async () => {
    window.store = people();
    await store.onceLoaded();
    await store
      .create({ name: "Ada", age: 36 })
      .onceSynced()
      .catch(() => {});
    await store.fetch();
  });
  const { items, pending } = await page.evaluate(() => told(store));
  assert.deepEqual(
    items.map(({ id, name, synced }) => [id, name, synced]),
    [["1", "Ada", true]],
  );
  assert.deepEqual(pending, []);
  assert.equal(collection.rows().length, 1);
});

function row(name, { answer, end, ends = SYNCED, at = EVERYWHERE, resent = false }) {
  return { name, answer, end, ends, at, resent };
}

/** One edit for each cell, all made in one task of one page, each met by its own fault, once. */
async function meets(t, habits, rows, actions) {
  const { server, open } = await world(t);
  const cells = rows.flatMap((one) =>
    one.at.flatMap((position) =>
      actions
        .filter((action) => one.ends[action])
        // Where there is no body, none can break off.
        .map((action) => ({ ...one, action, position, title: `${one.name}, ${position}, ${action}` })),
    ),
  );
  const known = cells.filter(({ action }) => action !== "create");
  const collection = server.collection("people", {
    ...habits,
    rows: known.map(({ title }) => ({ name: title, age: 1 })),
  });
  known.forEach((cell, at) => (cell.id = String(at + 1)));
  for (const { title, action, position, answer, end, id } of cells) {
    const own = id ? (entry) => entry.id === id : (entry) => entry.body?.name === title;
    server.fault({ method: METHODS[action], when: own, position, answer, end });
  }

  const page = await open();
  const found = await page.evaluate(makeEdits, {
    timeout: TIMEOUT_MS,
    edits: cells.map(({ title, action, id }) => ({ title, action, id })),
  });
  const { pending } = await page.evaluate(() => told(store));
  const differences = cells.flatMap((cell, at) => differencesOf(cell, found[at], pending, server, collection));
  assert.deepEqual(differences, []);
  assert.equal(collection.rows().length, expectedRows(cells), "no row too many, none too few");
}

/** In the page: opens the store, makes all edits at once, and says how each ends. */
async function makeEdits({ timeout, edits }) {
  const transporter = new HttpTransporter({ baseUrl: "/api", path: "people", timeout }).use({
    name: "credentials",
    transmissionError: ({ error }) => (error.status === 401 ? "retry" : error),
  });
  window.store = people({}, { transporter });
  await store.onceLoaded();
  const made = edits.map(({ title, action, id }) => {
    if (action === "create") return store.create({ name: title, age: 2 });
    const item = store.findById(id);
    return action === "update" ? item.update({ age: 2 }) : item.remove();
  });
  const ends = made.map((item) =>
    item.onceSynced().then(
      () => ({ code: "synced" }),
      ({ code, status }) => ({ code, status }),
    ),
  );
  return Promise.all(ends);
}

function differencesOf(cell, { code, status }, pending, server, collection) {
  const { title, action, id } = cell;
  const differences = [];
  const expect = (what, actual, expected) => {
    if (actual !== expected) differences.push(`${title}: ${what} is ${actual}, not ${expected}`);
  };
  const end = endOf(cell);
  if (end === "parked") expect("its status", status, cell.answer.status);
  else expect("its end", code, end);
  const parked = pending.filter((edit) => edit.name === title && edit.state === "parked");
  expect("edits parked", parked.length, end === "synced" ? 0 : 1);
  if (parked[0]) expect("status of the parked", parked[0].reason.status, cell.answer?.status);

  const writes = server
    .writes({ method: METHODS[action] })
    .filter((entry) => (id ? entry.id === id : entry.body?.name === title));
  const rows = collection.rows().filter(({ name }) => name === title);
  expect("rows", rows.length, rowsOf(cell));
  if (action === "update") expect("its age", rows[0]?.age, hasEffect(cell) ? 2 : 1);
  if (!cell.resent || cell.position === "middle") {
    expect("times applied", writes.filter(({ applied }) => applied).length, hasEffect(cell) ? 1 : 0);
    // Without keys it is the version that was refused which tells, and what follows is another request.
    if (!collection.is.required)
      expect("keys", new Set(writes.map(({ headers }) => headers["idempotency-key"])).size, 1);
  }
  return differences;
}

/** An answer that broke off says nothing, whatever its status. */
const endOf = ({ position, ends, action }) => (position === "middle" ? "synced" : ends[action]);

/** Whether the server has applied the edit in the end. A server that says "gone" and keeps the row is believed. */
const hasEffect = (cell) =>
  cell.position !== "before" ||
  (endOf(cell) === "synced" && !(cell.action === "delete" && cell.ends.update === "E_GONE_REMOTELY"));

const rowsOf = (cell) => ({ create: hasEffect(cell) ? 1 : 0, update: 1, delete: hasEffect(cell) ? 0 : 1 })[cell.action];

const expectedRows = (cells) => cells.reduce((sum, cell) => sum + rowsOf(cell), 0);
