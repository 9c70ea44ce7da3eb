/**
 * Runs the parts of the test suite one after the other, passes their output on as it comes, and counts. A part fails
 * when one of its tests fails, when its program fails, and when it ran nothing. What a part tests is its own business.
 *
 * `node scripts/test.js [PART…]`, started by test.sh, which has set up the machine. Last line: `N passed, N failed`.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A program that hangs must not take the whole run's time with it. */
const PROGRAM_LIMIT_MINUTES = 25;
const BROWSER_TEST_LIMIT_SECONDS = 300;

/** What drives browsers by itself. */
const IN_BROWSERS = [join("tests", "e2e"), join("tests", "facts")];
const ACCEPTANCE = join("tests", "accept");
const TORTURE = join("tests", "torture");

const WASM = ["--target", "wasm32-unknown-unknown"];

const PARTS = [
  { name: "lint", title: "formats, lints and types", run: lint },
  { name: "native", title: "engine on the host (cargo test)", run: native },
  { name: "build", title: "build of pkg/wasm", run: build },
  { name: "size", title: "size of the package", needsBuild: true, run: size },
  { name: "browser", title: "WebAssembly in Chromium (wasm-pack test)", run: browser },
  { name: "package", title: "the package under Node (tests/**/*.test.js)", needsBuild: true, run: packageTests },
  {
    name: "e2e",
    title: "the package, the demo and the examples in browsers (tests/e2e, tests/facts)",
    needsBuild: true,
    run: e2e,
  },
  {
    name: "accept",
    title: "what it must show, over a server with faults (tests/accept)",
    needsBuild: true,
    run: accept,
  },
  {
    name: "torture",
    title: "browsers killed over a server with faults (tests/torture)",
    needsBuild: true,
    run: torture,
  },
];

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;

async function main(names) {
  const unknown = names.filter((name) => !PARTS.some((part) => part.name === name));
  if (unknown.length > 0) {
    console.error(`No part is called ${unknown.join(", ")}. There are: ${PARTS.map((part) => part.name).join(", ")}.`);
    console.log("0 passed, 1 failed");
    return false;
  }
  const results = [];
  for (const part of chosen(names)) results.push(await runPart(part, results));
  return report(results);
}

/** A part that needs the build brings it along. */
function chosen(names) {
  if (names.length === 0) return PARTS;
  const wanted = PARTS.filter((part) => names.includes(part.name));
  return PARTS.filter(
    (part) => wanted.includes(part) || (part.name === "build" && wanted.some((other) => other.needsBuild)),
  );
}

async function runPart(part, before) {
  console.log(`\n=== ${part.name}: ${part.title}`);
  const started = performance.now();
  const buildFailed = before.some((result) => result.name === "build" && result.failed > 0);
  const counts = part.needsBuild && buildFailed ? failure("not run, since the build failed") : await part.run();
  const ran = counts.passed + counts.failed > 0 ? counts : { ...counts, ...failure("ran nothing") };
  const result = { ...ran, name: part.name, seconds: (performance.now() - started) / 1000 };
  console.log(`--- ${line(result)}`);
  return result;
}

function report(results) {
  console.log("\n=== parts");
  for (const result of results) console.log(line(result));
  const sum = (what) => results.reduce((total, result) => total + result[what], 0);
  console.log(`${sum("seconds").toFixed(1)} s in all\n`);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0;
}

function line({ name, passed, failed, skipped = 0, note, seconds }) {
  const extra = [skipped > 0 ? `${skipped} skipped` : "", note ?? ""].filter(Boolean).map((text) => ` (${text})`);
  return `${name.padEnd(8)} ${passed} ok, ${failed} not ok${extra.join("")}, ${seconds.toFixed(1)} s`;
}

// ---------------------------------------------------------------------------------------------------------------- parts

async function lint() {
  return counted([
    ["cargo", ["fmt", "--check"]],
    ["cargo", ["clippy", "--all-targets", "--", "-D", "warnings"]],
    ["cargo", ["clippy", ...WASM, "--all-targets", "--", "-D", "warnings"]],
    ["eslint", ["--max-warnings", "0", "."]],
    ["prettier", ["--check", "."]],
    ["tsc", ["--project", "tsconfig.json"]],
  ]);
}

async function native() {
  return cargoCounts(await run("cargo", ["test", "--no-fail-fast"]));
}

async function build() {
  return counted([["bash", ["scripts/build.sh"]]]);
}

async function size() {
  return counted([["node", ["scripts/size.js", "--guard"]]]);
}

/** The targets are named, since cargo would also try to run the documentation's examples, and those are host code. */
async function browser() {
  // What the engine does under wasm is compared with what it does here.
  const host = await run("cargo", ["test", "--test", "it", "a_thousand_histories_have_a_hash", "--", "--nocapture"]);
  const hash = /hash of a thousand histories: ([0-9a-f]{16})/.exec(host.output)?.[1];
  if (!host.ok || hash === undefined) return failure("the host has no hash to compare with");
  const options = ["--headless", "--chrome", "--mode", "no-install", ".", "--lib", "--test", "*"];
  return cargoCounts(
    await run("wasm-pack", ["test", ...options], {
      WASM_BINDGEN_TEST_TIMEOUT: String(BROWSER_TEST_LIMIT_SECONDS),
      CONCORDIA_SIMULATION_HASH: hash,
    }),
  );
}

async function packageTests() {
  const apart = [...IN_BROWSERS, ACCEPTANCE, TORTURE];
  return nodeTests(testFiles("tests").filter((file) => !apart.some((folder) => file.startsWith(folder))));
}

async function e2e() {
  return nodeTests(IN_BROWSERS.flatMap((folder) => testFiles(folder)));
}

async function accept() {
  return nodeTests(testFiles(ACCEPTANCE));
}

async function torture() {
  return nodeTests(testFiles(TORTURE));
}

// ------------------------------------------------------------------------------------------------------------- counting

function failure(note) {
  return { passed: 0, failed: 1, note };
}

/** Each program is one test. All of them run, so that one run shows everything. */
async function counted(programs) {
  const failed = [];
  for (const [program, args] of programs) {
    const { ok } = await run(program, args);
    if (!ok) failed.push([program, args[0]].join(" "));
  }
  const note = failed.length > 0 ? `failed: ${failed.join(", ")}` : undefined;
  return { passed: programs.length - failed.length, failed: failed.length, note };
}

/** The sum over all binaries. A program that failed without a failed test did not compile, or died. */
function cargoCounts({ ok, output }) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(
    /test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/g,
  )) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.skipped += Number(ignored);
  }
  return ok || counts.failed > 0 ? counts : { ...counts, failed: 1, note: "did not compile, or died" };
}

/** One file after the other: they start servers and browsers, and the machine may be small. */
async function nodeTests(files) {
  if (files.length === 0) return { passed: 0, failed: 0 };
  const folder = mkdtempSync(join(tmpdir(), "concordia-test-"));
  const tapFile = join(folder, "results.tap");
  try {
    const { ok } = await run("node", [
      "--test",
      "--test-concurrency=1",
      ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
      ...["--test-reporter=tap", `--test-reporter-destination=${tapFile}`],
      ...files,
    ]);
    return nodeCounts(ok, existsSync(tapFile) ? readFileSync(tapFile, "utf8") : "");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nodeCounts(ok, tap) {
  const total = (what) => Number(tap.match(new RegExp(`^# ${what} (\\d+)$`, "m"))?.[1] ?? 0);
  // Node reports a file without a test as one test that passed, under the file's own name.
  const empty = [...tap.matchAll(/^ok \d+ - .*\.test\.js$/gm)].length;
  const failed = total("fail") + total("cancelled") + empty;
  const counts = { passed: total("pass") - empty, failed, skipped: total("skipped") + total("todo") };
  if (empty > 0) return { ...counts, note: `${empty} file(s) without a test` };
  return ok || failed > 0 ? counts : { ...counts, failed: 1, note: "the test runner died" };
}

function testFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((file) => join(folder, String(file)))
    .filter((file) => file.endsWith(".test.js"))
    .sort();
}

// ------------------------------------------------------------------------------------------------------------- programs

/** Settles with whether the program succeeded, and all it printed, without colours. */
function run(program, args, env = {}) {
  console.log(`$ ${program} ${args.join(" ")}`);
  // A process group of its own, so that a limit or Ctrl-C also ends the browsers and servers it started.
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  const pass = (to) => (chunk) => {
    output += chunk;
    to.write(chunk);
  };
  child.stdout.setEncoding("utf8").on("data", pass(process.stdout));
  child.stderr.setEncoding("utf8").on("data", pass(process.stderr));

  const end = () => endGroup(child.pid);
  const limit = setTimeout(() => {
    console.log(`${program} ran longer than ${PROGRAM_LIMIT_MINUTES} minutes and was ended`);
    end();
  }, PROGRAM_LIMIT_MINUTES * 60_000);
  const interrupted = () => {
    end();
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);

  return new Promise((resolve) => {
    const settle = (ok) => {
      clearTimeout(limit);
      process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
      // eslint-disable-next-line no-control-regex -- colours begin with a control character
      resolve({ ok, output: output.replace(/\u001b\[[0-9;]*m/g, "") });
    };
    child.on("error", (error) => {
      console.log(`${program} could not be started: ${error.message}`);
      settle(false);
    });
    child.on("close", (code) => settle(code === 0));
  });
}

function endGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
