/**
 * What the package weighs in an app: the module, and its scripts as a bundler leaves them (one file, minified, by esbuild),
 * compressed with gzip level 9: the measure that packages are commonly compared by. Without a bundler a page loads
 * the files as they are shipped; they are listed, too. 1 kB is 1000 bytes. Exits with 1 above the limit.
 */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { buildSync } from "esbuild";
import { gzipSync } from "node:zlib";
import { filesLoadedBy } from "./module-graph.js";

const LIMIT_BYTES = 90_000;
const MODULE = "pkg/wasm/concordia_bg.wasm";

const weight = (file, bytes) => ({ file, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length });
const sum = (file, rows) => ({
  file,
  raw: rows.reduce((total, row) => total + row.raw, 0),
  gzip: rows.reduce((total, row) => total + row.gzip, 0),
});

const { outputFiles } = buildSync({
  entryPoints: ["pkg/index.js"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["node:fs/promises"],
  write: false,
});
const wasm = weight(MODULE, readFileSync(MODULE));
const scripts = weight("scripts, bundled and minified", outputFiles[0].contents);
const shipped = filesLoadedBy("pkg/index.js").map((file) => weight(relative(".", file), readFileSync(file)));
const total = sum("total in an app", [wasm, scripts]);
const rows = [wasm, ...shipped, sum("total, as shipped", [wasm, ...shipped]), wasm, scripts, total];
const width = Math.max(...rows.map((row) => row.file.length));
const kB = (bytes) => (bytes / 1000).toFixed(1).padStart(8);
console.log(`${"file".padEnd(width)} ${"kB".padStart(8)} ${"gzip kB".padStart(8)}`);
for (const row of rows) console.log(`${row.file.padEnd(width)} ${kB(row.raw)} ${kB(row.gzip)}`);

const fits = total.gzip <= LIMIT_BYTES;
console.log(
  `\n${(total.gzip / 1000).toFixed(1)} kB of at most ${LIMIT_BYTES / 1000} kB: ${fits ? "fits" : "TOO LARGE"}`,
);
process.exitCode = fits ? 0 : 1;
