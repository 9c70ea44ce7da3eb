/** The ledger sees what must not be: each of these would be a broken promise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "./support/ledger.js";

const FIRST = 1_000_001;

/** An item that was created and updated, both stored, and its row; `act` changes what the server is asked about. */
function settled(act = () => {}, server = { keys: true, once: true }) {
  const ledger = new Ledger(server);
  ledger.edited({ tag: "t", seq: FIRST, action: "create", field: "a" });
  ledger.stored(FIRST);
  ledger.edited({ tag: "t", seq: FIRST + 1, action: "update", field: "b" });
  ledger.stored(FIRST + 1);
  ledger.created("1", "t");
  const made = { tag: "t", seq: FIRST, a: FIRST };
  const row = { ...made, seq: FIRST + 1, b: FIRST + 1, id: "1" };
  const write = (method, id, body, key) => ({
    ...{ method, id, body, applied: true },
    ...{ path: `/things/${id ?? ""}`, headers: { "idempotency-key": key } },
  });
  const what = {
    ...{ ledger, write, row, rows: [row], items: [{ ...row }], pending: [], others: [] },
    log: [write("POST", undefined, made, "k1"), write("PUT", "1", row, "k2")],
  };
  act(what);
  const { rows, log, items, pending, others } = what;
  ledger.settled({ rows, log, tabs: [{ items, pending }, ...others] });
  return ledger.violations;
}

test("what_was_kept_is_no_violation", () => assert.deepEqual(settled(), []));

for (const [name, pattern, act] of [
  [
    "an_acknowledged_edit_that_is_nowhere",
    /the server lacks t: edit/,
    ({ row, items }) => (row.b = items[0].b = FIRST),
  ],
  [
    "an_acknowledged_item_that_is_nowhere",
    /the server lacks t: all of it/,
    (what) => Object.assign(what, { rows: [], items: [] }),
  ],
  ["an_item_that_is_not_the_same_here_and_there", /is .* here and .* on the server/, ({ items }) => (items[0].c = 5)],
  [
    "a_second_tab_that_does_not_show_what_the_server_holds",
    /is .* in tab 2 and .* on the server/,
    ({ row, others }) => others.push({ items: [{ ...row, c: 5 }], pending: [], name: "in tab 2" }),
  ],
  [
    "an_edit_that_waits_in_the_eyes_of_a_second_tab",
    /t still waits/,
    ({ items, others }) => others.push({ items, pending: [{ tag: "t", state: "waiting" }] }),
  ],
  ["a_create_that_took_effect_twice", /was created 2 times/, ({ ledger }) => ledger.created("2", "t")],
  ["an_edit_that_still_waits", /t still waits/, ({ pending }) => pending.push({ tag: "t", state: "waiting" })],
  [
    "a_key_with_two_payloads",
    /the key k1 stood for/,
    ({ log, write, row }) => log.push({ ...write("PUT", "1", row, "k1"), applied: false }),
  ],
  ["a_write_applied_twice_under_one_key", /applied twice/, ({ log }) => log.push({ ...log[1] })],
  [
    "an_older_edit_after_a_newer_one",
    /took effect after/,
    ({ log, write, row }) => log.push(write("PUT", "1", { ...row, seq: FIRST }, "k3")),
  ],
  ["an_edit_that_nobody_made", /which nobody wrote/, ({ log }) => (log[1].body = { ...log[1].body, c: FIRST - 1 })],
  [
    "a_write_after_the_delete",
    /took effect after Infinity/,
    ({ log, write }) => log.splice(1, 0, write("DELETE", "1", undefined, "k3")),
  ],
])
  test(`${name}_is_seen`, () => assert.match(settled(act).join("\n"), pattern));

test("a_stored_edit_that_is_missing_after_a_restart_is_seen_unless_a_wipe_was_told", () => {
  const stored = () => {
    const ledger = new Ledger({ keys: true, once: true });
    ledger.edited({ tag: "t", seq: FIRST, action: "create", field: "a" });
    ledger.stored(FIRST);
    return ledger;
  };
  const lost = stored();
  const nothing = { items: [], pending: [], when: "session 2" };
  lost.loaded(nothing);
  assert.match(lost.violations.join("\n"), /session 2: the page after a restart lacks t/);
  const wiped = stored();
  wiped.wiped([]);
  wiped.loaded(nothing);
  assert.deepEqual([wiped.violations, wiped.excused], [[], 1]);
});

test("an_edit_that_another_tab_has_stored_since_a_page_began_to_load_may_be_missing_in_it_and_an_earlier_one_may_not", () => {
  const ledger = new Ledger({ keys: true, once: true });
  for (const seq of [FIRST, FIRST + 1]) {
    ledger.edited({ tag: `t${seq}`, seq, action: "create", field: "a" });
    ledger.stored(seq);
  }
  ledger.loaded({ items: [], pending: [], when: "session 2", known: 1 });
  assert.equal(ledger.violations.length, 1);
  assert.match(ledger.violations[0], new RegExp(`lacks t${FIRST}: all`));
});

test("an_item_whose_stored_delete_did_not_arrive_is_seen", () => {
  const violations = settled(({ ledger }) => {
    ledger.edited({ tag: "t", seq: FIRST + 2, action: "delete" });
    ledger.stored(FIRST + 2);
  });
  assert.match(violations.join("\n"), /the server lacks t: its delete/);
});
