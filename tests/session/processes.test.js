/** Sessions in several processes over a real Redis: one refresh for all, and processes killed at every step of one. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { RedisStorage as GuideStorage } from "../../examples/redis/guide-storage.js";
import { RedisStorage } from "../../examples/redis/storage.js";
import { Session } from "../../pkg/index.js";
import { startAuthorizationServer } from "./support/authorization-server.js";
import { startRedis } from "./support/redis-server.js";

const WORKER = fileURLToPath(new URL("support/worker.js", import.meta.url));
const PROCESSES = 4;
const CALLS = 50;
/** The kills leave claims and locks behind, and those are waited for. */
const LIMITS = { httpTimeout: 800, storageTimeout: 800 };
/** Of a machine that does other things as well nobody knows how long it takes for 200 calls. */
const PATIENT = { httpTimeout: 20_000, storageTimeout: 20_000 };

let redis, server;
const children = new Set();

before(async () => {
  redis = await startRedis();
  server = await startAuthorizationServer();
});
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await server?.close();
  await redis?.close();
});

class Worker {
  #child;

  static async start({ limits = LIMITS, ...given }) {
    const worker = new Worker();
    worker.#child = fork(WORKER, [
      JSON.stringify({ url: redis.url, options: { ...server.options, ...limits }, ...given }),
    ]);
    children.add(worker.#child);
    await once(worker.#child, "message");
    return worker;
  }

  /** What it answers; nothing if it dies over it. */
  async ask(ask, user, count) {
    const gone = once(this.#child, "exit").then(() => undefined);
    const answered = once(this.#child, "message").then(([message]) => message);
    this.#child.send({ ask, user, count });
    return Promise.race([answered, gone]);
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.send({ end: true });
    await gone;
  }
}

const open = (kind) =>
  kind === "guide" ? new GuideStorage(redis.url) : new RedisStorage({ url: redis.url, onError() {} });

/** Logs a user in, with an access token that has expired already if `expiresIn` says so. */
async function logIn(kind, user, expiresIn, limits) {
  const { session, close } = openSession(kind, limits);
  const back = await server.logIn(session.getAuthUrl(), user);
  server.lifetimes.set(user, expiresIn);
  await session.handleAuthorizationCodeRequest(user, { url: back });
  return { session, close };
}

for (const kind of ["guide", "hardened"])
  describe(`over the ${kind === "guide" ? "guide's storage" : "hardened storage"}`, () => {
    test(`${CALLS} calls in each of ${PROCESSES} processes with an expired token make one refresh`, async () => {
      const start = () => Worker.start({ storage: kind, limits: PATIENT });
      const workers = await Promise.all(Array.from({ length: PROCESSES }, start));
      try {
        for (const user of [`${kind}-one`, `${kind}-two`, `${kind}-three`]) {
          const { close } = await logIn(kind, user, 0, PATIENT);
          server.counts.refresh_token = server.counts.reused = 0;
          const answers = await Promise.all(workers.map((worker) => worker.ask("getAccessToken", user, CALLS)));
          assert.deepEqual(
            answers.flatMap(({ codes }) => codes),
            [],
          );
          const tokens = answers.flatMap(({ values }) => values);
          assert.equal(tokens.length, PROCESSES * CALLS);
          assert.equal(new Set(tokens).size, 1);
          assert.equal(server.whose(tokens[0]), user);
          assert.deepEqual([server.counts.refresh_token, server.counts.reused], [1, 0]);
          await close();
        }
      } finally {
        await Promise.all(workers.map((worker) => worker.end()));
      }
    });

    test("a process killed at any step of a refresh leaves the user logged in, or asked to log in again", async () => {
      const other = openSession(kind);
      const killed = async (killAt) => {
        const user = `${kind}-killed-${killAt}`;
        const { close } = await logIn(kind, user, 0);
        const victim = await Worker.start({ storage: kind, killAt });
        const survived = (await victim.ask("getAccessToken", user)) !== undefined;
        await victim.end();
        const isAuthorized = await other.session.isAuthorized(user);
        if (!isAuthorized) {
          const back = await server.logIn(other.session.getAuthUrl(), user);
          await other.session.handleAuthorizationCodeRequest(user, { url: back });
        }
        assert.equal(server.whose(await other.session.getAccessToken(user)), user);
        await close();
        return { survived, isAuthorized };
      };
      const outcomes = [];
      while (!outcomes.some(({ survived }) => survived)) {
        const next = Array.from({ length: PROCESSES }, (_, nth) => outcomes.length + nth + 1);
        outcomes.push(...(await Promise.all(next.map(killed))));
      }
      await other.close();
      const steps = outcomes.filter(({ survived }) => !survived).map(({ isAuthorized }) => isAuthorized);
      assert.ok(steps.length > 6, `only ${steps.length} steps`);
      // Killed before the request, or after its answer was stored: nothing is lost.
      assert.deepEqual([steps[0], steps.at(-1)], [true, true]);
      // Between the two the new tokens were in the dead process alone: from the request's arrival to the storage's answer.
      assert.ok(steps.filter((isAuthorized) => !isAuthorized).length <= 4, steps.join());
    });
  });

function openSession(kind, limits = LIMITS) {
  const storage = open(kind);
  const session = new Session({ ...server.options, ...limits, storage });
  return { session, close: () => (kind === "guide" ? storage.client.disconnect() : storage.close()) };
}
