/**
 * Which files an ES module brings with it: itself and all that it imports by a relative address, and those import. It
 * reads static `import` and `export … from` at the beginning of a line, which is how the package is written and how
 * the glue is generated; it does not follow bare names or `import()`.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

const BLOCK_COMMENT = /^[ \t]*\/\*[\s\S]*?\*\//gm;
const LATER_IMPORT = /\bimport\(\s*["'](\.{1,2}\/[^"']+)["']\s*\)/g;
const STATIC_IMPORT = /^(?:import|export)\s*(?:[\w$*\s{},]*?\bfrom\s*)?["'](\.{1,2}\/[^"']+)["']/gm;

/** Absolute paths, entry first, each once. Throws when one of the files is not there. */
export function filesLoadedBy(entry) {
  const files = new Set([resolve(entry)]);
  for (const file of files) {
    for (const imported of relativeImports(readFileSync(file, "utf8"))) files.add(resolve(dirname(file), imported));
  }
  return [...files];
}

/** Those that a script loads when it needs them, by `import("./…")` with the address in it. */
export function filesLoadedLaterBy(entry) {
  const sources = filesLoadedBy(entry).map((file) => [file, readFileSync(file, "utf8")]);
  return sources.flatMap(([file, source]) =>
    [...source.matchAll(LATER_IMPORT)].map(([, imported]) => resolve(dirname(file), imported)),
  );
}

function relativeImports(source) {
  return [...source.replace(BLOCK_COMMENT, "").matchAll(STATIC_IMPORT)].map((match) => match[1]);
}
