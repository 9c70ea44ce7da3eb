/** Sessions under Node, against a strict authorisation server: what they ask, what they keep, what they refuse. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import { ConcordiaError, MemoryStateStorage, Session } from "../../pkg/index.js";
import { json, startAuthorizationServer } from "./support/authorization-server.js";

let server;
before(async () => {
  server = await startAuthorizationServer();
});
after(() => server.close());
beforeEach(() => {
  server.log.length = 0;
  server.expiresIn = 3600;
  server.rotate = true;
  server.issuer = false;
  for (const name of Object.keys(server.counts)) server.counts[name] = 0;
});

const code = (expected) => (error) => {
  assert.ok(error instanceof ConcordiaError, inspect(error));
  assert.equal(error.code, expected, error.message);
  return true;
};

/** A storage that other sessions can share, and that can be looked into. */
class Shared {
  states = new Map();
  async get(user) {
    return structuredClone(this.states.get(user));
  }
  async set(user, state) {
    if (state === undefined) this.states.delete(user);
    else this.states.set(user, structuredClone(state));
  }
}

const make = (options) => new Session({ ...server.options, storage: new Shared(), ...options });

async function loggedIn(session, user = "u", login = "ada") {
  const back = await server.logIn(session.getAuthUrl(undefined, {}, user), login);
  await session.handleAuthorizationCodeRequest(user, { url: back });
}

describe("a login", () => {
  test("the address is made at once, and carries state, scope and an S256 challenge, but no secret", () => {
    const url = new URL(make({ scope: "a b" }).getAuthUrl("my-state", { prompt: "login", client_id: "other" }));
    const query = Object.fromEntries(url.searchParams);
    assert.match(query.code_challenge, /^[\w-]{43}$/);
    delete query.code_challenge;
    assert.deepEqual(query, {
      prompt: "login",
      scope: "a b",
      response_type: "code",
      client_id: server.options.clientId,
      redirect_uri: server.options.redirectUrl,
      state: "my-state",
      code_challenge_method: "S256",
    });
    assert.ok(!url.href.includes(server.secret));
    const states = Array.from({ length: 50 }, () => new URL(make().getAuthUrl()).searchParams.get("state"));
    assert.equal(new Set(states).size, 50);
    assert.ok(states.every((state) => state.length >= 43));
  });

  test("the code is exchanged for tokens that are stored, and the user is authorised", async () => {
    const session = make();
    assert.equal(await session.isAuthorized("u"), false);
    const back = await server.logIn(session.getAuthUrl());
    await session.handleAuthorizationCodeRequest("u", { url: back });
    assert.equal(await session.isAuthorized("u"), true);
    assert.equal(server.whose(await session.getAccessToken("u")), "ada");
    assert.equal(await session.isAuthorized("v"), false);
    assert.equal(server.counts.refresh_token, 0);
  });

  for (const [what, requestOf] of [
    ["Node's", (back) => ({ url: new URL(back).pathname + new URL(back).search, headers: {} })],
    [
      "express's, below a router",
      (back) => ({ url: `/${new URL(back).search}`, originalUrl: new URL(back).pathname + new URL(back).search }),
    ],
    ["Fetch's", (back) => new Request(back)],
  ])
    test(`the request may be ${what}`, async () => {
      const session = make();
      const back = await server.logIn(session.getAuthUrl());
      await session.handleAuthorizationCodeRequest("u", requestOf(back));
      assert.equal(await session.isAuthorized("u"), true);
    });

  test("exchangeCodeForAccessToken takes the whole address, its end, or the bare code, and gives the token", async () => {
    for (const part of [(url) => url.href, (url) => url.search, (url) => url.searchParams.get("code")]) {
      const session = make();
      const back = await server.logIn(session.getAuthUrl());
      const token = await session.exchangeCodeForAccessToken("u", part(new URL(back)));
      assert.equal(server.whose(token), "ada");
    }
  });

  test("a state that nobody began, none, or one that was used is refused, and no request is made for it", async () => {
    const session = make();
    const back = await server.logIn(session.getAuthUrl());
    const forged = back.replace(/state=[^&]+/, "state=forged");
    const twice = `${back}&code=other`;
    for (const url of [forged, back.replace(/&?state=[^&]+/, ""), twice, "/callback?code=x", "/callback"])
      await assert.rejects(session.handleAuthorizationCodeRequest("u", { url }), code("E_AUTH_STATE"), url);
    await assert.rejects(session.exchangeCodeForAccessToken("u", forged), code("E_AUTH_STATE"));
    assert.equal(server.counts.authorization_code, 0);
    await session.handleAuthorizationCodeRequest("u", { url: back });
    await assert.rejects(session.handleAuthorizationCodeRequest("u", { url: back }), code("E_AUTH_STATE"));
    assert.equal(server.counts.authorization_code, 1);
    assert.equal(await session.isAuthorized("u"), true);
  });

  test("a login that was begun for one user is not taken from another", async () => {
    const session = make();
    const back = await server.logIn(session.getAuthUrl(undefined, {}, "attacker"));
    await assert.rejects(session.handleAuthorizationCodeRequest("victim", { url: back }), code("E_AUTH_STATE"));
    assert.equal(server.counts.authorization_code, 0);
    assert.equal(await session.isAuthorized("victim"), false);
  });

  test("with an instance for each request, a login that one user's request began is not taken from another", async () => {
    const inline = () => {
      const held = {};
      return { held, storage: { get: () => held.state, set: (_, state) => void (held.state = state) } };
    };
    const [attacker, victim] = [inline(), inline()];
    const begin = make({ storage: attacker.storage });
    assert.equal(await begin.isAuthorized("attacker"), false);
    const back = await server.logIn(begin.getAuthUrl());
    const forged = make({ storage: victim.storage });
    await assert.rejects(forged.handleAuthorizationCodeRequest("victim", { url: back }), code("E_AUTH_STATE"));
    assert.equal(await make({ storage: victim.storage }).isAuthorized("victim"), false);
  });

  test("the login is in the state of its user at once where the storage answers at once", async () => {
    const held = {};
    const storage = { get: () => held.state, set: (_, state) => void (held.state = state) };
    const session = make({ storage });
    assert.equal(await session.isAuthorized("u"), false);
    const url = session.getAuthUrl();
    assert.equal(held.state.logins[0][0], new URL(url).searchParams.get("state"));
  });

  test("a login outlives the process that began it, if its user was given", async () => {
    const storage = new Shared();
    const { execFileSync } = await import("node:child_process");
    const program = `
      import { Session } from ${JSON.stringify(new URL("../../pkg/index.js", import.meta.url).href)};
      let state;
      const storage = { get: () => state, set: (_, next) => void (state = next) };
      const url = new Session({ ...${JSON.stringify(server.options)}, storage }).getAuthUrl(undefined, {}, "u");
      console.log(JSON.stringify({ url, state }));
    `;
    const { url, state } = JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", program]));
    storage.states.set("u", state);
    await make({ storage }).handleAuthorizationCodeRequest("u", { url: await server.logIn(url) });
    assert.equal(await make({ storage }).isAuthorized("u"), true);
    assert.equal(storage.states.get("u").logins, undefined);
  });

  test("a login that the person refuses is E_AUTH and says what the server said", async () => {
    const session = make();
    const back = await server.logIn(session.getAuthUrl(), "nobody");
    await assert.rejects(session.handleAuthorizationCodeRequest("u", { url: back }), (error) => {
      assert.deepEqual([error.code, error.body], ["E_AUTH", { error: "access_denied" }]);
      return true;
    });
  });

  test("an answer from another issuer is refused (RFC 9207)", async () => {
    for (const [issuer, options, isTaken] of [
      [true, {}, true],
      ["https://attacker.example", {}, false],
      ["no address", {}, false],
      [true, { issuer: server.origin }, true],
      [true, { issuer: `${server.origin}/other` }, false],
    ]) {
      server.issuer = issuer;
      const session = make(options);
      const back = await server.logIn(session.getAuthUrl());
      const handled = session.handleAuthorizationCodeRequest("u", { url: back });
      if (isTaken) await handled;
      else await assert.rejects(handled, code("E_AUTH_STATE"));
    }
  });

  test('1 and "1" are one user, and no id is special', async () => {
    const session = make();
    await loggedIn(session, 1, "one");
    assert.equal(await session.getAccessToken("1"), await session.getAccessToken(1));
    for (const user of ["__proto__", "constructor", "", "x".repeat(100_000), "\u0000", "toString"]) {
      assert.equal(await session.isAuthorized(user), false);
      await loggedIn(session, user, `login of ${user.slice(0, 20)}`);
      assert.equal(server.whose(await session.getAccessToken(user)), `login of ${user.slice(0, 20)}`);
    }
    for (const user of [undefined, null, {}, NaN, Infinity, true, Symbol("u"), 1n])
      await assert.rejects(session.getAccessToken(user), code("E_OPTIONS"));
  });
});

describe("a refresh", () => {
  test("fifty callers share one, and it is stored before anybody has the token", async () => {
    const storage = new Shared();
    const session = make({ storage });
    server.expiresIn = 0;
    await loggedIn(session);
    server.expiresIn = 3600;
    const tokens = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const token = await session.getAccessToken("u");
        assert.equal(storage.states.get("u").session.access, token);
        return token;
      }),
    );
    assert.equal(new Set(tokens).size, 1);
    assert.equal(server.whose(tokens[0]), "ada");
    assert.deepEqual(server.counts, { authorization_code: 1, refresh_token: 1, reused: 0, revoked: 0 });
    assert.equal(storage.states.get("u").claim, undefined);
  });

  test("requests with an instance each and old copies of the state share one, and each copy is put right", async () => {
    const storage = new Shared();
    server.expiresIn = 0;
    await loggedIn(make({ storage }));
    server.expiresIn = 3600;
    const stored = storage.states.get("u");
    const copies = Array.from({ length: 20 }, () => ({ state: structuredClone(stored) }));
    const ask = (held) =>
      make({ storage: { get: () => held.state, set: (_, state) => void (held.state = state) } }).getAccessToken("u");
    const tokens = await Promise.all(copies.map(ask));
    // One more, with a state that was read before.
    copies.push({ state: structuredClone(stored) });
    tokens.push(await ask(copies.at(-1)));
    assert.equal(new Set(tokens).size, 1);
    for (const { state } of copies) assert.equal(state.session.access, tokens[0]);
    assert.equal(server.counts.refresh_token, 1);
    assert.equal(server.counts.reused, 0);
  });

  test("a server that gives no new refresh token means the old one", async () => {
    const session = make();
    server.rotate = false;
    server.expiresIn = 0;
    await loggedIn(session);
    const one = await session.getAccessToken("u");
    assert.notEqual(await session.getAccessToken("u"), one);
    assert.equal(server.counts.refresh_token, 2);
  });

  test("a refresh that the server refuses is a logout, and the spent token is not sent again", async () => {
    const session = make();
    server.expiresIn = 0;
    await loggedIn(session);
    server.end("ada");
    await assert.rejects(session.getAccessToken("u"), code("E_SESSION"));
    assert.equal(await session.isAuthorized("u"), false);
    assert.equal(server.counts.refresh_token, 1);
    server.expiresIn = 3600;
    await loggedIn(session);
    assert.equal(await session.isAuthorized("u"), true);
  });

  test("a refresh that fails for another reason says so, and is no logout", async () => {
    const storage = new Shared();
    const session = make({ storage, httpTimeout: 300 });
    server.expiresIn = 0;
    await loggedIn(session);
    const failures = [
      ["E_SERVER", ({ outgoing }) => json(outgoing, 503, {})],
      ["E_AUTH", ({ outgoing }) => json(outgoing, 401, { error: "invalid_client" })],
      ["E_BAD_ANSWER", ({ outgoing }) => outgoing.end("<html>")],
      ["E_BAD_ANSWER", ({ outgoing }) => json(outgoing, 200, { access_token: "line\r\nbreak", token_type: "Bearer" })],
      ["E_BAD_ANSWER", ({ outgoing }) => json(outgoing, 200, { access_token: "x", token_type: "mac" })],
      ["E_UNREACHABLE", ({ outgoing }) => outgoing.destroy()],
      ["E_TIMEOUT", () => {}],
    ];
    for (const [expected, act] of failures) {
      server.answer("token", act);
      await assert.rejects(session.isAuthorized("u"), code(expected));
    }
    assert.equal(await session.isAuthorized("u"), true);
  });

  test("a token request that is redirected is not followed", async () => {
    const thief = await startAuthorizationServer();
    const session = make();
    server.expiresIn = 0;
    await loggedIn(session);
    server.answer("token", ({ outgoing }) => {
      outgoing.writeHead(307, { Location: `${thief.origin}/token` });
      outgoing.end();
    });
    await assert.rejects(session.getAccessToken("u"), code("E_UNREACHABLE"));
    assert.deepEqual(thief.log, []);
    await thief.close();
  });

  test("if what came of it cannot be stored, nobody gets it, and it is not asked for again", async () => {
    const storage = new Shared();
    const session = make({ storage });
    server.expiresIn = 0;
    await loggedIn(session);
    server.expiresIn = 3600;
    const set = storage.set;
    storage.set = async (user, state) => {
      if (state?.session?.access !== storage.states.get("u").session.access) throw new Error("disk full");
      return set.call(storage, user, state);
    };
    await assert.rejects(session.getAccessToken("u"), code("E_STATE_STORAGE"));
    await assert.rejects(session.getAccessToken("u"), code("E_STATE_STORAGE"));
    storage.set = set;
    assert.equal(server.whose(await session.getAccessToken("u")), "ada");
    assert.deepEqual([server.counts.refresh_token, server.counts.reused], [1, 0]);
  });

  test("a logout while a refresh is under way stays a logout, and the new token is revoked", async () => {
    const session = make();
    server.expiresIn = 0;
    await loggedIn(session);
    let goOn;
    const held = new Promise((resolve) => (goOn = resolve));
    const came = new Promise((resolve) =>
      server.answer("token", async () => {
        resolve();
        await held;
        return "go on";
      }),
    );
    const asked = session.getAccessToken("u");
    await came;
    await session.revokeToken("u");
    goOn();
    await assert.rejects(asked, code("E_SESSION"));
    assert.equal(await session.isAuthorized("u"), false);
  });
});

describe("revokeToken", () => {
  test("has both tokens revoked, and removes the state", async () => {
    const storage = new Shared();
    const session = make({ storage });
    await loggedIn(session);
    await session.revokeToken("u");
    assert.equal(server.counts.revoked, 2);
    assert.equal(storage.states.has("u"), false);
    assert.equal(await session.isAuthorized("u"), false);
    await session.revokeToken("u");
  });

  test("removes the state though the server does not do its part", async () => {
    for (const act of [({ outgoing }) => json(outgoing, 503, {}), ({ outgoing }) => outgoing.destroy(), () => {}]) {
      const session = make({ httpTimeout: 200 });
      await loggedIn(session);
      server.answer("revoke", act);
      server.answer("revoke", act);
      await session.revokeToken("u");
      assert.equal(await session.isAuthorized("u"), false);
    }
  });
});

describe("a storage that does not do its part gives E_STATE_STORAGE, and never a logout", () => {
  const hostile = {
    throws: () => {
      throw new Error("no");
    },
    "throws no error": () => {
      // eslint-disable-next-line no-throw-literal -- that is the point
      throw "no";
    },
    rejects: () => Promise.reject(new Error("no")),
    // eslint-disable-next-line prefer-promise-reject-errors -- that is the point
    "rejects with nothing": () => Promise.reject(),
    hangs: () => new Promise(() => {}),
    "is thenable and hangs": () => ({ then() {} }),
    "gives text": () => "state",
    "gives false": () => false,
    "gives a list": () => [],
    "gives an object of others": () => ({ user: "u" }),
    "gives half a state": () => ({ concordia: 1, session: "x" }),
    "gives tokens that are none": () => ({ concordia: 1, session: { access: 7 } }),
    "gives logins that are none": () => ({ concordia: 1, logins: "x" }),
    "gives the state of a later version": () => ({ concordia: 2 }),
  };
  for (const [what, get] of Object.entries(hostile))
    test(`get ${what}`, async () => {
      const session = make({ storage: { get, set: () => {} }, storageTimeout: 200 });
      await assert.rejects(session.isAuthorized("u"), code("E_STATE_STORAGE"));
      await assert.rejects(session.getAccessToken("u"), code("E_STATE_STORAGE"));
      await assert.rejects(session.revokeToken("u"), code("E_STATE_STORAGE"));
      assert.ok(session.getAuthUrl().startsWith(server.origin));
      assert.ok(session.getAuthUrl(undefined, {}, "u").startsWith(server.origin));
    });

  for (const what of ["throws", "throws no error", "rejects", "rejects with nothing", "hangs", "is thenable and hangs"])
    test(`set ${what}`, async () => {
      const session = make({ storage: { get: () => undefined, set: hostile[what] }, storageTimeout: 200 });
      const back = await server.logIn(session.getAuthUrl());
      await assert.rejects(session.handleAuthorizationCodeRequest("u", { url: back }), code("E_STATE_STORAGE"));
    });

  for (const [what, lock] of Object.entries({
    throws: hostile.throws,
    rejects: hostile.rejects,
    hangs: hostile.hangs,
    "does not do the work": async () => {},
  }))
    test(`lock ${what}`, async () => {
      const storage = Object.assign(new Shared(), { lock });
      const session = make({ storage, storageTimeout: 100, httpTimeout: 100 });
      const back = await server.logIn(session.getAuthUrl());
      await assert.rejects(session.handleAuthorizationCodeRequest("u", { url: back }), code("E_STATE_STORAGE"));
    });
});

test("options without sense are refused at the call", () => {
  const { options } = server;
  for (const wrong of [
    { clientId: "" },
    { clientId: 7 },
    { clientSecret: 7 },
    { authorizationUrl: "/authorize" },
    { tokenUrl: "ftp://example.org" },
    { tokenUrl: "https://user:password@example.org" },
    { redirectUrl: undefined },
    { revocationUrl: "x" },
    { scope: ["a"] },
    { storage: {} },
    { storage: null },
    { httpTimeout: 0 },
    { httpTimeout: "5" },
    { logger: "x" },
  ])
    assert.throws(() => new Session({ ...options, ...wrong }), code("E_OPTIONS"), inspect(wrong));
  for (const wrong of [undefined, null, "x"]) assert.throws(() => new Session(wrong), code("E_OPTIONS"));
  assert.throws(() => make().getAuthUrl(""), code("E_OPTIONS"));
  assert.throws(() => make().middleware({}), code("E_OPTIONS"));
});

test("MemoryStateStorage is the default, and says once that production needs another", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const sessions = [1, 2].map(() => new Session(server.options));
  assert.ok(warn.mock.callCount() <= 1);
  await loggedIn(sessions[0]);
  assert.deepEqual([await sessions[0].isAuthorized("u"), await sessions[1].isAuthorized("u")], [true, false]);
  const storage = new MemoryStateStorage();
  await storage.set(1, { a: [1] });
  (await storage.get("1")).a.push(2);
  assert.deepEqual(await storage.get("1"), { a: [1] });
  await storage.set("1", undefined);
  assert.equal(await storage.get(1), undefined);
  assert.ok(warn.mock.callCount() <= 1);
});

test("no secret, code or token is in an address, a log or an error", async () => {
  const said = [];
  const errors = [];
  const storage = new Shared();
  const session = make({ storage, logger: (...words) => said.push(words), httpTimeout: 200 });
  const caught = (promise) =>
    promise.then(
      () => {},
      (error) => errors.push(error),
    );
  server.expiresIn = 0;
  const back = await server.logIn(session.getAuthUrl(undefined, {}, "u"));
  // The way back, which the server has made, is the one address that may hold a code.
  server.log.length = 0;
  await caught(session.handleAuthorizationCodeRequest("v", { url: back }));
  await session.handleAuthorizationCodeRequest("u", { url: back });
  await caught(session.handleAuthorizationCodeRequest("u", { url: back }));
  await session.getAccessToken("u");
  const echo = ({ outgoing, body }) => json(outgoing, 400, { error: body, error_description: body });
  for (const act of [
    echo,
    ({ outgoing, body }) => outgoing.end(body),
    ({ outgoing }) => outgoing.destroy(),
    () => {},
  ]) {
    server.answer("token", act);
    await caught(session.getAccessToken("u"));
  }
  const { get, set } = storage;
  storage.get = async (user) => JSON.parse(`!${JSON.stringify(await get.call(storage, user))}`);
  await caught(session.getAccessToken("u"));
  storage.get = get;
  storage.set = async (_, state) => {
    throw Object.assign(new Error(`cannot store ${JSON.stringify(state)}`), { state });
  };
  await caught(session.getAccessToken("u"));
  storage.set = set;
  for (let token = 0; token < 2; token++)
    server.answer("revoke", ({ outgoing, body }) => json(outgoing, 400, { error: body }));
  await session.revokeToken("u");
  assert.ok(errors.length >= 8, `${errors.length} errors`);
  assert.ok(said.length >= 3, inspect(said));
  const all = inspect([said, errors, session, session.middleware("u")], { depth: 20, showHidden: true });
  const seen = [...all.split("\n"), ...server.log.map(({ url }) => url)].join("\n");
  for (const secret of server.secrets) assert.ok(!seen.includes(secret), `${secret} was told`);
});
