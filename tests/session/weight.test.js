/** Who does not use sessions does not load what they do. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { build } from "esbuild";
import { filesLoadedBy } from "../../scripts/module-graph.js";

const bundled = async (source) => {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: new URL("../..", import.meta.url).pathname },
    ...{ bundle: true, splitting: true, format: "esm", minify: true, write: false, outdir: "out" },
    external: ["node:fs/promises"],
  });
  return outputFiles.map(({ path, text }) => ({ isEntry: path.endsWith("stdin.js"), text }));
};

test("a page that loads index.js does not load session.js", () => {
  const files = filesLoadedBy("pkg/index.js");
  assert.ok(files.length > 0 && !files.some((file) => file.endsWith("session.js")));
});

test("a bundler leaves sessions out of an app that does not use them, and apart from one that does", async () => {
  const without = await bundled('import init, { Store } from "concordia"; globalThis.app = [init, Store];');
  const entry = without.find(({ isEntry }) => isEntry);
  assert.ok(entry.text.length > 10_000);
  for (const word of ["code_challenge", "grant_type"]) assert.ok(!entry.text.includes(word), word);
  const using = await bundled('import { Session } from "concordia"; globalThis.app = Session;');
  assert.ok(using.find(({ isEntry }) => isEntry).text.includes("code_challenge"));
  assert.ok(!using.find(({ isEntry }) => isEntry).text.includes("grant_type"));
  assert.ok(using.some(({ isEntry, text }) => !isEntry && text.includes("grant_type")));
});

test("index.js and session.js are in the package", async () => {
  const { files, sideEffects } = JSON.parse(await readFile("pkg/package.json", "utf8"));
  assert.ok(files.includes("index.js") && files.includes("session.js"));
  assert.equal(sideEffects, false);
});
