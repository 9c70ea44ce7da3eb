/** Stores with a session's middleware and with their rows in the state of a user, under Node: where the token goes, what a 401 does. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import init, {
  HttpTransporter,
  MemoryStateStorage,
  Schema,
  Session,
  StateClientStorage,
  Store,
  Transporter,
} from "../../pkg/index.js";
import { clientStorageSuite } from "../../pkg/conformance.js";
import { RedisStorage } from "../../examples/redis/storage.js";
import { until } from "../e2e/support/browser.js";
import { startAuthorizationServer } from "./support/authorization-server.js";
import { startRedis } from "./support/redis-server.js";

let server, redis;
const open = new Set();

before(async () => {
  await init();
  server = await startAuthorizationServer();
  redis = await startRedis();
});
after(async () => {
  await server.close();
  await redis.close();
});
beforeEach(() => {
  server.log.length = 0;
  for (const name of Object.keys(server.counts)) server.counts[name] = 0;
});
afterEach(async () => {
  for (const each of open) await each.close();
  open.clear();
});

const make = (options) => new Session({ ...server.options, storage: new MemoryStateStorage(), ...options });

async function logIn(session, user, login = user) {
  const back = await server.logIn(session.getAuthUrl(undefined, {}, user), login);
  await session.handleAuthorizationCodeRequest(user, { url: back });
}

let names = 0;

function people(session, user, { clientStorage, name = `people-${++names}`, baseUrl = `${server.origin}/api` } = {}) {
  const transporter = new HttpTransporter({ baseUrl, path: "people" });
  if (session) transporter.use(session.middleware(user));
  const schema = new Schema({ properties: { name: String } });
  const store = new Store({ schema, transporter, clientStorage, name });
  open.add(store);
  return store;
}

const requests = (method) =>
  server.log.filter((each) => each.url.startsWith("/api/") && (!method || each.method === method));

describe("the middleware of a session", () => {
  test("adds the token to what the store sends and fetches", async () => {
    const session = make();
    await logIn(session, "ada");
    const store = people(session, "ada");
    await store.onceLoaded();
    await store.create({ name: "Ada" }).onceSynced();
    assert.ok(requests().length >= 2);
    for (const request of requests()) assert.equal(request.login, "ada");
  });

  test("a 401 on several lanes at once makes one refresh, and nothing is sent twice", async () => {
    const session = make();
    await logIn(session, "lanes");
    const store = people(session, "lanes");
    await store.onceLoaded();
    server.expire();
    const items = Array.from({ length: 10 }, (_, nth) => store.create({ name: `Person ${nth}` }));
    await Promise.all(items.map((item) => item.onceSynced()));
    assert.equal(server.counts.refresh_token, 1);
    assert.equal(server.api.get("lanes").length, 10);
    assert.equal(store.status.connection, "online");
  });

  test("without a login the queue is held, no request leaves, and it goes on by itself after the login", async () => {
    const session = make();
    const store = people(session, "late");
    await store.onceLoaded().catch(() => {});
    const item = store.create({ name: "Late" });
    await until(() => store.status.connection === "held", { what: "the hold" });
    assert.equal(requests().length, 0);
    assert.equal(store.status.lastError.code, "E_UNAUTHORIZED");
    await logIn(session, "late");
    await item.onceSynced();
    assert.equal(store.status.connection, "online");
    assert.equal(server.api.get("late").length, 1);
    assert.ok(requests("POST").every(({ login }) => login === "late"));
  });

  test("a session that has ended at the server holds the queue; the next login sends it", async () => {
    const session = make();
    await logIn(session, "ended");
    const store = people(session, "ended");
    await store.onceLoaded();
    server.end("ended");
    const item = store.create({ name: "Ended" });
    await until(() => store.status.connection === "held", { what: "the hold" });
    assert.equal(await session.isAuthorized("ended"), false);
    assert.equal(server.counts.refresh_token, 1);
    await logIn(session, "ended");
    await item.onceSynced();
    assert.equal(server.api.get("ended").length, 1);
  });

  test("a login in another process, seen in the storage alone, ends the hold", async () => {
    const storage = new MemoryStateStorage();
    const session = make({ storage });
    const store = people(session, "elsewhere");
    const item = store.create({ name: "Elsewhere" });
    await until(() => store.status.connection === "held", { what: "the hold" });
    await storage.set("elsewhere", await stateAfterLogin("elsewhere"));
    await item.onceSynced();
  });

  test("a new token that is refused, too, is not refreshed again and again", async () => {
    const session = make();
    await logIn(session, "loop");
    const store = people(session, "loop");
    await store.onceLoaded();
    const refuse = ({ outgoing }) => {
      outgoing.writeHead(401).end();
    };
    for (let times = 0; times < 20; times++) server.answer("api", refuse);
    const item = store.create({ name: "Loop" });
    await until(() => store.status.connection === "held", { what: "the hold" });
    assert.equal(server.counts.refresh_token, 1);
    assert.equal(requests("POST").length, 2);
    while (server.drop("api"));
    store.resume();
    await item.onceSynced();
  });

  test("who is not logged in holds up nobody else on the same server", async () => {
    const session = make();
    await logIn(session, "in");
    const [held, free] = [people(session, "out"), people(session, "in")];
    held.create({ name: "Waits" });
    await until(() => held.status.connection === "held", { what: "the hold" });
    await free.create({ name: "Goes" }).onceSynced();
    assert.deepEqual([held.status.connection, free.status.connection], ["held", "online"]);
  });

  test("an authorisation server that cannot be reached, and a storage that fails, are no logout: it is tried again", async () => {
    const storage = new MemoryStateStorage();
    const session = make({ storage });
    server.lifetimes.set("patient", 0);
    await logIn(session, "patient");
    for (let times = 0; times < 20; times++) server.answer("token", ({ outgoing }) => outgoing.destroy());
    const store = people(session, "patient");
    const item = store.create({ name: "Patient" });
    await until(() => store.status.connection === "offline", { what: "offline" });
    while (server.drop("token"));
    await item.onceSynced();
    const { get } = storage;
    let fails = true;
    storage.get = async (user) => {
      if (fails) throw new Error("no");
      return get.call(storage, user);
    };
    const other = store.create({ name: "Still" });
    await until(() => store.status.connection === "offline", { what: "offline" });
    fails = false;
    await other.onceSynced();
    assert.equal(await session.isAuthorized("patient"), true);
  });

  test("the token goes to the transporter's own origin and path, and no redirect takes it elsewhere", async () => {
    const thief = [];
    const other = createServer((incoming, outgoing) => {
      thief.push({ url: incoming.url, headers: incoming.headers });
      outgoing.setHeader("Content-Type", "application/json");
      outgoing.end("[]");
    }).listen(0, "127.0.0.1");
    await once(other, "listening");
    const elsewhere = `http://127.0.0.1:${other.address().port}`;
    const [one, two] = [make(), make()];
    await logIn(one, "canary");
    await logIn(two, "other");
    const canary = await one.getAccessToken("canary");
    // Two transporters on two origins, each with a session of its own.
    const mine = people(one, "canary");
    const theirs = people(two, "other", { baseUrl: `${elsewhere}/api` });
    await Promise.all([mine.onceLoaded(), theirs.onceLoaded()]);
    // A redirect from the one to the other.
    for (const status of [301, 302, 307, 308])
      server.answer("api", ({ outgoing }) => {
        outgoing.writeHead(status, { Location: `${elsewhere}/stolen` });
        outgoing.end();
      });
    await mine.fetch().catch(() => {});
    // A middleware that sends requests astray.
    const targets = [
      `${elsewhere}/api/people`,
      `${server.origin}/api/peoples`,
      `${server.origin}/api/people/../other`,
      `${server.origin}/api/people/%2e%2e/other`,
      `${server.origin}@${elsewhere.slice(7)}/api/people`,
    ];
    const tokens = [canary];
    for (const [nth, url] of targets.entries()) {
      const session = make();
      await logIn(session, "canary");
      tokens.push(await session.getAccessToken("canary"));
      const headers = [];
      const astray = new HttpTransporter({ baseUrl: `${server.origin}/api`, path: "people" })
        .use({ name: "astray", send: ({ req }) => ({ ...req, url }) })
        .use(session.middleware("canary"))
        .use({ name: "look", send: ({ req }) => void headers.push(req.headers.Authorization) });
      const schema = new Schema({ properties: { name: String } });
      const store = new Store({ schema, transporter: astray, name: `astray-${nth}` });
      await store.onceLoaded().catch(() => {});
      await store.close();
      assert.ok(headers.length > 0);
      assert.ok(
        headers.every((header) => header === undefined),
        url,
      );
    }
    assert.ok(thief.length > 0);
    const told = JSON.stringify(thief);
    for (const token of tokens) assert.ok(!told.includes(token), told);
    assert.ok(JSON.stringify(requests()).includes(canary));
    other.closeAllConnections();
    other.close();
  });

  test("a transporter that does not say where its requests go needs `url`", async () => {
    class Rpc extends Transporter {
      constructor(url) {
        super();
        this.url = url;
      }
      _prepareFetch() {
        return { url: this.url, headers: { authorization: "old" } };
      }
      async _fetch({ url, headers }) {
        return (await fetch(url, { headers })).json();
      }
      _prepareSend() {
        return {};
      }
      _send() {}
    }
    const session = make();
    await logIn(session, "rpc");
    const url = `${server.origin}/api/people`;
    for (const [options, works] of [
      [undefined, false],
      [{ url: `${server.origin}/api` }, true],
    ]) {
      const transporter = new Rpc(url).use(session.middleware("rpc", options));
      const store = new Store({
        schema: new Schema({ properties: { name: String } }),
        transporter,
        name: `rpc-${++names}`,
      });
      open.add(store);
      await store.onceLoaded().catch(() => {});
      assert.equal(
        requests().some(({ login }) => login === "rpc"),
        works,
      );
    }
  });
});

async function stateAfterLogin(user) {
  const states = new Map();
  const session = make({
    storage: { get: async (id) => states.get(id), set: async (id, state) => void states.set(id, state) },
  });
  await logIn(session, user);
  return states.get(user);
}

/** Counts what is written. */
class Counting {
  sets = [];
  #states = new Map();
  async get(user) {
    return structuredClone(this.#states.get(user));
  }
  async set(user, state) {
    this.sets.push(user);
    // As JSON, so that nothing is kept that JSON cannot carry.
    this.#states.set(user, state && JSON.parse(JSON.stringify(state)));
  }
}

describe("StateClientStorage over a storage of JSON", () => {
  for (const { name, run } of clientStorageSuite({
    make() {
      const options = { storage: new Counting(), userId: "u" };
      return { clientStorage: new StateClientStorage(options), reopen: () => new StateClientStorage(options) };
    },
  }))
    test(name, run);
});

describe("the records of a user's stores", () => {
  test("what one turn writes, in all stores of the user, is one set", async () => {
    const storage = new Counting();
    const keep = () => new StateClientStorage({ storage, userId: 7 });
    const schema = () => new Schema({ properties: { name: String } });
    const stores = ["one", "two"].map(
      (name) => new Store({ name: `${name}-${++names}`, schema: schema(), clientStorage: keep() }),
    );
    await Promise.all(stores.map((store) => store.onceLoaded()));
    storage.sets.length = 0;
    const items = stores.flatMap((store) =>
      Array.from({ length: 20 }, (_, nth) => store.create({ name: String(nth) })),
    );
    await Promise.all(items.map((item) => item.onceStored()));
    assert.deepEqual(storage.sets, ["7"]);
    for (const store of stores) await store.close();
  });

  test("stores and sessions of one user, written at once, lose nothing of each other's", async () => {
    const storage = new Counting();
    const session = make({ storage });
    const schema = () => new Schema({ properties: { name: String } });
    const at = (name) =>
      new Store({ name, schema: schema(), clientStorage: new StateClientStorage({ storage, userId: "u" }) });
    const names_ = [`one-${++names}`, `two-${++names}`, "__proto__"];
    const stores = names_.map(at);
    await Promise.all(stores.map((store) => store.onceLoaded()));
    const work = stores.map(async (store) => {
      for (let nth = 0; nth < 20; nth++) {
        const item = store.create({ name: `${store.name} ${nth}` });
        if (nth % 3 === 0) await item.onceStored();
        if (nth % 5 === 4) store.items[0].remove();
      }
      await Promise.all(store.items.map((item) => item.onceStored()));
    });
    await Promise.all([...work, logIn(session, "u")]);
    const left = stores.map((store) => store.items.map(({ name }) => name).sort());
    for (const store of stores) await store.close();
    assert.equal(await session.isAuthorized("u"), true);
    const again = names_.map(at);
    await Promise.all(again.map((store) => store.onceLoaded()));
    assert.deepEqual(
      again.map((store) => store.items.map(({ name }) => name).sort()),
      left,
    );
    assert.equal(left[0].length, 16);
    await session.revokeToken("u");
    for (const store of again) await store.close();
    const third = at(names_[0]);
    await third.onceLoaded();
    assert.equal(third.items.length, 16, "a logout leaves the records");
    await third.close();
  });

  test("A → B → A over Redis: B sees and sends nothing of A, and A's queue is sent after A's return", async () => {
    const storage = new RedisStorage({ url: redis.url, onError() {} });
    const session = make({ storage });
    const at = (user) =>
      people(session, user, { name: "shared-name", clientStorage: new StateClientStorage({ storage, userId: user }) });
    // A works without a connection to the API.
    await logIn(session, "a");
    server.end("a");
    const first = at("a");
    await first.onceLoaded();
    const secret = first.create({ name: "secret of A" });
    await secret.onceStored();
    await until(() => first.status.connection === "held", { what: "the hold" });
    await first.close();
    // B signs in and works.
    server.log.length = 0;
    await logIn(session, "b");
    const second = at("b");
    await second.onceLoaded();
    assert.deepEqual([second.items.length, second.pending().length], [0, 0]);
    await second.create({ name: "of B" }).onceSynced();
    await second.flush();
    assert.ok(!JSON.stringify(requests("POST")).includes("secret of A"));
    assert.deepEqual(
      server.api.get("b").map(({ name }) => name),
      ["of B"],
    );
    await second.close();
    await session.revokeToken("b");
    // A comes back.
    const third = at("a");
    await third.onceLoaded();
    assert.deepEqual(
      third.items.map(({ name }) => name),
      ["secret of A"],
    );
    assert.equal(third.pending().length, 1);
    await logIn(session, "a");
    await third.items[0].onceSynced();
    assert.deepEqual(
      server.api.get("a").map(({ name }) => name),
      ["secret of A"],
    );
    assert.deepEqual(
      server.api.get("b").map(({ name }) => name),
      ["of B"],
    );
    await third.close();
    await storage.close();
  });
});
