/**
 * What a page downloads for `import init from "concordia"`: the module, the glue and every script that index.js imports.
 * Each file is compressed on its own (gzip level 9), as servers send them, and counts as it is shipped: the glue minified,
 * the face as written. 1 kB is 1000 bytes. Exits with 1 above the limit.
 */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { filesLoadedBy } from "./module-graph.js";

const LIMIT_BYTES = 90_000;

const rows = ["pkg/wasm/concordia_bg.wasm", ...filesLoadedBy("pkg/index.js")].map((file) => {
  const bytes = readFileSync(file);
  return { file: relative(".", file), raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
});
const total = rows.reduce((sum, row) => ({ ...sum, raw: sum.raw + row.raw, gzip: sum.gzip + row.gzip }), {
  file: "total, as shipped",
  raw: 0,
  gzip: 0,
});

const width = Math.max(...[...rows, total].map((row) => row.file.length));
const kB = (bytes) => (bytes / 1000).toFixed(1).padStart(8);
console.log(`${"file".padEnd(width)} ${"kB".padStart(8)} ${"gzip kB".padStart(8)}`);
for (const row of [...rows, total]) console.log(`${row.file.padEnd(width)} ${kB(row.raw)} ${kB(row.gzip)}`);

const fits = total.gzip <= LIMIT_BYTES;
console.log(
  `\n${(total.gzip / 1000).toFixed(1)} kB of at most ${LIMIT_BYTES / 1000} kB: ${fits ? "fits" : "TOO LARGE"}`,
);
process.exitCode = fits ? 0 : 1;
