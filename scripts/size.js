/**
 * What the package weighs on the wire: what a page loads of it, the module and the script, compressed with gzip level 9.
 * 1 kB is 1000 bytes. Exits with 1 above the limit, which the package is meant to keep.
 *
 * `--guard`: exits with 1 only above what the package weighed when it was last looked at, so that a test run shows what makes it
 * heavier while it is over the limit.
 */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { filesLoadedBy } from "./module-graph.js";

const LIMIT_BYTES = 90_000;
const GUARD_BYTES = 139_000;
const MODULE = "pkg/wasm/concordia_bg.wasm";

const weight = (file, bytes) => ({ file, raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length });
const sum = (file, rows) => ({
  file,
  raw: rows.reduce((total, row) => total + row.raw, 0),
  gzip: rows.reduce((total, row) => total + row.gzip, 0),
});

const files = [MODULE, ...filesLoadedBy("pkg/index.js").map((file) => relative(".", file))];
const loaded = files.map((file) => weight(file, readFileSync(file)));
const total = sum("total", loaded);
const rows = [...loaded, total];
const width = Math.max(...rows.map((row) => row.file.length));
const kB = (bytes) => (bytes / 1000).toFixed(1).padStart(8);
console.log(`${"file".padEnd(width)} ${"kB".padStart(8)} ${"gzip kB".padStart(8)}`);
for (const row of rows) console.log(`${row.file.padEnd(width)} ${kB(row.raw)} ${kB(row.gzip)}`);

const fits = total.gzip <= LIMIT_BYTES;
console.log(
  `\n${(total.gzip / 1000).toFixed(1)} kB of at most ${LIMIT_BYTES / 1000} kB: ${fits ? "fits" : "TOO LARGE"}`,
);
const guards = process.argv.includes("--guard");
if (guards && !fits) console.log(`the guard is at ${GUARD_BYTES / 1000} kB; see docs/adr/0004`);
process.exitCode = total.gzip <= (guards ? GUARD_BYTES : LIMIT_BYTES) ? 0 : 1;
