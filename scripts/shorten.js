/**
 * Makes what wasm-bindgen generated smaller, after wasm-opt: `node scripts/shorten.js FOLDER`, in which `concordia.js` and
 * `concordia_bg.wasm` are. Both name every function that crosses the border, with a hash in most names, which no
 * compression can take away; here each gets a name of one or two letters, in both files alike. What the glue says again and
 * again, or for nobody, it says once, or not at all; its enums go to `enums.ts`, whose values esbuild puts where they are
 * used. It knows the form of the glue of the pinned wasm-bindgen, and fails when it finds another.
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

/** Calls of the module that may fail, with the place of the failure among its results; and what is handed back in memory. */
const HELPERS = `
function ask(call, failure) {
    const borrowed = stack_pointer;
    try {
        const retptr = STACK(-16);
        call(retptr);
        const memory = getDataViewMemory0();
        if (memory.getInt32(retptr + 4 * failure, true)) throw takeObject(memory.getInt32(retptr + 4 * failure - 4, true));
        return memory.getInt32(retptr, true);
    } finally {
        STACK(16);
        while (stack_pointer < borrowed) heap[stack_pointer++] = undefined;
    }
}
function give(to, pointer) {
    const length = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32(to + 4, length, true);
    getDataViewMemory0().setInt32(to, pointer, true);
}
function giveText(to, text) {
    give(to, isLikeNone(text) ? 0 : passStringToWasm0(text, MALLOC, REALLOC));
}
function addOptional(ret) {
    return isLikeNone(ret) ? 0 : addHeapObject(ret);
}
`;

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
  let glue = source.replace(/^ {8}([\w$]+)(: function[\s\S]*?^ {8}\}(?:, arguments\); \})?,\n)/gm, (_, name, rest) => {
    // What wasm-opt has found unused.
    if (!own.has(name)) return "";
    used.add(name);
    return `        ${own.get(name)}${rest}`;
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
  return sayOnce(glue);
}

function sayOnce(source) {
  let glue = source;
  const rewrite = (pattern, by) => {
    const rewritten = glue.replace(pattern, by);
    if (rewritten === glue) throw new Error(`nothing in the glue is like ${pattern}`);
    glue = rewritten;
  };
  const found = (pattern) => pattern.exec(glue)?.[1] ?? rewrite(pattern);
  const stack = found(/const retptr = (wasm\.\w+)\(-16\);/);
  const malloc = found(/passStringToWasm0\(\w+, (wasm\.\w+), wasm\.\w+\)/);
  const realloc = found(/passStringToWasm0\(\w+, wasm\.\w+, (wasm\.\w+)\)/);

  const result = (place) =>
    String.raw` +var r${place} = getDataViewMemory0\(\)\.getInt32\(retptr \+ 4 \* ${place}, true\);\n`;
  const asking = new RegExp(
    String.raw` +try \{\n +const retptr = wasm\.\w+\(-16\);\n((?:(?! try \{)[^])*?)${result(0)}${result(1)}(${result(2)})?` +
      String.raw` +if \(r[12]\) \{\n +throw takeObject\(r[01]\);\n +\}\n((?:(?! try \{)[^])*?) +\} finally \{\n` +
      String.raw` +wasm\.\w+\(16\);\n(?: +heap\[stack_pointer\+\+\] = undefined;\n)* +\}\n`,
    "g",
  );
  rewrite(asking, (_, call, valued, rest) => {
    const asked = `ask((retptr) => {\n${call}}, ${valued ? 2 : 1});\n`;
    return valued ? `const r0 = ${asked}${rest}` : asked;
  });
  const given = (kind, pass) =>
    new RegExp(
      String.raw`(?:const|var) ptr1 = (?:isLikeNone\(ret\) \? 0 : )?${pass}\(ret, [^;]+;\n +(?:const|var) len1 = WASM_VECTOR_LEN;\n` +
        String.raw` +getDataViewMemory0\(\)\.setInt32\(arg0 \+ 4 \* 1, len1, true\);\n` +
        String.raw` +getDataViewMemory0\(\)\.setInt32\(arg0 \+ 4 \* 0, ptr1, true\);`,
      "g",
    );
  rewrite(given("Text", "passStringToWasm0"), "giveText(arg0, ret);");
  rewrite(/return isLikeNone\(ret\) \? 0 : addHeapObject\(ret\);/g, "return addOptional(ret);");

  // Stores and schemas live as long as the page.
  rewrite(/^ {4}__destroy_into_raw\(\) \{[^]*?^ {4}\}\n(?: {4}\/\*\*[^]*?\*\/\n)? {4}free\(\) \{[^]*?^ {4}\}\n/gm, "");
  rewrite(/^if \(Symbol\.dispose\) .*\n/gm, "");
  rewrite(/^const \w+HandleFinalization = [^]*?;\n/gm, "");
  rewrite(/^ +\w+HandleFinalization\.register\(.*\n/gm, "");

  // The package loads the module one way only, and runs nowhere where these are missing.
  rewrite("export { initSync, __wbg_init as default };", "export { __wbg_init as default };");
  rewrite(/if \(Object\.getPrototypeOf\(module_or_path\) === Object\.prototype\) (\{[^}]*\}[^}]*\}) else \{[^}]*\}/, "$1");
  rewrite(/^if \(!\('encodeInto' in cachedTextEncoder\)\) \{[^]*?^\}\n/m, "");
  rewrite(/ +if \(realloc === undefined\) \{[^]*?return ptr;\n +\}\n/, "");
  const enums = [];
  rewrite(/^export const (\w+) = Object\.freeze\(\{\n([^]*?)^\}\);\n/gm, (_, name, values) => {
    const members = [...values.matchAll(/^ {4}(\w+): (\d+), "/gm)].map(([, member, value]) => `${member} = ${value}`);
    enums.push(`export enum ${name} { ${members.join(", ")} }\n`);
    return "";
  });
  writeFileSync(join(folder, "enums.ts"), enums.join(""));
  const helpers = HELPERS.replaceAll("STACK", stack).replace("MALLOC", malloc).replace("REALLOC", realloc);
  return `export * from "./enums.ts";\n${glue}${helpers}`;
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
