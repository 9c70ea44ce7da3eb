/** The same for production: `docs/state-storage.md` says why of each difference. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";

const RELEASE = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;
const LOOK_AGAIN_MS = 25;

export class RedisStorage {
  #client;
  #connecting;
  #prefix;
  #ttlSeconds;

  /**
   * `url` of the server. `prefix` begins every key, so that users' ids meet no other keys. `ttlSeconds`: when the state of a user who does not
   * come back goes. `onError` hears of lost connections.
   */
  constructor({ url, prefix = "concordia:", ttlSeconds = 30 * 24 * 3600, onError = console.error }) {
    this.#client = createClient({
      url,
      // While there is no connection a command fails at once: kept back, it would be carried out when nobody waits for it any more.
      disableOfflineQueue: true,
      socket: { connectTimeout: 2000, reconnectStrategy: (tries) => Math.min(50 * 2 ** tries, 2000) },
    });
    // Without a listener, an error of the connection would end the process.
    this.#client.on("error", onError);
    this.#prefix = prefix;
    this.#ttlSeconds = ttlSeconds;
  }

  /** One connection, however many ask for it first; one that fails is tried again. */
  connect() {
    this.#connecting ??= this.#client.connect().catch((error) => {
      this.#connecting = undefined;
      throw error;
    });
    return this.#connecting;
  }

  async get(userId) {
    await this.connect();
    const state = await this.#client.get(`${this.#prefix}state:${userId}`);
    return state === null ? undefined : JSON.parse(state);
  }

  async set(userId, state) {
    await this.connect();
    const key = `${this.#prefix}state:${userId}`;
    if (state === undefined) await this.#client.del(key);
    else await this.#client.set(key, JSON.stringify(state), { EX: this.#ttlSeconds });
  }

  /** Does the work, which takes `ms` at most, while no other process does one of this name: what makes refreshes one over all
   *  processes. The lock of a process that died ends after that time. */
  async lock(name, ms, work) {
    await this.connect();
    const [key, token] = [`${this.#prefix}lock:${name}`, randomUUID()];
    const end = Date.now() + 2 * ms;
    while ((await this.#client.set(key, token, { NX: true, PX: ms })) === null) {
      if (Date.now() > end) throw new Error("another process keeps the lock");
      await sleep(LOOK_AGAIN_MS);
    }
    try {
      return await work();
    } finally {
      // One that is not given back ends by itself.
      await this.#client.eval(RELEASE, { keys: [key], arguments: [token] }).catch(() => {});
    }
  }

  async close() {
    if (this.#client.isOpen) await this.#client.disconnect();
  }
}
