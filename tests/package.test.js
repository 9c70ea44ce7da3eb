// The tarball that `npm pack ./pkg` makes: what is in it, and that it works where nothing else of the project is.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { filesLoadedBy, filesLoadedLaterBy } from "../scripts/module-graph.js";

const call = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("../pkg", import.meta.url));
const LIMIT_MS = 60_000;

// A module without the engine in it, or one that the build left empty, is smaller than this.
const LEAST_WASM_BYTES = 10_000;
const ALWAYS = [
  "package.json",
  "README.md",
  "LICENSE-MIT",
  "LICENSE-APACHE",
  "index.js",
  "index.d.ts",
  "wasm/concordia_bg.wasm",
];
const ALLOWED = ["CHANGELOG.md", "wasm/concordia_bg.wasm.d.ts"];

/** An app's folder with nothing but the unpacked tarball in its node_modules. */
let app;
let installed;
let packed;

before(async () => {
  app = mkdtempSync(join(tmpdir(), "concordia-package-"));
  installed = join(app, "node_modules", "concordia");
  mkdirSync(installed, { recursive: true });
  const { stdout } = await call("npm", ["pack", PACKAGE, "--json", "--ignore-scripts", "--pack-destination", app]);
  [packed] = JSON.parse(stdout);
  // By hand, so that the test asks no registry: the package has no dependency that is needed.
  await call("tar", ["-xzf", join(app, packed.filename), "-C", installed, "--strip-components=1"]);
});

after(() => rmSync(app, { recursive: true, force: true }));

test("the tarball holds every file that the package needs", () => {
  const names = packed.files.map((file) => file.path);
  assert.deepEqual(
    ALWAYS.filter((name) => !names.includes(name)),
    [],
    "missing from the tarball",
  );
  assert.ok(statSync(join(installed, "wasm/concordia_bg.wasm")).size > LEAST_WASM_BYTES);
  assert.equal(readFileSync(join(installed, "wasm/concordia_bg.wasm")).subarray(0, 4).toString("latin1"), "\0asm");
});

test("the tarball holds all that its entry points name or import, and nothing else", () => {
  const files = entryPoints().flatMap((entry) => (entry.endsWith(".js") ? loadedBy(entry) : [entry]));
  for (const file of files) assert.ok(existsSync(join(installed, file)), `${file} is missing from the tarball`);

  const types = files.filter((file) => file.endsWith(".js")).map((file) => file.replace(/\.js$/, ".d.ts"));
  const expected = new Set([...ALWAYS, ...ALLOWED, ...files, ...types]);
  assert.deepEqual(
    allFiles(installed).filter((file) => !expected.has(file)),
    [],
    "in the tarball, but nothing refers to it",
  );
});

test("the package has no dependency and runs no script when it is installed", () => {
  const manifest = readManifest();
  assert.equal(manifest.name, "concordia");
  assert.equal(manifest.type, "module");
  assert.equal(manifest.license, "MIT OR Apache-2.0");
  assert.equal(manifest.private, undefined);
  assert.deepEqual(Object.keys(manifest.dependencies ?? {}), []);
  for (const script of ["preinstall", "install", "postinstall"]) assert.equal(manifest.scripts?.[script], undefined);
});

test("the package names the same version as the crate", () => {
  const crate = readFileSync(new URL("../Cargo.toml", import.meta.url), "utf8");
  assert.equal(readManifest().version, crate.match(/^version = "(.+)"$/m)[1]);
});

test("under Node, the default export loads the module and a store without targets takes an item", async () => {
  const result = await runInApp(`
    import init, { Schema, Store } from "concordia";
    await init();
    await init();
    const store = new Store({ schema: new Schema({ properties: { name: String } }) });
    const ada = store.create({ name: "Ada" });
    await store.onceLoaded();
    const result = { count: store.items.length, name: store.items[0].name, same: store.items[0] === ada };
    await store.close();
    console.log(JSON.stringify(result));
  `);
  assert.deepEqual(result, { count: 1, name: "Ada", same: true });
});

test("a store that is constructed before the module is loaded throws E_NOT_INITIALISED and says what to do", async () => {
  const result = await runInApp(`
    import { ConcordiaError, Schema, Store } from "concordia";
    let thrown;
    try {
      new Store({ schema: new Schema({ properties: { name: String } }) });
    } catch (error) {
      thrown = error;
    }
    const isOurs = thrown instanceof ConcordiaError && thrown instanceof Error;
    console.log(JSON.stringify({ isOurs, code: thrown?.code, saysInit: /init\\(\\)/.test(thrown?.message) }));
  `);
  assert.deepEqual(result, { isOurs: true, code: "E_NOT_INITIALISED", saysInit: true });
});

/** Runs a module in the app's folder and reads the JSON that it prints. It must end by itself. */
async function runInApp(source) {
  const { stdout } = await call(process.execPath, ["--input-type=module", "-e", source], {
    cwd: app,
    timeout: LIMIT_MS,
  });
  return JSON.parse(stdout);
}

function readManifest() {
  return JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
}

/** Every file that package.json's `exports`, `main` and `types` name, whatever the conditions. */
function entryPoints() {
  const { exports, main, types } = readManifest();
  const leaves = (value) => (value && typeof value === "object" ? Object.values(value).flatMap(leaves) : [value]);
  const named = leaves([exports, main, types]).filter((value) => typeof value === "string");
  assert.ok(named.length > 0, "package.json names no entry point");
  return [...new Set(named.map((name) => name.replace(/^\.\//, "")))];
}

function loadedBy(entry) {
  const path = join(installed, entry);
  return [...filesLoadedBy(path), ...filesLoadedLaterBy(path)].map((file) => relative(installed, file));
}

function allFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((found) => found.isFile())
    .map((found) => relative(folder, join(found.parentPath ?? found.path, found.name)))
    .sort();
}
