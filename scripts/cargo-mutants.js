/**
 * Tries every mutant that cargo-mutants knows of the engine, and writes docs/mutants.md. Its own way, a build for each, would
 * take a day: here most of them are compiled at once, each behind a switch, and only what cannot stand beside others is built
 * alone.
 *
 * `node scripts/cargo-mutants.js [--new] [TEXT…]`, started by `npm run mutants -- --cargo`. With TEXT only mutants in whose
 * name it is, and no report. What was found out is kept in target/mutants until the file changes, of mutants that were missed
 * until a test changes; `--new` forgets it. Fails when less than 95 % are caught, and when tests/mutants/survivors.js does not say why
 * one is missed, or speaks of one that is not.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { format } from "prettier";

import { survivors } from "../tests/mutants/survivors.js";
import { SHORT, SIMULATION, check, compile, copySource, run } from "./switched.js";

const ENGINE = ["src/engine.rs", ...rustIn("src/engine")];
const TESTS = rustIn("tests/it");
const KEPT = join("target", "mutants", "cargo-mutants.jsonl");
const REPORT = join("docs", "mutants.md");
const LEAST_PERCENT = 95;
const SLOW = [
  "simulation::",
  "fuzz::",
  "relations_at_random::",
  "stories::an_outage_of_t_seconds",
  "stories::one_item_that_always_fails",
  "paging::pages_without_end",
];
const skip = (names) => names.flatMap((name) => ["--skip", name]);
/** What tries a mutant, the quickest first: what `npm test` runs natively, with fewer histories. */
const TRIALS = [
  { args: skip(SLOW), histories: 1, seconds: 30 },
  { args: ["--exact", SIMULATION], histories: 2_000, seconds: 30 },
  { args: ["--exact", `${SIMULATION}_of_several_tabs`], histories: 8_000, seconds: 90 },
  { args: SHORT, histories: 1, seconds: 180 },
];

const { values, positionals } = parseArgs({ options: { new: { type: "boolean" } }, allowPositionals: true });
const started = Date.now();
const sources = new Map(ENGINE.map((path) => [path, source(path)]));
const testsHash = hashOf(TESTS);
const mutants = list().filter(
  ({ name }) => positionals.length === 0 || positionals.some((text) => name.includes(text)),
);
const results = kept();
await tryAll();
process.exitCode = positionals.length > 0 ? 0 : await report();

async function tryAll() {
  const wanted = ({ name }) => positionals.length === 0 || positionals.some((text) => name.includes(text));
  const open = mutants.filter((mutant) => wanted(mutant) && !results.has(mutant.name));
  if (open.length === 0) return;
  // The first time the compiler blames some that stand in the way of none. What does not compile alone is gone the second time.
  const blamed = new Set(viable());
  compilesTogether(viable()).forEach((mutant) => blamed.delete(mutant));
  for (const mutant of blamed) {
    if (!results.has(mutant.name) && check(alone(mutant)).length > 0) note(mutant, { unviable: true });
  }
  const together = compilesTogether(viable());
  copySource(switched(together));
  const program = compile();
  const { ok, output } = await trial(program, 0);
  if (!ok) throw new Error(`without a mutant the tests fail\n${output.slice(-2_000)}`);
  const rest = open.filter(({ name }) => !results.has(name));
  for (const mutant of rest.filter((one) => together.includes(one))) note(mutant, await trial(program, mutant.number));
  for (const mutant of rest.filter((one) => !together.includes(one))) {
    copySource(alone(mutant));
    note(mutant, await trial(compile(), 0));
  }
}

function viable() {
  return mutants.filter(({ name }) => results.get(name)?.verdict !== "unviable");
}

/** All that can stand behind switches. What cannot is found by where the compiler sees something wrong. */
function compilesTogether(some) {
  let together = some.filter(({ site }) => site !== undefined);
  for (;;) {
    const texts = switched(together);
    const errors = check(texts);
    if (errors.length === 0) return together;
    const blamed = new Set(errors.flatMap((error) => blame(error, texts)));
    console.log(`${blamed.size} of ${together.length} mutants do not compile beside the others`);
    if (blamed.size === 0) throw new Error(errors.map(({ rendered }) => rendered).join("\n"));
    together = together.filter(({ number }) => !blamed.has(number));
  }
}

/** The file of a mutant with nothing but that. */
function alone({ file, replacement, span }) {
  const { text, at } = sources.get(file);
  return new Map([[file, text.slice(0, at(span.start)) + replacement + text.slice(at(span.end))]]);
}

async function trial(program, number) {
  let result = { ok: true };
  for (const { args, ...limits } of TRIALS) {
    if (result.ok) result = await run(program, number, [...args, "--nocapture"], limits);
  }
  return result;
}

function note({ name, file }, { ok, late, unviable, output = "" }) {
  const failed = /^test (\S+) \.\.\. FAILED$/m.exec(output)?.[1] ?? /thread '(\S+?)'.* panicked/.exec(output)?.[1];
  const verdict = unviable ? "unviable" : ok ? "missed" : late ? "timeout" : "caught";
  const result = {
    name,
    fileHash: hashOf([file]),
    testsHash,
    verdict,
    by: verdict === "caught" ? (failed ?? "its death") : undefined,
  };
  results.set(name, result);
  appendFileSync(KEPT, `${JSON.stringify(result)}\n`);
  console.log(`${results.size}/${mutants.length} ${verdict}  ${name}${result.by ? `: ${result.by}` : ""}`);
}

function kept() {
  mkdirSync(join("target", "mutants"), { recursive: true });
  if (values.new) rmSync(KEPT, { force: true });
  const lines = existsSync(KEPT) ? readFileSync(KEPT, "utf8").split("\n").filter(Boolean) : [];
  const files = new Map(mutants.map(({ name, file }) => [name, file]));
  const holds = ({ name, fileHash, verdict, testsHash: tried }) =>
    files.has(name) && fileHash === hashOf([files.get(name)]) && (verdict !== "missed" || tried === testsHash);
  return new Map(
    lines
      .map((line) => JSON.parse(line))
      .filter(holds)
      .map((result) => [result.name, result]),
  );
}

// --------------------------------------------------------------------------------------------------- mutants behind switches

/** What cargo-mutants lists, each with the place of its parts in the source, if it can be put behind a switch. */
function list() {
  const globs = ["--file", "src/engine.rs", "--file", "src/engine/**"];
  const listed = JSON.parse(
    execFileSync("cargo", ["mutants", "--list", "--json", ...globs], { encoding: "utf8", maxBuffer: 1 << 28 }),
  );
  const sites = new Map(
    siteLines().map((line) => {
      const [path, at, genre, ...parts] = line.split(" ");
      return [`${path} ${at} ${genre}`, parts.map(placeOf)];
    }),
  );
  return listed.map((mutant, index) => {
    const { file, genre, span } = mutant;
    const { at } = sources.get(file);
    const before = at(span.start) - 1;
    const place = `${file} ${span.start.line}:${span.start.column} ${genre}`;
    // A body that stands for `impl Iterator` has one type: nothing can be returned before it.
    const whole = mutant.function?.return_type.includes("impl ") ? undefined : [before, before];
    const site = genre === "FnValue" ? whole : sites.get(place)?.map(at);
    return { ...mutant, number: index + 1, site };
  });
}

function siteLines() {
  const manifest = join("tests", "mutants", "sites", "Cargo.toml");
  const env = { ...process.env, CARGO_TARGET_DIR: join("target", "mutants", "sites") };
  const args = ["run", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--", ...ENGINE];
  return execFileSync("cargo", args, { env, encoding: "utf8" }).trim().split("\n");
}

function placeOf(text) {
  const [line, column] = text.split(":").map(Number);
  return { line, column };
}

function source(path) {
  // A constant function could not look at a switch; nothing in the engine has to be one. Of the same length, so that places stay.
  const text = readFileSync(path, "utf8").replaceAll("const fn ", "      fn ");
  const starts = [0];
  for (const [index, sign] of [...text].entries()) if (sign === "\n") starts.push(index + 1);
  return { text, at: ({ line, column }) => starts[line - 1] + column - 1 };
}

/** The files of the engine with these mutants behind switches. */
function switched(together) {
  return new Map(ENGINE.map((path) => [path, switchedFile(path, together)]));
}

function switchedFile(path, together) {
  const nodes = new Map();
  for (const mutant of together.filter(({ file }) => file === path)) {
    const { site, genre } = mutant;
    // Of a field the base of the struct is a part, but stands behind the others.
    const end = genre === "StructField" ? site[3] : site.at(-1);
    const node = nodes.get(`${site} ${genre}`) ?? { start: site[0], end, site, genre, alternatives: [] };
    nodes.set(`${site} ${genre}`, node);
    node.alternatives.push(mutant);
  }
  // The outer before the inner; a guard is outside of the operator that it is.
  const depth = ({ genre }) => ["MatchArm", "MatchArmGuard"].indexOf(genre);
  const sorted = [...nodes.values()].sort(
    (one, other) => one.start - other.start || other.end - one.end || depth(other) - depth(one),
  );
  const { text } = sources.get(path);
  return render(text, sorted, 0, text.length);
}

/** A part of the text, with the mutants in it. */
function render(text, nodes, start, end) {
  let [result, place] = ["", start];
  for (const [index, node] of nodes.entries()) {
    if (node.start < place || node.end > end) continue;
    const within = nodes.slice(index + 1);
    const part = (number) => render(text, within, node.site[2 * number], node.site[2 * number + 1]);
    const numbers = node.alternatives.map(({ number }) => number);
    result += `${text.slice(place, node.start)}/*<${numbers}*/${choice(node, part)}/*>*/`;
    place = node.end;
  }
  return result + text.slice(place, end);
}

/** Which of the mutants of a place is tried is seen when it is reached. */
function choice({ genre, alternatives, site }, part) {
  const on = ({ number }) => `crate::mutant(${number})`;
  const choose = (original, make) =>
    alternatives.map((one) => `if ${on(one)} { /*<${one.number}*/${make(one.replacement)}/*>*/ } else `).join("") +
    `{ ${original} }`;
  const [first] = alternatives;
  switch (genre) {
    case "FnValue":
      return alternatives.map((one) => `if ${on(one)} { /*<${one.number}*/return ${one.replacement};/*>*/ } `).join("");
    case "UnaryOperator":
      return `({ let __operand = ${part(1)}; ${choose(`${part(0)}__operand`, () => "__operand")} })`;
    case "MatchArm":
      return `${part(0)} if !${on(first)}${site.length > 2 ? ` && (${part(1)})` : ""}`;
    case "MatchArmGuard":
      return `(${choose(part(0), (replacement) => replacement)})`;
    case "StructField":
      return `${part(0)}: ${choose(part(1), () => `(${part(2)}).${part(0)}`)}`;
  }
  const operator = /: replace (\S+) with /.exec(first.name)[1];
  // Each operand stands there once, or the mutants in it would double with every operator around it.
  if (operator === "&&")
    return `({ let __left = ${part(0)}; if __left != ${on(first)} { ${part(1)} } else { __left } })`;
  if (operator === "||")
    return `({ let __left = ${part(0)}; if __left == ${on(first)} { ${part(1)} } else { __left } })`;
  if (/^([^=<>!]|<<|>>)=$/.test(operator)) {
    return choose(`${part(0)} ${operator} ${part(1)}`, (replacement) => `${part(0)} ${replacement} ${part(1)}`);
  }
  const operands = /^[=!<>]=?$|^==$/.test(operator) ? `(&(${part(0)}), &(${part(1)}))` : `(${part(0)}, ${part(1)})`;
  const chosen = choose(`__left ${operator} __right`, (replacement) => `__left ${replacement} __right`);
  return `(match ${operands} { (__left, __right) => ${chosen} })`;
}

/** The mutants around the place of which the compiler speaks; of a match that leaves something out, the first arm behind it. */
function blame({ spans, code }, texts) {
  for (const { file_name: path, byte_start: place } of [...spans].sort(
    (one, other) => other.is_primary - one.is_primary,
  )) {
    const bytes = Buffer.from(texts.get(path) ?? "");
    const around = [];
    for (const [, numbers] of bytes
      .subarray(0, place)
      .toString()
      .matchAll(/\/\*(?:<([\d,]+)|>)\*\//g)) {
      if (numbers) around.push(numbers);
      else around.pop();
    }
    const arm = / if !crate::mutant\((\d+)\)/.exec(bytes.subarray(place).toString());
    if (code?.code === "E0004" && arm) return [Number(arm[1])];
    if (around.length > 0) return around.at(-1).split(",").map(Number);
  }
  return [];
}

// ---------------------------------------------------------------------------------------------------------------- report

async function report() {
  const of = (wanted) => [...results.values()].filter(({ verdict }) => verdict === wanted);
  const [caught, missed, timeouts, unviable] = ["caught", "missed", "timeout", "unviable"].map(of);
  const compiled = results.size - unviable.length;
  const percent = (100 * (caught.length + timeouts.length)) / compiled;
  const explained = missed.map(({ name }) => ({
    name,
    line: lineOf(name),
    why: survivors.filter((one) => speaksOf(one, name)),
  }));
  const unexplained = explained.filter(({ why }) => why.length !== 1);
  const idle = survivors.filter((one) => !missed.some(({ name }) => speaksOf(one, name)));
  for (const { name, line, why } of unexplained) {
    console.log(
      `${why.length === 0 ? "no reason is given for" : "several reasons are given for"} ${name}\n    ${line}`,
    );
  }
  for (const { mutation, at } of idle) console.log(`not missed, or not there: ${mutation}: ${at}`);
  const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();
  const isChanged = git("status", "--porcelain", "--", "src", "tests/it") !== "";
  const rows = [
    ["mutants of the engine", results.size],
    ["of them do not compile", unviable.length],
    ["caught by a test that fails", caught.length],
    ["caught since there is no end to it", timeouts.length],
    ["… of both by an earlier run, before tests were changed", [...caught, ...timeouts].filter(isOlder).length],
    ["missed", missed.length],
    ["caught, of those that compile", `${percent.toFixed(1)} %`],
  ];
  const text = [
    "# Mutants of the engine",
    "",
    `What [cargo-mutants](https://mutants.rs) changes in \`src/engine\`, one place at a time, and whether a native test sees it. Written by \`npm run mutants -- --cargo\` on ${new Date(started).toISOString().slice(0, 10)} at commit ${git("rev-parse", "--short", "HEAD")}${isChanged ? " with changes" : ""}, with ${execFileSync("cargo", ["mutants", "--version"], { encoding: "utf8" }).trim()}.`,
    "",
    "| | |",
    "| --- | --- |",
    ...rows.map(([what, figure]) => `| ${what} | ${figure} |`),
    "",
    "## Missed, and why",
    "",
    ...explained.map(
      ({ name, line, why }) =>
        `- ${name.replace(/:\d+:\d+: (.*)$/, ": `$1`")}, in \`${line}\`: ${why[0]?.why ?? "no reason is given"}.`,
    ),
  ];
  writeFileSync(REPORT, await format(text.join("\n"), { parser: "markdown", printWidth: 120 }));
  console.log(`${caught.length + timeouts.length} of ${compiled} mutants caught, ${percent.toFixed(1)} %`);
  return percent < LEAST_PERCENT || unexplained.length > 0 || idle.length > 0 ? 1 : 0;
}

function isOlder(result) {
  return result.testsHash !== testsHash;
}

/** Whether a reason is for this mutant: of this file and mutation, in a line that holds this text. */
function speaksOf({ file, mutation, at }, name) {
  return name.startsWith(`src/${file}:`) && name.endsWith(`: ${mutation}`) && lineOf(name).includes(at);
}

function lineOf(name) {
  const [path, line] = name.split(":");
  return readFileSync(path, "utf8").split("\n")[line - 1].trim();
}

function rustIn(folder) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".rs"));
  return names.sort().map((name) => `${folder}/${name}`);
}

function hashOf(paths) {
  return createHash("sha256")
    .update(paths.map((path) => readFileSync(path, "utf8")).join("\0"))
    .digest("hex")
    .slice(0, 16);
}
