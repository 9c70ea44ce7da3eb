/**
 * A real Chromium with a profile folder of its own, for tests that close, kill and reopen it.
 *
 * - `launch(profileDir)` → `{ context, page, close(), kill() }`. `kill()` ends every process of that browser with
 *   SIGKILL, as a power cut would, and settles when they are gone. The same folder can then be launched again.
 * - `freePort()` → a port of 127.0.0.1 on which nothing listens.
 * - `tempDir()` → a new empty folder outside the repository; the caller removes it with `removeDir(dir)`.
 * - `until(check)` → the first value of `check()` that is neither undefined nor false; an assertion that throws counts
 *   as not yet, and the last one thrown is the reason when the time is over.
 *
 * CHROMIUM names another browser than Debian's.
 */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const LOOK_AGAIN_MS = 50;

export async function launch(profileDir) {
  const context = await chromium.launchPersistentContext(profileDir, {
    executablePath: EXECUTABLE,
    args: ["--no-sandbox"],
    colorScheme: "light",
    reducedMotion: "reduce",
    locale: "en-GB",
    viewport: { width: 1280, height: 800 },
  });
  const page = context.pages()[0] ?? (await context.newPage());
  return { context, page, close: () => context.close(), kill: () => kill(context, profileDir) };
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export const tempDir = () => mkdtemp(join(tmpdir(), "concordia-"));

/** A browser that was just killed may still be letting go of its files. */
export const removeDir = (dir) => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });

export async function until(check, { timeoutMs = 30_000, what = "the expected state" } = {}) {
  const end = Date.now() + timeoutMs;
  let cause;
  while (Date.now() < end) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      cause = error;
    }
    await sleep(LOOK_AGAIN_MS);
  }
  throw new Error(`${what}: not within ${timeoutMs} ms${cause ? `: ${cause.message}` : ""}`, { cause });
}

async function kill(context, profileDir) {
  const closed = new Promise((resolve) => context.once("close", resolve));
  for (const pid of await processesOf(profileDir)) sendKill(pid);
  await closed;
  await until(async () => (await processesOf(profileDir)).length === 0, { what: "the killed browser is gone" });
}

/** The browser and its children, found by the profile folder that only they were started with. */
async function processesOf(profileDir) {
  const names = await readdir("/proc");
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const own = await Promise.all(pids.map(async (pid) => (await commandOf(pid)).includes(`=${profileDir}`)));
  return pids.filter((pid, index) => own[index]);
}

async function commandOf(pid) {
  try {
    return await readFile(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function sendKill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}
