/**
 * A real Firefox, for what has to hold in a second engine. Playwright drives only a Firefox of its own making; puppeteer-core drives
 * the stock one, over WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/).
 *
 * - `launchFirefox()` → `{ open(url), evaluate(what, …args), close() }`, with a new empty profile that `close()` removes.
 * - `open(url)` loads the page in a tab of its own, and closes the one before it.
 * - `evaluate(what, …args)`: `what` is an expression as text, or a function that is called in the page with the
 *   arguments; settles with its value, awaited.
 *
 * FIREFOX names another browser than Debian's.
 */
import puppeteer from "puppeteer-core";
import { removeDir, tempDir } from "./browser.js";

const EXECUTABLE = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
/** Longer than any test waits: the tests have limits of their own, which say more. */
const PROTOCOL_LIMIT_MS = 180_000;

export async function launchFirefox() {
  const profile = await tempDir();
  let browser;
  try {
    browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: EXECUTABLE,
      headless: true,
      userDataDir: profile,
      protocolTimeout: PROTOCOL_LIMIT_MS,
    });
  } catch (error) {
    await removeDir(profile);
    throw error;
  }
  let page;
  return {
    async open(url) {
      const before = page;
      page = await browser.newPage();
      await before?.close();
      await page.goto(url);
    },
    evaluate: (what, ...args) => page.evaluate(what, ...args),
    async close() {
      await browser.close();
      await removeDir(profile);
    },
  };
}
