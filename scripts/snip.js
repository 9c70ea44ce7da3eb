/**
 * Takes out of the module what is compiled into it and can never run, or is exported and never called: `node scripts/snip.js
 * FILE`, between wasm-bindgen and wasm-opt, which then removes what only that used. The body of each function that never runs
 * becomes a trap. The compiler cannot know these, because they are reached through tables. Fails when one of them is not
 * there, or more than one has its name.
 */
import { readFileSync, writeFileSync } from "node:fs";
import {
  CODE_SECTION,
  EXPORT_SECTION,
  IMPORT_SECTION,
  moduleOf,
  readName,
  readNumber,
  sectionsOf,
  writeNumber,
} from "./wasm-binary.js";

const NEVER_RUN = [
  // What rexie does when a database is made or upgraded: `Link` in `jobs.js` does it, and lets nobody else hear of it.
  /\bDatabaseRequest>::on_upgrade_needed<.*DatabaseBuilder>::build.*::into_fn_mut::\{closure#0\}$/,
];

/** Stores and schemas live as long as the page; `shorten.js` takes away what would call these. */
const NEVER_CALLED = /^__wbg_\w+handle_free$/;

const FUNCTION_NAMES = 1;

/** No locals, `unreachable`, `end`: fits every type of function. */
const TRAP = Buffer.from([0, 0, 11]);

const [, , file] = process.argv;
const bytes = readFileSync(file);
const sections = [...sectionsOf(bytes)];
const names = functionNames();
const doomed = new Set(NEVER_RUN.map(findOne));
const rewrites = { [EXPORT_SECTION]: rewriteExports, [CODE_SECTION]: rewriteCode };
const kept = sections.map(({ id, start, end }) => [id, rewrites[id]?.(start) ?? bytes.subarray(start, end)]);
writeFileSync(file, moduleOf(kept));

/** The number of the one function with such a name. */
function findOne(pattern) {
  const found = names.filter(([, name]) => pattern.test(name));
  if (found.length !== 1) throw new Error(`${found.length} functions have a name like ${pattern}`);
  return found[0][0];
}

/** `[number, name]` of each function. */
function functionNames() {
  for (const { id, start, end } of sections) {
    const [name, first] = id === 0 ? readName(bytes, start) : [];
    if (name !== "name") continue;
    for (let at = first; at < end;) {
      const [length, body] = readNumber(bytes, at + 1);
      if (bytes[at] === FUNCTION_NAMES) return readNames(body);
      at = body + length;
    }
  }
  throw new Error("the module has no names");
}

function readNames(start) {
  const list = [];
  const [count, first] = readNumber(bytes, start);
  for (let at = first; list.length < count;) {
    const [number, next] = readNumber(bytes, at);
    const [name, end] = readName(bytes, next);
    list.push([number, name]);
    at = end;
  }
  return list;
}

function rewriteExports(start) {
  const [count, first] = readNumber(bytes, start);
  const list = [];
  for (let at = first, left = count; left > 0; left--) {
    const [name, next] = readName(bytes, at);
    const [, end] = readNumber(bytes, next + 1);
    if (!NEVER_CALLED.test(name)) list.push(bytes.subarray(at, end));
    at = end;
  }
  return Buffer.concat([writeNumber(list.length), ...list]);
}

function rewriteCode(start) {
  const [count, first] = readNumber(bytes, start);
  const bodies = [writeNumber(count)];
  const imported = importedFunctions();
  for (let at = first, nth = 0; nth < count; nth++) {
    const [length, body] = readNumber(bytes, at);
    at = body + length;
    const code = doomed.has(imported + nth) ? TRAP : bytes.subarray(body, at);
    bodies.push(writeNumber(code.length), code);
  }
  return Buffer.concat(bodies);
}

function importedFunctions() {
  const imports = sections.find(({ id }) => id === IMPORT_SECTION);
  const [count, first] = readNumber(bytes, imports.start);
  for (let at = first, left = count; left > 0; left--) {
    at = readName(bytes, readName(bytes, at)[1])[1];
    if (bytes[at] !== 0) throw new Error("something else than a function is imported");
    at = readNumber(bytes, at + 1)[1];
  }
  return count;
}
