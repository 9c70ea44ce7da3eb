/**
 * A real Chromium that is killed with SIGKILL in the middle of its edits, thirty times, over a server with faults, and opened again; and
 * whose pages crash, close, reload and leave; half of the profiles have several tabs. What was stored is there, and reaches the server: once, in order,
 * or is parked with its reason.
 *
 * The same for longer: `npm run torture`. SEED says where to begin.
 */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, test } from "node:test";
import { removeDir } from "../e2e/support/browser.js";
import { unpack } from "../e2e/support/packed-site.js";
import { torment } from "./support/torment.js";

const SEED = Number(process.env.SEED ?? 20261121);

const PROFILES = [
  ["keys", 1, ["kill", "kill", "close", "kill", "kill", "crash", "kill"]],
  ["keys and ETags", 2, ["kill", "reload", "kill", "kill", "leave", "kill", "kill"]],
  ["ETags and unique names", 3, ["kill", "kill", "crash", "kill", "close", "kill", "kill"]],
  ["plain", 1, ["kill", "leave", "kill", "kill", "reload", "kill", "kill"]],
  ["keys", 3, ["kill", "crash", "kill", "kill", "kill", "leave", "kill"]],
  ["keys and ETags", 2, ["kill", "kill", "close", "kill", "kill", "reload", "kill"]],
];

let folder;
before(async () => {
  folder = await unpack();
});
after(() => folder && removeDir(dirname(folder)));

for (const [at, [kind, tabs, plan]] of PROFILES.entries()) {
  const number = at + 1;
  test(`profile_${number}_of_${tabs}_tabs_killed_five_times_gets_what_it_was_promised_on_a_server_of_kind_${kind.replaceAll(" ", "_")}`, async (t) => {
    const seed = SEED + at;
    const { violations, wipes, edits, acknowledged, requests } = await torment({ seed, folder, plan, kind, tabs });
    t.diagnostic(`seed ${seed}: ${edits} edits, ${acknowledged} acknowledged, ${requests} requests`);
    assert.deepEqual(violations, []);
    assert.equal(wipes.reported, wipes.seen, "what the browser has thrown away is told");
    assert.ok(acknowledged > 0 && requests > 0, "something was at stake");
  });
}

test("a_database_that_the_browser_throws_away_after_a_kill_is_told_even_in_the_first_seconds_of_a_profile", async () => {
  const plan = ["damage", "kill", "damage"];
  const { violations, wipes } = await torment({ seed: SEED, folder, plan, kind: "keys" });
  assert.deepEqual(violations, []);
  assert.ok(wipes.seen >= 1, "it was thrown away");
  assert.equal(wipes.reported, wipes.seen);
});

test("a_loss_is_told_once_though_the_page_that_heard_of_it_is_killed_before_localStorage_is_written_down", async () => {
  const plan = ["kill", "close", "close", "kill", "damage", "kill", "kill"];
  const { violations, wipes } = await torment({ seed: 700000029, folder, plan, kind: "keys and ETags" });
  assert.deepEqual(violations, []);
  assert.deepEqual([wipes.seen, wipes.reported], [1, 1]);
});
