/** The guide's storage: connects once, keeps each user's state as JSON. `docs/state-storage.md` says what it leaves open. */
import { createClient } from "redis";

export class RedisStorage {
  constructor(url) {
    this.url = url;
  }

  async connect() {
    if (!this.client) {
      this.client = createClient({ url: this.url });
      await this.client.connect();
    }
  }

  async get(userId) {
    await this.connect();
    const state = await this.client.get(userId);
    return state ? JSON.parse(state) : undefined;
  }

  async set(userId, state) {
    await this.connect();
    if (state === undefined) await this.client.del(userId);
    else await this.client.set(userId, JSON.stringify(state));
  }
}
