/**
 * One copy of the source that holds many mutants, each behind a switch: it is compiled once, and a process is told from outside
 * which of them it tries. Which mutants there are, and what has to catch them, is said by mutants.js and cargo-mutants.js.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export const SIMULATION = "simulation::every_invariant_holds_in_every_history";
/** All but what lives many histories: the stories and tables, and the histories that once broke an invariant. */
export const SHORT = [SIMULATION, "simulation::every_step", "simulation::the_same", "simulation::a_thousand"].flatMap(
  (name) => ["--skip", name],
);
const COPY = join("target", "mutants", "source");
/** Where it is tried what compiles: what has been built from the other copy stays fresh. */
const CHECKED = join("target", "mutants", "checked");
/** In the copy alone: which mutant this process tries is told to it from outside. */
const SWITCH = `
/// Whether this mutant is the one that is being tried.
pub(crate) fn mutant(number: usize) -> bool {
    static TRIED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *TRIED.get_or_init(|| std::env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0)) == number
}
`;
/** A mutant that allocates without end must not take the machine with it. */
const MEMORY_LIMIT_KB = 4_000_000;

/**
 * Copies the source. `texts` are the files that are others in the copy, by their path. What is there already is left alone, so
 * that cargo does not compile it again.
 */
export function copySource(texts, to = COPY) {
  const parts = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ...["src", "tests/it", "tests/browser"].flatMap(filesIn),
  ];
  for (const path of filesIn(to).filter((file) => !parts.includes(relative(to, file)))) rmSync(path);
  for (const path of parts) {
    const text = (texts.get(path) ?? readFileSync(path, "utf8")) + (path === join("src", "lib.rs") ? SWITCH : "");
    const copy = join(to, path);
    if (existsSync(copy) && readFileSync(copy, "utf8") === text) continue;
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, text);
  }
}

function filesIn(folder) {
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [];
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** The path of the native tests' program. */
export function compile() {
  const { ok, messages, output } = cargo(COPY, "test", "--profile", "simulate", "--test", "it", "--no-run");
  const found = messages.find(({ executable, target }) => executable && target?.name === "it");
  if (ok && found !== undefined) return found.executable;
  throw new Error(
    `the mutants do not compile\n${errorsOf(messages)
      .map(({ rendered }) => rendered)
      .join("\n")}${output}`,
  );
}

/** What is wrong with an engine of which these files are others, as rustc says it. */
export function check(texts) {
  copySource(texts, CHECKED);
  return errorsOf(cargo(CHECKED, "check", "--profile", "simulate", "--lib").messages);
}

/** Runs native tests while one mutant is tried, until one of them fails. */
export function run(program, number, args, { histories, seconds }) {
  const env = {
    ...process.env,
    MUTANT: `${number}`,
    HISTORIES: `${histories}`,
    SHORTEN: "0",
    PROPTEST_MAX_SHRINK_ITERS: "0",
  };
  return new Promise((resolve) => {
    const limited = ["-c", `ulimit -v ${MEMORY_LIMIT_KB}; exec "$0" "$@"`, program, ...args];
    const child = spawn("bash", limited, { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, seconds * 1_000);
    const read = (chunk) => {
      output += chunk;
      if (/^test \S+ \.\.\. FAILED$/m.test(output)) child.kill("SIGKILL");
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.on("close", (status) => {
      clearTimeout(timer);
      resolve({ ok: status === 0, late, output });
    });
  });
}

function cargo(cwd, ...args) {
  const env = {
    ...process.env,
    CARGO_TARGET_DIR: join(process.cwd(), "target", "mutants", "build"),
    // As in `cargo test`.
    CARGO_PROFILE_SIMULATE_OVERFLOW_CHECKS: "true",
    RUSTFLAGS: "-A warnings",
  };
  const { status, stdout, stderr } = spawnSync("cargo", [...args, "--message-format=json"], {
    cwd,
    env,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = (stdout ?? "").split("\n").filter((line) => line.startsWith("{"));
  return { ok: status === 0, messages: lines.map((line) => JSON.parse(line)), output: stderr };
}

function errorsOf(messages) {
  return messages.map(({ message }) => message).filter((message) => message?.level === "error");
}
