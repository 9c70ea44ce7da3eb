/**
 * Fresh pages to measure on. A page is loaded with one side's code, runs one step, and is closed.
 *
 * Every database has an origin of its own (`bench-7.localhost`), and with it files of its own: what one side has written
 * does not slow down the other's next write.
 */
export class Lab {
  #context;
  #port;
  #databases = 0;

  constructor(context, port, rows) {
    this.#context = context;
    this.#port = port;
    this.rows = rows;
  }

  /** A name that no database had before. */
  database = () => `bench-${++this.#databases}`;

  /** What `step(database, ...args)` of `page/<side>.js` returns, on a fresh page. */
  async run(side, step, database, ...args) {
    const page = await this.#open(database, `/page/bench.html?side=${side}`);
    await page.waitForFunction(() => window.side !== undefined);
    const result = await page.evaluate(([name, given]) => window.side[name](...given), [step, [database, ...args]]);
    await page.close();
    return result;
  }

  /** What the page at `path` sets as `window.result`. */
  async load(path, database) {
    const page = await this.#open(database, `${path}?database=${database}&rows=${this.rows}`);
    await page.waitForFunction(() => window.result !== undefined);
    const result = await page.evaluate(() => window.result);
    await page.close();
    return result;
  }

  async #open(database, path) {
    const page = await this.#context.newPage();
    page.setDefaultTimeout(120_000);
    page.on("pageerror", (error) => {
      throw new Error(`${path}: ${error.message}`, { cause: error });
    });
    await page.goto(`http://${database}.localhost:${this.#port}${path}`);
    return page;
  }
}
