/**
 * Makes what wasm-bindgen generated smaller, after wasm-opt: `node scripts/shorten.js FOLDER`, in which `concordia.js` and
 * `concordia_bg.wasm` are. Both name every function that crosses the border, with a hash in most names, which no
 * compression can take away; here each gets a name of one or two letters, in both files alike. What the glue says again and
 * again, or for nobody, it says once, or not at all; its enums go to `enums.ts`, whose values esbuild puts where they are
 * used. It knows the form of the glue of the pinned wasm-bindgen, and fails when it finds another.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EXPORT_SECTION,
  IMPORT_SECTION,
  moduleOf,
  readName,
  readNumber,
  sectionsOf,
  writeName,
  writeNumber,
} from "./wasm-binary.js";

const folder = process.argv[2];
const wasmFile = join(folder, "concordia_bg.wasm");
const glueFile = join(folder, "concordia.js");
const typesFile = join(folder, "concordia.d.ts");

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
function giveText(to, text) {
    const pointer = isLikeNone(text) ? 0 : passStringToWasm0(text, MALLOC, REALLOC);
    const length = WASM_VECTOR_LEN;
    getDataViewMemory0().setInt32(to + 4, length, true);
    getDataViewMemory0().setInt32(to, pointer, true);
}
function addOptional(ret) {
    return isLikeNone(ret) ? 0 : addHeapObject(ret);
}
`;

const result = (place) =>
  String.raw` +var r${place} = getDataViewMemory0\(\)\.getInt32\(retptr \+ 4 \* ${place}, true\);\n`;

/** How a function that may fail is called: the call, whether it gives something, and what is made of that. */
const ASKING = new RegExp(
  String.raw` +try \{\n +const retptr = wasm\.\w+\(-16\);\n((?:(?! try \{)[^])*?)${result(0)}${result(1)}(${result(2)})?` +
    String.raw` +if \(r[12]\) \{\n +throw takeObject\(r[01]\);\n +\}\n((?:(?! try \{)[^])*?) +\} finally \{\n` +
    String.raw` +wasm\.\w+\(16\);\n(?: +heap\[stack_pointer\+\+\] = undefined;\n)* +\}\n`,
  "g",
);

/** How text, or none, is handed to the module. */
const GIVING_TEXT = new RegExp(
  String.raw`(?:const|var) ptr1 = (?:isLikeNone\(ret\) \? 0 : )?passStringToWasm0\(ret, [^;]+;\n` +
    String.raw` +(?:const|var) len1 = WASM_VECTOR_LEN;\n` +
    String.raw` +getDataViewMemory0\(\)\.setInt32\(arg0 \+ 4 \* 1, len1, true\);\n` +
    String.raw` +getDataViewMemory0\(\)\.setInt32\(arg0 \+ 4 \* 0, ptr1, true\);`,
  "g",
);

const renamed = shortenWasm(readFileSync(wasmFile));
const [enums, shortened] = shortenGlue(readFileSync(glueFile, "utf8"), renamed);
const types = readFileSync(typesFile, "utf8").replace(
  /export interface InitOutput \{[^}]*\}/,
  "export type InitOutput = WebAssembly.Exports;",
);
writeFileSync(wasmFile, renamed.bytes);
writeFileSync(glueFile, shortened);
writeFileSync(join(folder, "enums.ts"), enums);
writeFileSync(typesFile, types);

/** `{bytes, modules, exports}`: `modules` maps a module's name to `{short, names}`, where `names` maps old to new. */
function shortenWasm(bytes) {
  const modules = new Map();
  const exports = new Map();
  const kept = [];
  for (const { id, start, end } of sectionsOf(bytes)) {
    const body = bytes.subarray(start, end);
    if (id === IMPORT_SECTION) kept.push([id, rewriteImports(body, modules)]);
    else if (id === EXPORT_SECTION) kept.push([id, rewriteExports(body, exports)]);
    else if (id !== 0) kept.push([id, body]);
  }
  return { bytes: moduleOf(kept), modules, exports };
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
  let glue = withoutFreeing(source).replace(
    /^ {8}([\w$]+)(: function[\s\S]*?^ {8}\}(?:, arguments\); \})?,\n)/gm,
    (_, name, rest) => {
      // What wasm-opt has found unused.
      if (!own.has(name)) return "";
      used.add(name);
      return `        ${own.get(name)}${asArrow(rest)}`;
    },
  );
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
  return enumsApart(withoutSpares(sayOnce(glue)));
}

/** What needs no `this` and no `arguments` is shorter as an arrow function. */
function asArrow(rest) {
  return /\b(this|arguments)\b/.test(rest) ? rest : rest.replace(/^: function(\([^)]*\))/, ": $1 =>");
}

function replaced(glue, pattern, by) {
  const rewritten = glue.replace(pattern, by);
  if (rewritten === glue) throw new Error(`nothing in the glue is like ${pattern}`);
  return rewritten;
}

/** Stores and schemas live as long as the page. */
function withoutFreeing(source) {
  return [
    /^ {4}__destroy_into_raw\(\) \{[^]*?^ {4}\}\n(?: {4}\/\*\*[^]*?\*\/\n)? {4}free\(\) \{[^]*?^ {4}\}\n/gm,
    /^if \(Symbol\.dispose\) .*\n/gm,
    /^const \w+HandleFinalization = [^]*?;\n/gm,
    /^ +\w+HandleFinalization\.register\(.*\n/gm,
  ].reduce((glue, pattern) => replaced(glue, pattern, ""), source);
}

/** Says in `HELPERS` what nearly every function says. */
function sayOnce(glue) {
  const found = (pattern) => {
    const [, name] = pattern.exec(glue) ?? [];
    if (name === undefined) throw new Error(`nothing in the glue is like ${pattern}`);
    return name;
  };
  const helpers = HELPERS.replaceAll("STACK", found(/const retptr = (wasm\.\w+)\(-16\);/))
    .replace("MALLOC", found(/passStringToWasm0\(\w+, (wasm\.\w+), wasm\.\w+\)/))
    .replace("REALLOC", found(/passStringToWasm0\(\w+, wasm\.\w+, (wasm\.\w+)\)/));
  const rules = [
    [ASKING, (_, call, valued, rest) => asked(call, valued, rest)],
    [GIVING_TEXT, "giveText(arg0, ret);"],
    [/return isLikeNone\(ret\) \? 0 : addHeapObject\(ret\);/g, "return addOptional(ret);"],
  ];
  return rules.reduce((rest, [pattern, by]) => replaced(rest, pattern, by), glue) + helpers;
}

function asked(call, valued, rest) {
  const asking = `ask((retptr) => {\n${call}}, ${valued ? 2 : 1});\n`;
  return valued ? `const r0 = ${asking}${rest}` : asking;
}

/** The package loads the module in one way only, and runs nowhere where `encodeInto` is missing. */
function withoutSpares(source) {
  return [
    [/export \{ initSync, (__wbg_init as default \};)/, "export { $1"],
    [/if \(Object\.getPrototypeOf\(module_or_path\) === Object\.prototype\) (\{[^}]*\}[^}]*\}) else \{[^}]*\}/, "$1"],
    [/^if \(!\('encodeInto' in cachedTextEncoder\)\) \{[^]*?^\}\n/m, ""],
    [/ +if \(realloc === undefined\) \{[^]*?return ptr;\n +\}\n/, ""],
  ].reduce((glue, [pattern, by]) => replaced(glue, pattern, by), source);
}

/** The enums as TypeScript's, and the glue without them. */
function enumsApart(glue) {
  const apart = [];
  const rest = replaced(glue, /^export const (\w+) = Object\.freeze\(\{\n([^]*?)^\}\);\n/gm, (_, name, values) => {
    const members = [...values.matchAll(/^ {4}(\w+): (\d+), "/gm)].map(([, member, value]) => `${member} = ${value}`);
    apart.push(`export enum ${name} { ${members.join(", ")} }\n`);
    return "";
  });
  return [apart.join(""), `export * from "./enums.ts";\n${rest}`];
}

/** a, b, … z, A, … Z, aa, ba, … */
function nth(index) {
  const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const rest = Math.floor(index / LETTERS.length);
  return LETTERS[index % LETTERS.length] + (rest > 0 ? nth(rest - 1) : "");
}
