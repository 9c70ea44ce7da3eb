/**
 * Does the checker see? Puts every mistake of tests/mutants/mutants.js into one copy of the source, each behind a switch, and
 * lives histories with one after the other until an invariant is broken. What the simulation misses the other native tests
 * have to see.
 *
 * `node scripts/mutants.js [--histories N] [NAME…]`, started by mutants.sh. A line for each mutant; the last
 * line counts.
 */
import { execFile, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { mutants } from "../tests/mutants/mutants.js";

/** A mutant that runs longer makes no end of something. */
const LIMIT_SECONDS = 180;
const SIMULATION = "simulation::every_invariant_holds_in_every_history";
const SIMULATION_OF_TABS = `${SIMULATION}_of_several_tabs`;
const COPY = join("target", "mutants", "source");
/** In the copy alone: which mutant this process tries is told to it from outside. */
const SWITCH = `
/// Whether this mutant is the one that is being tried.
pub(crate) fn mutant(number: usize) -> bool {
    static TRIED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *TRIED.get_or_init(|| std::env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0)) == number
}
`;

const { values, positionals } = parseArgs({
  options: { histories: { type: "string", default: "100000" } },
  allowPositionals: true,
});

copySource();
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

function copySource() {
  mkdirSync(COPY, { recursive: true });
  for (const part of ["src", "tests"]) rmSync(join(COPY, part), { recursive: true, force: true });
  for (const part of ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "src", join("tests", "it")]) {
    cpSync(part, join(COPY, part), { recursive: true });
  }
  mkdirSync(join(COPY, "tests", "browser"), { recursive: true });
  cpSync(join("tests", "browser"), join(COPY, "tests", "browser"), { recursive: true });
  const texts = new Map();
  for (const [index, { name, file, from, to }] of mutants.entries()) {
    const path = join(COPY, "src", "engine", file);
    const text = texts.get(path) ?? readFileSync(path, "utf8");
    if (text.split(from).length !== 2) throw new Error(`"${name}": its place is not found once in ${file}`);
    const replaced = to.replaceAll("MUTANT", `crate::mutant(${index + 1})`);
    texts.set(path, text.split(from).join(replaced));
  }
  for (const [path, text] of texts) writeFileSync(path, text);
  const lib = join(COPY, "src", "lib.rs");
  writeFileSync(lib, readFileSync(lib, "utf8") + SWITCH);
}

/** The path of the native tests' program. */
function compile() {
  const args = ["test", "--profile", "simulate", "--test", "it", "--no-run", "--message-format=json"];
  const env = {
    ...process.env,
    CARGO_TARGET_DIR: join(process.cwd(), "target", "mutants", "build"),
    RUSTFLAGS: "-A warnings",
  };
  const { status, stdout, stderr } = spawnSync("cargo", args, {
    cwd: COPY,
    env,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const messages = (stdout ?? "")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const found = messages.find(({ executable, target }) => executable && target?.name === "it");
  if (status !== 0 || found === undefined) {
    const errors = messages.map(({ message }) => message).filter((message) => message?.level === "error");
    throw new Error(`the mutants do not compile\n${errors.map(({ rendered }) => rendered).join("\n")}${stderr}`);
  }
  return found.executable;
}

/** The source without a mutant has to pass, or nothing is shown. */
async function check(number, name) {
  const result = await run(number, ["--exact", SIMULATION, SIMULATION_OF_TABS, "--nocapture"], 20_000);
  if (!result.ok) throw new Error(`with ${name} of the mutants the simulation fails\n${result.output.slice(-2_000)}`);
}

async function tryOut({ number, hidden, tabs }) {
  const simulation = tabs ? SIMULATION_OF_TABS : SIMULATION;
  const simulated = await run(number, ["--exact", simulation, "--nocapture"], hidden ? "1" : values.histories);
  const histories = /broken after (\d+) histories/.exec(simulated.output)?.[1];
  const invariant = /breaks \[([\w -]+)\]/.exec(simulated.output)?.[1];
  if (histories) return { by: `${histories} histories${invariant ? ` (${invariant})` : ""}` };
  if (simulated.late) return { by: `no end after ${LIMIT_SECONDS} s` };
  if (!simulated.ok) return { by: "the simulation dies" };
  const others = await run(number, ["--skip", "simulation::"], "1");
  const failed = [...others.output.matchAll(/^test (\S+) \.\.\. FAILED$/gm)].map(([, name]) => name);
  return { by: failed.length > 0 ? `${failed.length} native tests, among them ${failed[0]}` : undefined };
}

function run(number, args, histories) {
  return new Promise((resolve) => {
    const env = { ...process.env, MUTANT: String(number), HISTORIES: String(histories), SHORTEN: "0" };
    const options = { env, timeout: LIMIT_SECONDS * 1_000, killSignal: "SIGKILL", maxBuffer: 1 << 28 };
    execFile(program, args, options, (error, stdout, stderr) => {
      resolve({ ok: !error, late: error?.killed === true, output: stdout + stderr });
    });
  });
}
