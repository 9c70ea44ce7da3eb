/**
 * Does the checker see? Puts every mistake of tests/mutants/mutants.js into one copy of the source, each behind a switch, and
 * lives histories with one after the other until an invariant is broken. What the simulation misses the other native tests
 * have to see.
 *
 * `node scripts/mutants.js [--histories N] [NAME…]`, started by mutants.sh. A line for each mutant; the last
 * line counts.
 */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { mutants } from "../tests/mutants/mutants.js";
import { SHORT, SIMULATION, compile, copySource, run } from "./switched.js";

/** A mutant that runs longer makes no end of something: on two busy cores all its histories of several tabs take less. */
const LIMIT_SECONDS = 400;
const SIMULATION_OF_TABS = `${SIMULATION}_of_several_tabs`;

const { values, positionals } = parseArgs({
  options: { histories: { type: "string", default: "100000" } },
  allowPositionals: true,
});

copySource(switched());
const program = compile();
await check(0, "none");
const wanted = mutants.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const results = [];
const queue = wanted.map((mutant) => ({ ...mutant, number: mutants.indexOf(mutant) + 1 }));
await Promise.all(Array.from({ length: Math.max(1, cpus().length) }, work));
const missed = results.filter(({ by }) => by === undefined);
console.log(`\n${results.length - missed.length} of ${results.length} mutants caught`);
process.exitCode = missed.length > 0 || results.length < wanted.length ? 1 : 0;

async function work() {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const result = await tryOut(mutant);
    results.push(result);
    console.log(`${result.by === undefined ? "MISSED" : "caught"}  ${mutant.name}: ${result.by ?? "by nothing"}`);
  }
}

/** The files that hold a mutant, with all of theirs. */
function switched() {
  const texts = new Map();
  for (const [index, { name, file, from, to }] of mutants.entries()) {
    const path = join("src", "engine", file);
    const text = texts.get(path) ?? readFileSync(path, "utf8");
    if (text.split(from).length !== 2) throw new Error(`"${name}": its place is not found once in ${file}`);
    const replaced = to.replaceAll("MUTANT", `crate::mutant(${index + 1})`);
    texts.set(path, text.split(from).join(replaced));
  }
  return texts;
}

/** The source without a mutant has to pass, or nothing is shown. */
async function check(number, name) {
  const result = await tryWith(number, ["--exact", SIMULATION, SIMULATION_OF_TABS, "--nocapture"], 20_000);
  if (!result.ok) throw new Error(`with ${name} of the mutants the simulation fails\n${result.output.slice(-2_000)}`);
}

async function tryOut({ number, hidden, tabs }) {
  const simulation = tabs ? SIMULATION_OF_TABS : SIMULATION;
  const simulated = await tryWith(number, ["--exact", simulation, "--nocapture"], hidden ? "1" : values.histories);
  const broken = /broken after (\d+) histories/.exec(simulated.output)?.[1];
  const invariant = /breaks \[([\w -]+)\]/.exec(simulated.output)?.[1];
  if (broken) return { by: `${broken} histories${invariant ? ` (${invariant})` : ""}` };
  if (simulated.late) return { by: `no end after ${LIMIT_SECONDS} s` };
  if (!simulated.ok) return { by: "the simulation dies" };
  const others = await tryWith(number, SHORT, "1");
  const failed = /^test (\S+) \.\.\. FAILED$/m.exec(others.output)?.[1];
  return { by: failed && `native test ${failed}` };
}

function tryWith(number, args, histories) {
  return run(program, number, args, { histories, seconds: LIMIT_SECONDS });
}
