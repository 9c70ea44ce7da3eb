/**
 * Makes what wasm-bindgen generated smaller, after wasm-opt: `node scripts/shorten.js FOLDER`, in which `concordia.js` and
 * `concordia_bg.wasm` are. Both name every function that crosses the border, with a hash in most names, which no
 * compression can take away; here each gets a name of one or two letters, in both files alike. It knows the form of the
 * glue of the pinned wasm-bindgen, and fails when it finds another.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const wasmFile = join(folder, "concordia_bg.wasm");
const glueFile = join(folder, "concordia.js");
const typesFile = join(folder, "concordia.d.ts");

const IMPORT_SECTION = 2;
const EXPORT_SECTION = 7;
const GLUE = "./concordia_bg.js";

const renamed = shortenWasm(readFileSync(wasmFile));
const shortened = shortenGlue(readFileSync(glueFile, "utf8"), renamed);
const types = readFileSync(typesFile, "utf8").replace(
  /export interface InitOutput \{[^}]*\}/,
  "export type InitOutput = WebAssembly.Exports;",
);
writeFileSync(wasmFile, renamed.bytes);
writeFileSync(glueFile, shortened);
writeFileSync(typesFile, types);

/** `{bytes, modules, exports}`: `modules` maps a module's name to `{short, names}`, where `names` maps old to new. */
function shortenWasm(bytes) {
  const modules = new Map();
  const exports = new Map();
  const parts = [bytes.subarray(0, 8)];
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at];
    const [length, start] = readNumber(bytes, at + 1);
    const body = bytes.subarray(start, start + length);
    at = start + length;
    if (id === 0) continue;
    const rewritten =
      id === IMPORT_SECTION
        ? rewriteImports(body, modules)
        : id === EXPORT_SECTION
          ? rewriteExports(body, exports)
          : body;
    parts.push(Buffer.from([id]), writeNumber(rewritten.length), rewritten);
  }
  return { bytes: Buffer.concat(parts), modules, exports };
}

function rewriteImports(body, modules) {
  let [count, at] = readNumber(body, 0);
  const parts = [writeNumber(count)];
  while (count-- > 0) {
    let module, name;
    [module, at] = readName(body, at);
    [name, at] = readName(body, at);
    if (body[at] !== 0) throw new Error(`the import ${name} is no function`);
    const [, end] = readNumber(body, at + 1);
    if (!modules.has(module)) modules.set(module, { short: nth(modules.size), names: new Map() });
    const { short, names } = modules.get(module);
    if (!names.has(name)) names.set(name, nth(names.size));
    parts.push(writeName(short), writeName(names.get(name)), body.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}

function rewriteExports(body, exports) {
  let [count, at] = readNumber(body, 0);
  const parts = [writeNumber(count)];
  while (count-- > 0) {
    let name;
    [name, at] = readName(body, at);
    const [, end] = readNumber(body, at + 1);
    exports.set(name, nth(exports.size));
    parts.push(writeName(exports.get(name)), body.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}

function shortenGlue(source, { modules, exports }) {
  const used = new Set();
  const own = modules.get(GLUE)?.names;
  if (!own) throw new Error(`the module imports nothing from ${GLUE}`);
  let glue = source.replace(/^ {8}([\w$]+): function/gm, (line, name) => {
    // What wasm-opt has found unused is left under its own name.
    if (!own.has(name)) return line;
    used.add(name);
    return `        ${own.get(name)}: function`;
  });
  for (const name of own.keys()) if (!used.has(name)) throw new Error(`the glue does not define ${name}`);

  // A whole namespace of a script would keep all that it exports.
  const given = new Set();
  glue = glue.replace(/^ {8}"(\.\/[^"]+)": (import\d+),\n/gm, (_, path, variable) => {
    const module = modules.get(path);
    if (!module || given.has(path)) return "";
    given.add(path);
    if (path === GLUE) return `        ${module.short}: ${variable},\n`;
    const entries = [...module.names].map(([name, short]) => `${short}: ${variable}.${name}`);
    return `        ${module.short}: { ${entries.join(", ")} },\n`;
  });
  for (const path of modules.keys()) if (!given.has(path)) throw new Error(`the glue does not give ${path}`);

  glue = glue.replace(/\bwasm\.([\w$]+)/g, (_, name) => {
    if (!exports.has(name)) throw new Error(`the module does not export ${name}`);
    return `wasm.${exports.get(name)}`;
  });
  // The package loads the module one way only.
  return glue.replace("export { initSync, __wbg_init as default };", "export { __wbg_init as default };");
}

/** a, b, … z, A, … Z, aa, ba, … */
function nth(index) {
  const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const rest = Math.floor(index / LETTERS.length);
  return LETTERS[index % LETTERS.length] + (rest > 0 ? nth(rest - 1) : "");
}

/** An unsigned LEB128 number and where the next thing begins. */
function readNumber(bytes, start) {
  let number = 0;
  for (let at = start; ; at++) {
    number += (bytes[at] & 127) * 128 ** (at - start);
    if (bytes[at] < 128) return [number, at + 1];
  }
}

function writeNumber(number) {
  const bytes = [];
  for (let rest = number; rest > 0 || bytes.length === 0; rest >>>= 7)
    bytes.push((rest & 127) | (rest > 127 ? 128 : 0));
  return Buffer.from(bytes);
}

function readName(bytes, at) {
  const [length, start] = readNumber(bytes, at);
  return [bytes.toString("utf8", start, start + length), start + length];
}

function writeName(name) {
  return Buffer.concat([writeNumber(name.length), Buffer.from(name)]);
}
