/** The package's own client storage passes the package's own suite, in Chromium, as somebody would run it in a page. */
/* global conformance -- of the page */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { clientStorageSuite } from "../../pkg/conformance.js";
import { launch, removeDir, tempDir } from "../e2e/support/browser.js";
import { serve, unpack } from "../e2e/support/packed-site.js";

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Conformance</title>
  <script type="module">
    import { IndexedDbClientStorage } from "/concordia/index.js";
    import { clientStorageSuite } from "/concordia/conformance.js";

    /** With a method of its own, the engine goes through page script; without one, straight to the database. */
    class Subclass extends IndexedDbClientStorage {
      async _fetch(names) {
        return super._fetch(names);
      }
    }

    const CLASSES = { IndexedDbClientStorage, Subclass };
    let databases = 0;
    window.conformance = (className) => {
      const Storage = CLASSES[className];
      return clientStorageSuite({
        make() {
          const options = { database: \`conformance-\${className}-\${++databases}\`, durability: "relaxed" };
          return { clientStorage: new Storage(options), reopen: () => new Storage(options) };
        },
      });
    };
  </script>
</html>
`;

let folder, site, profile, browser;
const troubles = [];

before(async () => {
  folder = await unpack();
  site = await serve({ folder, pages: { "/": PAGE } });
  profile = await tempDir();
  browser = await launch(profile);
  browser.page.on("pageerror", (error) => troubles.push(error.message));
  await browser.page.goto(site.origin);
  await browser.page.waitForFunction(() => window.conformance !== undefined);
});

after(async () => {
  await browser?.close();
  await site?.close();
  if (profile) await removeDir(profile);
  if (folder) await removeDir(dirname(folder));
});

/** Runs one case in the page. */
const runCase = (className, name) =>
  browser.page.evaluate(
    async ([of, wanted]) => {
      const { run } = conformance(of).find((each) => each.name === wanted);
      return run().then(
        () => "passed",
        (error) => error.stack,
      );
    },
    [className, name],
  );

for (const className of ["IndexedDbClientStorage", "Subclass"])
  describe(`${className} in Chromium`, () => {
    // The names are the same everywhere; what is made is made in the page.
    for (const { name } of clientStorageSuite({ make: () => ({}) }))
      test(name, async () => {
        assert.equal(await runCase(className, name), "passed");
        assert.deepEqual(troubles.splice(0), [], "no error was left uncaught in the page");
      });
  });
