/**
 * A page that has the packed package, in a browser: what a test file sets up before its tests and puts away after them.
 *
 * `packedPage(html, isReady)` → `{ origin, context, page, troubles }`, filled before the first test. `html` is at the path "/" of a
 * site that has the package at `/concordia/`. `page` has gone there and `isReady` holds in it; without `isReady` nobody has
 * gone there yet. `troubles`: what no page of the browser has caught.
 */
import { dirname } from "node:path";
import { after, before } from "node:test";
import { launch, removeDir, tempDir } from "./browser.js";
import { serve, unpack } from "./packed-site.js";

export function packedPage(html, isReady) {
  const self = { troubles: [] };
  const putAway = [];
  before(async () => {
    const folder = await unpack();
    putAway.unshift(() => removeDir(dirname(folder)));
    const site = await serve({ folder, pages: { "/": html } });
    putAway.unshift(() => site.close());
    const profile = await tempDir();
    putAway.unshift(() => removeDir(profile));
    const browser = await launch(profile);
    putAway.unshift(() => browser.close());
    browser.context.on("weberror", (event) => self.troubles.push(event.error().message));
    Object.assign(self, { origin: site.origin, context: browser.context, page: browser.page });
    // Here, since hooks of a file do not wait for one another.
    if (isReady === undefined) return;
    await self.page.goto(self.origin);
    await self.page.waitForFunction(isReady);
  });
  after(async () => {
    for (const put of putAway) await put();
  });
  return self;
}
