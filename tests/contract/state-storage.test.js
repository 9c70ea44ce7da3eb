/** The package's suite for state storages: on those that must pass it, and on hostile ones, each of which some case must find. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import express from "express";
import expressSession from "express-session";
import { MemoryStateStorage } from "../../pkg/index.js";
import { stateStorageSuite } from "../../pkg/conformance.js";
import { RedisStorage as GuideStorage } from "../../examples/redis/guide-storage.js";
import { RedisStorage } from "../../examples/redis/storage.js";
import { startRedis } from "../session/support/redis-server.js";

let redis,
  site,
  origin,
  prefixes = 0;

before(async () => {
  redis = await startRedis();
  const app = express();
  app.use(expressSession({ secret: "test", resave: false, saveUninitialized: true }));
  app.use(express.json({ limit: "10mb" }));
  // As the guide has it: the storage is made for the request, on its session.
  app.use((req, res, next) => {
    req.storage = {
      get: () => req.session.state,
      set: (userId, state) => {
        req.session.state = state;
      },
    };
    next();
  });
  app.get("/state", async (req, res) => res.json({ state: await req.storage.get(req.session.id) }));
  app.put("/state", async (req, res) => {
    await req.storage.set(req.session.id, req.body.state);
    res.json({});
  });
  site = app.listen(0, "127.0.0.1");
  await once(site, "listening");
  origin = `http://127.0.0.1:${site.address().port}`;
});

after(async () => {
  site?.closeAllConnections();
  site?.close();
  await redis?.close();
});

/** The storage on `req.session`, one browser's, through requests. */
async function throughRequests() {
  let cookie;
  const ask = async (method, body) => {
    const headers = { ...(cookie && { cookie }), ...(body && { "Content-Type": "application/json" }) };
    const response = await fetch(`${origin}/state`, { method, headers, body });
    cookie ??= response.headers.get("set-cookie")?.split(";")[0];
    return response.json();
  };
  await ask("GET");
  let last = Promise.resolve();
  return {
    get: async () => (await ask("GET")).state,
    set(_, state) {
      last = last.then(() => ask("PUT", JSON.stringify({ state })));
      return last;
    },
  };
}

const hardened = () => {
  const prefix = `conformance-${++prefixes}:`;
  const opened = [];
  const open = () => {
    opened.push(new RedisStorage({ url: redis.url, prefix, onError() {} }));
    return opened.at(-1);
  };
  return { storage: open(), reopen: open, close: () => Promise.all(opened.map((storage) => storage.close())) };
};

/** It has one name for a user in all of Redis: a fresh one is an empty Redis. */
const guide = async () => {
  const opened = [];
  const open = () => {
    opened.push(new GuideStorage(redis.url));
    return opened.at(-1);
  };
  const storage = open();
  await storage.connect();
  await storage.client.flushAll();
  return { storage, reopen: open, close: () => Promise.all(opened.map(({ client }) => client?.disconnect())) };
};

const STORAGES = {
  MemoryStateStorage: { make: () => new MemoryStateStorage() },
  "the hardened storage on Redis": { make: hardened, reopens: true, locks: true },
  "the guide's storage on Redis": { make: guide, reopens: true },
  "the storage on express-session": { make: throughRequests, users: "one" },
};

for (const [what, options] of Object.entries(STORAGES))
  describe(what, () => {
    for (const { name, run } of stateStorageSuite(options)) test(name, run);
  });

/** What is wrong, and in which case it comes up. */
class Base {
  states = new Map();
  async get(user) {
    return structuredClone(this.states.get(user));
  }
  async set(user, state) {
    if (state === undefined) this.states.delete(user);
    else this.states.set(user, structuredClone(state));
  }
  async lock(name, ms, work) {
    const earlier = this.last ?? Promise.resolve();
    const run = earlier.then(work);
    this.last = run.catch(() => {});
    return run;
  }
}

const HOSTILE = [
  ["has no set", "it has the methods `get` and `set`", () => ({ get() {} })],
  [
    "gives everybody something",
    "a user without a state has nothing",
    () =>
      new (class extends Base {
        async get(user) {
          return (await super.get(user)) ?? {};
        }
      })(),
  ],
  [
    "forgets",
    "a state comes back as it was, and can be replaced",
    () =>
      new (class extends Base {
        async set() {}
      })(),
  ],
  [
    "keeps the first",
    "a state comes back as it was, and can be replaced",
    () =>
      new (class extends Base {
        async set(user, state) {
          if (!this.states.has(user)) await super.set(user, state);
        }
      })(),
  ],
  [
    "deletes nothing",
    "undefined deletes the state",
    () =>
      new (class extends Base {
        async set(user, state) {
          if (state !== undefined) await super.set(user, state);
        }
      })(),
  ],
  [
    "throws when it is to delete",
    "undefined deletes the state",
    () =>
      new (class extends Base {
        async set(user, state) {
          return super.set(user, JSON.parse(JSON.stringify(state)));
        }
      })(),
  ],
  [
    "keeps text shorter",
    "a large state survives",
    () =>
      new (class extends Base {
        async set(user, state) {
          if (JSON.stringify(state).length < 100_000) await super.set(user, state);
        }
      })(),
  ],
  [
    "drops what is null",
    "values survive being stored",
    () =>
      new (class extends Base {
        async set(user, state) {
          await super.set(user, state && JSON.parse(JSON.stringify(state), (_, value) => value ?? undefined));
        }
      })(),
  ],
  [
    "changes what it was given",
    "the state that was set is not changed",
    () =>
      new (class extends Base {
        async set(user, state) {
          await super.set(user, state);
          delete state?.session.refresh;
        }
      })(),
  ],
  [
    "writes in any order",
    "a state that is set before the one before it is stored is the one that stays",
    () =>
      new (class extends Base {
        wait = 100;
        async set(user, state) {
          await new Promise((resolve) => setTimeout(resolve, (this.wait -= 5)));
          await super.set(user, state);
        }
      })(),
  ],
  [
    "keeps states in an object",
    "users do not see each other's state, whatever their ids",
    () => {
      const states = {};
      return { get: (user) => states[user], set: (user, state) => void (states[user] = state) };
    },
  ],
  [
    "does not tell capitals apart",
    "users do not see each other's state, whatever their ids",
    () =>
      new (class extends Base {
        get(user) {
          return super.get(user.toLowerCase());
        }
        set(user, state) {
          return super.set(user.toLowerCase(), state);
        }
      })(),
  ],
  [
    "hands out a client that is not connected yet",
    "many first calls at once all succeed",
    () =>
      new (class extends Base {
        async set(user, state) {
          if (this.connecting && !this.connected) throw new Error("The client is closed");
          this.connecting = true;
          await new Promise((resolve) => setTimeout(resolve, 5));
          this.connected = true;
          await super.set(user, state);
        }
      })(),
  ],
  ["hangs", "a user without a state has nothing", () => ({ get: () => new Promise(() => {}), set() {} })],
  [
    "keeps for itself",
    "everything is found after reopening",
    () => ({ storage: new Base(), reopen: () => new Base() }),
  ],
  [
    "locks nothing",
    "a lock lets one work at a time, is given back when the work fails, and hands the work's own result on",
    () =>
      new (class extends Base {
        async lock(_, __, work) {
          return work();
        }
      })(),
  ],
  [
    "keeps the lock when the work fails",
    "a lock lets one work at a time, is given back when the work fails, and hands the work's own result on",
    () =>
      new (class extends Base {
        lock(_, __, work) {
          this.last = (this.last ?? Promise.resolve()).then(work);
          return this.last;
        }
      })(),
  ],
];

describe("a hostile storage is found:", () => {
  for (const [what, name, make] of HOSTILE)
    test(`one that ${what}`, async () => {
      const suite = stateStorageSuite({ make, reopens: true, locks: true, timeoutMs: 500 });
      await assert.rejects(
        suite.find((each) => each.name === name).run(),
        (error) => error.name === "ConformanceError" && /expected: .+What came: .+What to do: /s.test(error.message),
      );
    });

  test("and the one that they are made from passes", async () => {
    for (const { run } of stateStorageSuite({ make: () => new Base(), locks: true })) await run();
  });
});
