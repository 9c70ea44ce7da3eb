/**
 * Takes out of the module what is compiled into it and can never run: `node scripts/snip.js FILE`, between wasm-bindgen and
 * wasm-opt, which then removes what only that used. The body of each function becomes a trap. The compiler cannot know
 * these, because they are reached through tables. Fails when one of them is not there, or more than one has its name.
 */
import { readFileSync, writeFileSync } from "node:fs";

const NEVER_RUN = [
  // What rexie does when a database is made or upgraded: `Link` in `jobs.js` does it, and lets nobody else hear of it.
  /\bDatabaseRequest>::on_upgrade_needed<.*DatabaseBuilder>::build.*::into_fn_mut::\{closure#0\}$/,
];

const IMPORT_SECTION = 2;
const CODE_SECTION = 10;
const FUNCTION_NAMES = 1;

/** No locals, `unreachable`, `end`: fits every type of function. */
const TRAP = Buffer.from([0, 0, 11]);

const [, , file] = process.argv;
const bytes = readFileSync(file);
const sections = [...readSections(bytes)];
const doomed = new Set(NEVER_RUN.map(findOne));
const parts = [bytes.subarray(0, 8)];
for (const { id, start, end } of sections) {
  const body = id === CODE_SECTION ? rewriteCode(start) : bytes.subarray(start, end);
  parts.push(Buffer.from([id]), writeNumber(body.length), body);
}
writeFileSync(file, Buffer.concat(parts));

function* readSections() {
  for (let at = 8; at < bytes.length;) {
    const [length, start] = readNumber(at + 1);
    yield { id: bytes[at], start, end: start + length };
    at = start + length;
  }
}

/** The number of the one function with such a name. */
function findOne(pattern) {
  const found = functionNames().filter(([, name]) => pattern.test(name));
  if (found.length !== 1) throw new Error(`${found.length} functions have a name like ${pattern}`);
  return found[0][0];
}

function functionNames() {
  for (const { id, start, end } of sections) {
    if (id !== 0) continue;
    let [name, at] = readName(start);
    if (name !== "name") continue;
    while (at < end) {
      const kind = bytes[at];
      const [length, body] = readNumber(at + 1);
      if (kind === FUNCTION_NAMES) return readNames(body);
      at = body + length;
    }
  }
  throw new Error("the module has no names");
}

function readNames(start) {
  const names = [];
  let [count, at] = readNumber(start);
  while (count-- > 0) {
    let number, name;
    [number, at] = readNumber(at);
    [name, at] = readName(at);
    names.push([number, name]);
  }
  return names;
}

function rewriteCode(start) {
  let [count, at] = readNumber(start);
  const bodies = [writeNumber(count)];
  for (let number = importedFunctions(); count > 0; number++, count--) {
    const [length, body] = readNumber(at);
    at = body + length;
    const kept = doomed.has(number) ? TRAP : bytes.subarray(body, at);
    bodies.push(writeNumber(kept.length), kept);
  }
  return Buffer.concat(bodies);
}

function importedFunctions() {
  const imports = sections.find(({ id }) => id === IMPORT_SECTION);
  let [count, at] = readNumber(imports.start);
  for (let left = count; left > 0; left--) {
    at = readName(readName(at)[1])[1];
    if (bytes[at] !== 0) throw new Error("something else than a function is imported");
    at = readNumber(at + 1)[1];
  }
  return count;
}

/** An unsigned LEB128 number and where the next thing begins. */
function readNumber(start) {
  let number = 0;
  for (let at = start; ; at++) {
    number += (bytes[at] & 127) * 128 ** (at - start);
    if (bytes[at] < 128) return [number, at + 1];
  }
}

function writeNumber(number) {
  const out = [];
  for (let rest = number; rest > 0 || out.length === 0; rest >>>= 7) out.push((rest & 127) | (rest > 127 ? 128 : 0));
  return Buffer.from(out);
}

function readName(at) {
  const [length, start] = readNumber(at);
  return [bytes.toString("utf8", start, start + length), start + length];
}
