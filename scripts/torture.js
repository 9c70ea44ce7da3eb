/**
 * The long version of what `npm test` does for minutes: histories of the simulation, browsers that are killed, secrets, and on request the
 * mutants. Writes what came of it into docs/reliability.md, between two marks; what people have written around them stays.
 *
 * `node scripts/torture.js [--kills N] [--histories N] [--seed N] [--mutants]`, started by torture.sh, which has built the package. A step
 * that finds something does not end the run: it is told, written down, and the exit code says so.
 */
import { spawn, execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { removeDir } from "../tests/e2e/support/browser.js";
import { unpack } from "../tests/e2e/support/packed-site.js";
import { add } from "../tests/torture/support/faults.js";
import { draws } from "../tests/torture/support/random.js";
import { ENDINGS, SERVERS, torment } from "../tests/torture/support/torment.js";

const REPORT = join("docs", "reliability.md");
const MARKS = ["<!-- written by npm run torture -->", "<!-- until here -->"];
const HISTORIES_AT_ONCE = 100_000;
const KILLS_OF_A_PROFILE = 5;
/** Two of these in each profile, between the kills. */
const OTHER_ENDINGS = ENDINGS.filter((ending) => !["kill", "damage"].includes(ending));
/** One profile of so many has its database damaged, so that what is told of a loss is seen to be told. */
const DAMAGE_EVERY = 10;
const TABS = [1, 1, 2, 3];
const SIMULATION = "simulation::every_invariant_holds_in_every_history";
const RELATIONS = "relations_at_random::whatever_happens_a_server_with_foreign_keys_ends_with_what_is_here";
/** Most histories have one tab, whose server and storage can do anything; some have several, and some items that refer to each other. */
const SIMULATIONS = [
  { test: SIMULATION, of: "one tab", share: 0.88 },
  { test: `${SIMULATION}_of_several_tabs`, of: "one to four tabs", share: 0.1 },
  { test: RELATIONS, of: "two stores that refer to each other", share: 0.02 },
];

// Whoever drives the browsers closes them at a SIGTERM, and would let this program go on.
process.once("SIGTERM", () => process.exit(143));
const options = readOptions();
const started = Date.now();
const results = { violations: [] };
await histories();
await kills();
await canaries();
if (options.mutants) await mutants();
writeReport();
for (const violation of results.violations) console.log(`VIOLATION ${violation}`);
console.log(`${results.violations.length} violations; ${REPORT} is written`);
process.exitCode = results.violations.length > 0 ? 1 : 0;

function readOptions() {
  const number = { type: "string" };
  const { values } = parseArgs({
    options: { kills: number, histories: number, seed: number, mutants: { type: "boolean", default: false } },
  });
  const read = (name, byDefault) => {
    if (values[name] === undefined) return byDefault;
    if (/^\d+$/.test(values[name])) return Number(values[name]);
    console.error(`--${name} is a whole number, and not "${values[name]}"`);
    process.exit(2);
    return undefined;
  };
  const seed = read("seed", Math.floor(Date.now() / 1000) % 1_000_000_000);
  return { kills: read("kills", 500), histories: read("histories", 5_000_000), seed, mutants: values.mutants };
}

// ----------------------------------------------------------------------------------------------------------------- steps

async function histories() {
  const { histories: wanted, seed } = options;
  const counts = { from: seed, done: 0, seconds: 0, of: [] };
  results.histories = counts;
  const profile = /^\[profile\.simulate\]/m.test(readFileSync("Cargo.toml", "utf8")) ? ["--profile", "simulate"] : [];
  const program = ["test", ...profile, "--test", "it"];
  if (wanted > 0) await run("cargo", [...program, "--no-run"]);
  const progress = meter("histories", wanted);
  for (const { test, of, share } of SIMULATIONS) {
    const lived = { of, done: 0, parts: {} };
    counts.of.push(lived);
    const most = Math.round(wanted * share);
    for (let begun = 0; begun < most; begun += HISTORIES_AT_ONCE) {
      const env = { HISTORIES: String(Math.min(HISTORIES_AT_ONCE, most - begun)), FROM: String(seed + begun) };
      const { ok, output } = await run("cargo", [...program, "--", "--exact", test, "--nocapture"], env);
      const said = output.match(/(\d+) histories[^:\n]*: (.*)/);
      if (!ok || said === null) {
        console.log(`VIOLATION in the simulation of ${of}, from seed ${env.FROM} on`);
        results.violations.push(`the simulation of ${of}, from seed ${env.FROM} on:\n${output.slice(-4000)}`);
        continue;
      }
      lived.done += Number(said[1]);
      counts.done += Number(said[1]);
      for (const [, count, what] of said[2].matchAll(/(\d+) ([a-z ]+)/g))
        lived.parts[what] = (lived.parts[what] ?? 0) + Number(count);
      counts.seconds = progress(counts.done);
    }
  }
}

async function kills() {
  const total = { kills: 0, profiles: 0, seconds: 0, endings: new Map(), cells: new Map(), parked: new Map() };
  const sums = { edits: 0, acknowledged: 0, excused: 0, doubled: 0, requests: 0 };
  const wipes = { seen: 0, reported: 0, made: 0 };
  const several = { profiles: 0, opened: 0, left: 0, senders: 0 };
  Object.assign(total, { sums, wipes, several });
  results.kills = total;
  const folder = await unpack();
  const progress = meter("kills", options.kills);
  for (; total.kills < options.kills; total.profiles += 1) {
    const seed = options.seed + total.profiles;
    const kind = Object.keys(SERVERS)[total.profiles % Object.keys(SERVERS).length];
    const isDamaged = total.profiles % DAMAGE_EVERY === DAMAGE_EVERY - 1;
    const { plan, tabs } = planOf(seed, options.kills - total.kills, isDamaged);
    const result = await torment({ seed, folder, plan, kind, tabs });
    for (const violation of result.violations)
      results.violations.push(`profile of seed ${seed}, ${kind}, ${tabs} tabs, ${plan}: ${violation}`);
    for (const violation of result.violations)
      console.log(`VIOLATION in seed ${seed}, ${kind}, ${tabs} tabs: ${violation}`);
    for (const name of Object.keys(sums)) sums[name] += result[name];
    for (const name of ["seen", "reported", "made"]) wipes[name] += result.wipes[name];
    if (tabs > 1) several.profiles += 1;
    for (const name of ["opened", "left", "senders"]) several[name] += result.several[name];
    for (const name of ["endings", "cells", "parked"])
      for (const [of, count] of result[name]) add(total[name], of, count);
    total.kills += plan.filter((ending) => ["kill", "damage"].includes(ending)).length;
    total.seconds = progress(total.kills);
  }
  await removeDir(dirname(folder));
}

/** How the sessions of a profile end, in an order drawn from the seed, and how many tabs it has: in every other one more than one. */
function planOf(seed, most, isDamaged) {
  const drawn = draws(seed);
  const plan = Array.from({ length: Math.min(KILLS_OF_A_PROFILE, most) }, () => "kill");
  if (isDamaged) plan[0] = "damage";
  const others = [drawn.pick(OTHER_ENDINGS), drawn.pick(OTHER_ENDINGS)];
  return { plan: drawn.shuffled([...plan, ...others]), tabs: drawn.pick(TABS) };
}

async function canaries() {
  const { ok, output } = await run("node", ["--test", join("tests", "torture", "canary.test.js")]);
  results.canaries = ok;
  if (!ok) results.violations.push(`the secrets:\n${output.slice(-4000)}`);
}

async function mutants() {
  const { ok, output } = await run("npm", ["run", "--silent", "mutants"]);
  results.mutants = output.match(/\d+ of \d+ mutants caught/)?.[0];
  if (!ok || results.mutants === undefined) results.violations.push(`the mutants:\n${output.slice(-4000)}`);
}

/** Prints how far a step is and when it will be done; gives the seconds that it took. */
function meter(what, wanted) {
  const begun = Date.now();
  return (done) => {
    const seconds = (Date.now() - begun) / 1000;
    const left = (seconds / done) * (wanted - done);
    console.log(`${done} of ${wanted} ${what}, ${Math.round(seconds)} s, about ${Math.ceil(left / 60)} min left`);
    return seconds;
  };
}

function run(program, args, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ ok: false, output: error.message }));
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

// ---------------------------------------------------------------------------------------------------------------- report

function writeReport() {
  const text = existsSync(REPORT) ? readFileSync(REPORT, "utf8") : `# Reliability\n\n${MARKS.join("\n")}\n`;
  const [before, after] = [text.slice(0, text.indexOf(MARKS[0])), text.slice(text.indexOf(MARKS[1]))];
  writeFileSync(REPORT, `${before}${MARKS[0]}\n\n${figures()}\n\n${after}`);
  execFileSync("npx", ["prettier", "--write", REPORT], { stdio: "ignore" });
}

function figures() {
  const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();
  const isChanged = git("status", "--porcelain", "--", "src", "pkg", "tests") !== "";
  const chromium = execFileSync(process.env.CHROMIUM ?? "chromium", ["--version"], { encoding: "utf8" });
  const { kills: total, histories: lived, violations } = results;
  const { sums, wipes, several, endings, parked, cells } = total;
  const list = (counts) => [...counts].map(([name, count]) => `${count} ${name}`).join(", ") || "none";
  const n = (number) => number.toLocaleString("en-US").replaceAll(",", " ");
  const partsOf = ({ parts }) => Object.entries(parts).map(([what, count]) => `${n(count)} ${what}`);
  const rows = [
    ["violations of a promise", n(violations.length)],
    ["histories simulated", n(lived.done)],
    ...lived.of.map((one) => [`… of ${one.of}`, [n(one.done), ...partsOf(one)].join(", ")]),
    ["… each from seed on", lived.from],
    ["… a second", lived.seconds > 0 ? n(Math.round(lived.done / lived.seconds)) : "–"],
    ["browser kills (SIGKILL)", n(total.kills)],
    ["all ends of sessions", list(endings)],
    ["browser profiles, from seed on", `${n(total.profiles)}, ${options.seed}`],
    ["… of them with two or three tabs over one store", n(several.profiles)],
    ["pages opened beside others", n(several.opened)],
    ["… ended while others went on, and of them the sender", `${n(several.left)}, ${n(several.senders)}`],
    ["edits, and of them acknowledged as stored", `${n(sums.edits)}, ${n(sums.acknowledged)}`],
    ["requests that reached a server", n(sums.requests)],
    ["databases damaged on purpose", n(wipes.made)],
    ["databases found wiped, and told by `E_DATA_LOSS`", `${wipes.seen}, ${wipes.reported}`],
    ["items of which such a wipe took unsent edits", n(sums.excused)],
    ["parked on the way, by the server's random 422", list(parked)],
    ["creates doubled, on the plain server alone", n(sums.doubled)],
    ["secrets seen where they must not be, of 12", results.canaries ? "0" : "see below"],
    ["mutants of the engine caught", results.mutants ?? "not run"],
    ["cells of fault × kind of request hit", n(cells.size)],
  ];
  return [
    `Run on ${new Date(started).toISOString().slice(0, 16).replace("T", " ")} UTC at commit ${git("rev-parse", "--short", "HEAD")}${isChanged ? " with changes" : ""}, in ${Math.ceil((Date.now() - started) / 60_000)} minutes, with ${chromium.trim()} on ${cpus().length} cores: \`npm run torture -- --kills ${options.kills} --histories ${options.histories} --seed ${options.seed}${options.mutants ? " --mutants" : ""}\``,
    "",
    "| | |",
    "| --- | --- |",
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    ...(violations.length > 0
      ? ["", "What was violated:", "", "```text", ...violations.map((one) => one.slice(0, 2000)), "```"]
      : []),
    "",
    "How often each fault met each kind of request, and in what state requests were when their session ended:",
    "",
    ...[...cells].sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, count]) => `- ${name}: ${n(count)}`),
  ].join("\n");
}
