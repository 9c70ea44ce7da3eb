/**
 * Lives histories of the simulation in tests/it/simulation, from seeds, as fast as the machine can.
 *
 * `npm run simulate -- --seed 42` lives one and prints its steps; `npm run simulate -- --histories 1000000 --from 7` as
 * many from that seed on, and prints the first that breaks an invariant, shortened; `npm run simulate -- --whole` every
 * history with up to two items, three edits, a fault and a crash, which takes long. `--tabs` beside `--seed` or `--histories`: those of
 * several tabs.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    histories: { type: "string" },
    from: { type: "string" },
    whole: { type: "boolean" },
    tabs: { type: "boolean" },
  },
});
const { whole = false, tabs = false, ...numbers } = values;
for (const [name, value] of Object.entries(numbers)) {
  if (!/^\d+$/.test(value)) {
    console.error(`--${name} is a whole number, and not "${value}"`);
    process.exit(2);
  }
}
const env = { ...process.env };
if (values.seed !== undefined) env.SEED = values.seed;
else Object.assign(env, { HISTORIES: values.histories ?? "100000", FROM: values.from ?? "0" });

const test = whole
  ? "simulation::every_step::every_history_with_three_edits_a_fault_and_a_crash_keeps_every_invariant"
  : `simulation::every_invariant_holds_in_every_history${tabs ? "_of_several_tabs" : ""}`;
const { status } = spawnSync(
  "cargo",
  ["test", "--profile", "simulate", "--test", "it", "--", "--exact", test, "--nocapture", "--include-ignored"],
  { stdio: "inherit", env },
);
process.exitCode = status ?? 1;
