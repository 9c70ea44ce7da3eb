/**
 * What an acceptance test stands on: the packed package on a page, a server with faults, and browsers with profiles of their own.
 *
 * `await world(t, { cross })` → `{ server, open, profile }`; all of it ends with the test. With `cross` the page comes from an origin of
 * its own and goes on being served when the server is stopped; else the server serves it.
 * - `profile()` → an empty profile: `{ open(query), page, kill(), close() }`. `open` launches the browser if there is none, loads the page
 *   anew and settles when the package can be used. `close` closes the browser in an orderly way. `tab()` → one more page, opened.
 * - `open()` → the page of a profile of its own, opened.
 *
 * In the page: everything that the package exports, `people(http, store)` which makes the usual store, `told(store)`: what it says
 * of itself, as plain data, and `rejection(promise)`: what it says when it rejects.
 */
import { dirname } from "node:path";
import { launch, removeDir, tempDir } from "../../e2e/support/browser.js";
import { serve, unpack } from "../../e2e/support/packed-site.js";
import { FaultServer } from "./server.js";

export { until } from "../../e2e/support/browser.js";

/** What a page waits for in vain would be waited for without end: its browser is closed, and the test fails there. */
const WORLD_LIMIT_MS = 150_000;

/** Long enough for a machine that does other things as well: a test that has to wait so long has failed. */
export const LIMIT_MS = 60_000;

const PAGE = `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Acceptance</title>
  <script type="module">
    import init, * as concordia from "/concordia/index.js";

    await init();
    Object.assign(window, concordia);
    window.baseUrl = new URLSearchParams(location.search).get("api") ?? "/api";
    const properties = { name: String, city: String, age: Number, score: Number, note: String };
    window.people = (http = {}, store = {}) =>
      new Store({
        schema: new Schema({ properties }),
        transporter: new HttpTransporter({ baseUrl, path: "people", ...http }),
        clientStorage: new IndexedDbClientStorage(),
        ...store,
      });
    const fault = (error) =>
      error && { name: error.name, code: error.code, status: error.status, body: error.body, message: error.message };
    window.told = (store) => {
      const { storageError, lastError, ...status } = store.status;
      return {
        items: store.items.map((item) => ({ ...item.toJSON(), synced: item.synced, error: fault(item.error) })),
        pending: store.pending().map(({ item, action, state, attempts, idempotencyKey, reason }) => ({
          id: item.id, name: item.name, removed: item.removed, action, state, attempts, idempotencyKey, reason,
        })),
        status: { ...status, storageError: fault(storageError), lastError: fault(lastError) },
      };
    };
    window.rejection = (promise) => promise.then(() => undefined, fault);
    window.ready = true;
  </script>
</html>
`;

const BLANK = `<!doctype html><html lang="en"><title>Blank</title></html>`;

export async function world(t, { cross } = {}) {
  const ends = [];
  const limit = setTimeout(() => void endBrowsers(), WORLD_LIMIT_MS);
  t.after(async () => {
    clearTimeout(limit);
    for (const end of ends.reverse()) await end();
  });
  const folder = await unpack();
  ends.push(() => removeDir(dirname(folder)));
  const pages = { "/": PAGE, "/blank": BLANK };
  const site = await serve({ folder, pages });
  ends.push(() => site.close());
  const server = await new FaultServer({ cross, site: (path) => fetched(site, path) }).start();
  ends.push(() => server.stop());

  const address = (query) => {
    const url = new URL("/", cross ? site.origin : server.origin);
    if (cross) url.searchParams.set("api", `${server.origin}/api`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url.href;
  };
  const profiles = [];
  const endBrowsers = () => Promise.all(profiles.map((one) => one.close()));
  const profile = async () => {
    const dir = await tempDir();
    ends.push(() => removeDir(dir));
    const one = new Profile(dir, address);
    profiles.push(one);
    ends.push(() => one.close());
    return one;
  };
  return { server, profile, open: async () => (await profile()).open() };
}

class Profile {
  #dir;
  #address;
  #browser;
  page;

  constructor(dir, address) {
    this.#dir = dir;
    this.#address = address;
  }

  async open(query = {}) {
    await this.launch();
    return this.#load(this.page, query);
  }

  /** One more page beside the others; `blank`: of the site, but without the package. */
  async tab({ blank } = {}) {
    const context = await this.launch();
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    if (blank) await page.goto(new URL("/blank", this.#address({})).href);
    return blank ? page : this.#load(page, {});
  }

  async #load(page, query) {
    await page.goto(this.#address(query));
    await page.waitForFunction(() => window.ready, undefined, { timeout: LIMIT_MS });
    return page;
  }

  /** A browser without a page of the site. */
  async launch() {
    this.#browser ??= await launch(this.#dir);
    this.page = this.#browser.page;
    this.page.setDefaultTimeout(LIMIT_MS);
    return this.#browser.context;
  }

  async kill() {
    await this.#browser.kill();
    this.#browser = undefined;
  }

  async close() {
    await this.#browser?.close();
    this.#browser = undefined;
  }
}

/** A file of the site, for a server that shows it as its own. */
async function fetched(site, path) {
  const response = await fetch(`${site.origin}${path}`);
  if (!response.ok) return undefined;
  return { type: response.headers.get("Content-Type"), content: Buffer.from(await response.arrayBuffer()) };
}
