/** A redis-server that is killed and started again under load: typed errors, nothing lost that was acknowledged, nobody logged out. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { RedisStorage } from "../../examples/redis/storage.js";
import init, { ConcordiaError, Schema, Session, StateClientStorage, Store } from "../../pkg/index.js";
import { until } from "../e2e/support/browser.js";
import { startAuthorizationServer } from "./support/authorization-server.js";
import { startRedis } from "./support/redis-server.js";

const KILLS = 20;
const USERS = 5;
/** What may go wrong while Redis is gone: its storage. */
const TYPED = ["E_STATE_STORAGE"];

test(`redis-server killed and started again ${KILLS} times under load`, { timeout: 240_000 }, async (t) => {
  await init();
  const [redis, server] = await Promise.all([startRedis(), startAuthorizationServer({ expiresIn: 1 })]);
  const storage = new RedisStorage({ url: redis.url, onError() {} });
  t.after(() => Promise.all([storage.close(), redis.close(), server.close()]));
  const session = new Session({ ...server.options, storage, storageTimeout: 500, httpTimeout: 2000 });
  const users = Array.from({ length: USERS }, (_, nth) => `user-${nth}`);
  for (const user of users) {
    const back = await server.logIn(session.getAuthUrl(), user);
    await session.handleAuthorizationCodeRequest(user, { url: back });
  }
  const client = () => new StateClientStorage({ storage, userId: "user-0" });
  const schema = () => new Schema({ properties: { name: String } });
  const store = new Store({ name: "under-load", schema: schema(), clientStorage: client() });
  await store.onceLoaded();

  const failures = new Map();
  const acknowledged = [];
  let calls = 0;
  let going = true;
  const load = users.map(async (user) => {
    while (going) {
      try {
        calls++;
        assert.equal(await session.isAuthorized(user), true, "nobody is logged out");
        const token = await session.getAccessToken(user);
        assert.ok(server.secrets.has(token));
      } catch (error) {
        assert.ok(error instanceof ConcordiaError, error.stack);
        assert.ok(TYPED.includes(error.code), error.stack);
        failures.set(error.code, (failures.get(error.code) ?? 0) + 1);
      }
      await sleep(10);
    }
  });
  const edits = (async () => {
    for (let nth = 0; going; nth++) {
      const item = store.create({ name: `Item ${nth}` });
      item.onceStored().then(
        () => acknowledged.push(item.name),
        () => {},
      );
      await sleep(10);
    }
  })();
  for (let kill = 0; kill < KILLS; kill++) {
    await sleep(100 + 20 * (kill % 5));
    await redis.kill();
    await sleep(50);
    await redis.start();
  }
  // Once more with Redis there: what could not be stored while it was gone is stored, too.
  await until(() => store.status.durable && acknowledged.length > 50, { timeoutMs: 90_000, what: "edits are stored" });
  going = false;
  await Promise.all([...load, edits]);
  for (const user of users) assert.equal(server.whose(await session.getAccessToken(user)), user);
  await store.close();

  const again = new Store({ name: "under-load", schema: schema(), clientStorage: client() });
  await again.onceLoaded();
  const found = new Set(again.items.map(({ name }) => name));
  assert.deepEqual(
    acknowledged.filter((name) => !found.has(name)),
    [],
    "nothing is lost that was acknowledged",
  );
  assert.ok(failures.get("E_STATE_STORAGE") > 0, "the kills were noticed");
  assert.equal(server.counts.reused, 0, "no spent refresh token came again");
  assert.ok(server.counts.refresh_token > USERS, `${server.counts.refresh_token} refreshes in ${calls} calls`);
  await again.close();
});
