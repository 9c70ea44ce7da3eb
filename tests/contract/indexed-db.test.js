/** The package's own client storage passes the package's own suite, in Chromium, as somebody would run it in a page. */
/* global conformance -- of the page */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clientStorageSuite } from "../../pkg/conformance.js";
import { packedPage } from "../e2e/support/packed-page.js";

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

const site = packedPage(PAGE, () => window.conformance !== undefined);

/** Runs one case in the page. */
const runCase = (className, name) =>
  site.page.evaluate(
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
        assert.deepEqual(site.troubles.splice(0), [], "no error was left uncaught in the page");
      });
  });
