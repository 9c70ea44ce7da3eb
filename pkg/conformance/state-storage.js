// The cases for a state storage.

import { demand, demandSame, isError, show } from "./failing.js";
import { within } from "./subject.js";
import { CALL_LIMIT_MS, CONCURRENT, DIFFICULT_VALUES, KEEP_VALUES } from "./values.js";

/** Users whose ids are names that objects have, or that break where ids become keys, files or commands. */
const DIFFICULT_USERS = [
  "__proto__",
  "constructor",
  "hasOwnProperty",
  "toString",
  "",
  " ",
  "0",
  "1",
  "01",
  "a b/ü?#%",
  "../x",
  "*",
  "a:b",
  "new\nline",
  "日本語 🏳️‍🌈",
  "UPPER",
  "upper",
  "x".repeat(5000),
];

const BY_ID = "keep states under the whole id as text, for instance in a Map, never as properties of an object";
const NOTHING = "give undefined (or null) for a user who has no state";

/** What the package writes looks like this: tokens, logins that are under way, records of stores. */
const stateOf = (n) => ({
  concordia: 1,
  session: {
    access: `access-${n}`,
    refresh: `refresh-${n}`,
    expiresAt: 1_700_000_000_000 + n,
    renewAt: 1_699_999_999_000 + n,
  },
  stores: [["people", [["k1", { _id: "k1", name: `Row ${n}`, _sync: { pending: { action: "create" } } }]]]],
});

class StorageSubject {
  constructor(storage, handle, options) {
    this.storage = storage;
    this.made = handle;
    this.options = options;
    this.limit = options.timeoutMs ?? CALL_LIMIT_MS;
  }

  /** Ids reach a storage as text. */
  async call(storage, what, ...args) {
    let answer;
    try {
      answer = await within(this.limit, `\`${what}\``, () => storage[what](...args));
    } catch (error) {
      if (error?.name === "ConformanceError") throw error;
      demand(
        false,
        `\`${what}\` succeeds`,
        () => `it failed with ${show(error)}`,
        "find out why; states must not be lost",
      );
    }
    return answer;
  }

  get(user, storage = this.storage) {
    return this.call(storage, "get", user);
  }

  set(user, state, storage = this.storage) {
    return this.call(storage, "set", user, state);
  }

  async demandNothing(user, storage) {
    const found = await this.get(user, storage);
    demand(found === undefined || found === null, `user ${show(user)} has no state`, () => show(found), NOTHING);
  }

  async demandState(expected, user, remedy = KEEP_VALUES, storage = this.storage) {
    const found = await this.get(user, storage);
    demandSame(expected, found, "state", `the state of user ${show(user)} comes back as it was`, remedy);
  }
}

const CASES = [
  {
    name: "it has the methods `get` and `set`",
    async run({ storage }) {
      for (const name of ["get", "set"])
        demand(
          typeof storage?.[name] === "function",
          `there is a method \`${name}\``,
          () => show(storage?.[name]),
          `write \`${name}\``,
        );
    },
  },
  {
    name: "a user without a state has nothing",
    async run(subject) {
      await subject.demandNothing("nobody");
    },
  },
  {
    name: "a state comes back as it was, and can be replaced",
    async run(subject) {
      for (const n of [1, 2, 3]) {
        await subject.set("u", stateOf(n));
        await subject.demandState(stateOf(n), "u");
      }
    },
  },
  {
    name: "undefined deletes the state",
    async run(subject) {
      const remedy = "delete the state of a user when it is set to undefined";
      await subject.set("u", stateOf(1));
      await subject.set("u", undefined);
      const found = await subject.get("u");
      demand(found === undefined || found === null, "the state is gone", () => show(found), remedy);
      await subject.set("u", undefined);
      await subject.set("u", stateOf(2));
      await subject.demandState(stateOf(2), "u");
    },
  },
  {
    name: "values survive being stored",
    async run(subject) {
      const state = { ...stateOf(1), values: DIFFICULT_VALUES };
      await subject.set("u", state);
      await subject.demandState(state, "u");
    },
  },
  {
    name: "a large state survives",
    async run(subject) {
      const state = {
        concordia: 1,
        stores: [["s", Array.from({ length: 2000 }, (_, n) => [`k${n}`, { _id: `k${n}`, text: "ü".repeat(100) }])]],
      };
      await subject.set("u", state);
      await subject.demandState(state, "u", "keep states of at least a megabyte, or reject when one is too large");
    },
  },
  {
    name: "the state that was set is not changed",
    async run(subject) {
      const state = stateOf(1);
      await subject.set("u", state);
      demandSame(stateOf(1), state, "state", "the state that was handed over is as it was", "change nothing of it");
    },
  },
  {
    name: "a state that is set before the one before it is stored is the one that stays",
    async run(subject) {
      const sets = Array.from({ length: CONCURRENT }, (_, n) => subject.set("u", stateOf(n)));
      await Promise.all(sets);
      await subject.demandState(stateOf(CONCURRENT - 1), "u", "carry writes out in the order in which they come");
    },
  },
  {
    name: "users do not see each other's state, whatever their ids",
    manyUsers: true,
    async run(subject) {
      await Promise.all(DIFFICULT_USERS.map((user, n) => subject.set(user, stateOf(n))));
      for (const [n, user] of DIFFICULT_USERS.entries()) await subject.demandState(stateOf(n), user, BY_ID);
      for (const user of DIFFICULT_USERS.filter((_, n) => n % 2 === 0)) await subject.set(user, undefined);
      for (const [n, user] of DIFFICULT_USERS.entries())
        if (n % 2 === 0) await subject.demandNothing(user);
        else await subject.demandState(stateOf(n), user, BY_ID);
      await subject.demandNothing("__defineGetter__");
      await subject.demandNothing("undefined");
    },
  },
  {
    name: "many first calls at once all succeed",
    manyUsers: true,
    async run(subject) {
      const users = Array.from({ length: CONCURRENT }, (_, n) => `user ${n}`);
      await Promise.all(users.map((user, n) => subject.set(user, stateOf(n))));
      await Promise.all(users.map((user, n) => subject.demandState(stateOf(n), user)));
    },
  },
  {
    name: "everything is found after reopening",
    reopens: true,
    async run(subject) {
      await subject.set("u", stateOf(1));
      const again = await subject.made.reopen();
      await subject.demandState(stateOf(1), "u", "store what is set before `set` settles", again);
    },
  },
  {
    name: "a lock lets one work at a time, is given back when the work fails, and hands the work's own result on",
    locks: true,
    async run(subject) {
      const { storage } = subject;
      const others = [storage, subject.made.reopen ? await subject.made.reopen() : storage];
      let inside = 0;
      let most = 0;
      const work = async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inside--;
      };
      await Promise.all(
        Array.from({ length: CONCURRENT }, (_, n) => subject.call(others[n % 2], "lock", "name", subject.limit, work)),
      );
      demand(
        most === 1,
        "one work at a time",
        () => `${most} at a time`,
        "let `lock(name, ms, work)` wait until the other is done",
      );
      const error = new Error("the work failed");
      let came;
      await within(subject.limit, "`lock`", () =>
        storage.lock("name", subject.limit, async () => {
          throw error;
        }),
      ).catch((thrown) => {
        came = thrown;
      });
      demand(came === error && isError(came), "the work's own error", () => show(came), "reject as the work does");
      const value = await subject.call(storage, "lock", "name", subject.limit, async () => 7);
      demand(value === 7, "what the work gave", () => show(value), "settle as the work does");
    },
  },
];

const isHandle = (made) => typeof made?.storage === "object" && made.storage !== null;

/** The cases for a StateStorage. */
export function stateStorageSuite(options) {
  const { make, users = "many", reopens = false, locks = false } = options;
  const cases = CASES.filter(
    (each) => (!each.manyUsers || users === "many") && (!each.reopens || reopens) && (!each.locks || locks),
  );
  return cases.map(({ name, run }) => ({
    name,
    async run() {
      const made = await make();
      const handle = isHandle(made) ? made : { storage: made };
      try {
        await run(new StorageSubject(handle.storage, handle, options));
      } finally {
        await handle.close?.();
      }
    },
  }));
}
