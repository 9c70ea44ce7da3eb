/**
 * Runs acceptance tests, each a file of its own and a program of its own: `node scripts/accept.js [NAME…]`, started by accept.sh, which
 * has built the package. Prints `PASS name`, or `FAIL name` with the first difference; the exit code says whether all passed.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";

const FOLDER = join("tests", "accept");
const ENDING = ".test.js";

const all = readdirSync(FOLDER)
  .filter((file) => file.endsWith(ENDING))
  .map((file) => file.slice(0, -ENDING.length));

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;

async function main(names) {
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    console.error(`No acceptance test is called ${unknown.join(", ")}. There are: ${all.join(", ")}.`);
    return false;
  }
  let failed = 0;
  for (const name of names.length > 0 ? names : all) if (!(await passes(name))) failed += 1;
  return failed === 0;
}

async function passes(name) {
  const started = performance.now();
  const failures = [];
  let passed = 0;
  for await (const { type, data } of run({ files: [join(FOLDER, name + ENDING)] })) {
    if (type === "test:fail") failures.push(data);
    else if (type === "test:pass") passed += 1;
    else if (type === "test:stderr") process.stderr.write(data.message);
  }
  const time = `(${((performance.now() - started) / 1000).toFixed(1)} s)`;
  if (failures.length === 0 && passed > 0) {
    console.log(`PASS ${name} ${time}`);
    return true;
  }
  console.log(`FAIL ${name} ${time}`);
  console.log(first(failures));
  return false;
}

/** What went wrong first: a test within a test is reported before the one around it. */
function first(failures) {
  if (failures.length === 0) return "  it ran no test";
  const { name, details } = failures[0];
  const error = details.error.cause ?? details.error;
  return `${name}\n${error.stack ?? error.message ?? error}`.replace(/^/gm, "  ");
}
