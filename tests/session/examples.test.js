/** The examples, as their READMEs say how to start them, and the guide's snippets with them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { makeApp } from "../../examples/express-session/app.js";
import { makeApp as makeGuideApp } from "../../examples/express-session/guide-app.js";
import { until } from "../e2e/support/browser.js";
import { startAuthorizationServer } from "./support/authorization-server.js";
import { startRedis } from "./support/redis-server.js";

let redis, server;
const started = new Set();

before(async () => {
  redis = await startRedis();
  server = await startAuthorizationServer();
});
after(async () => {
  for (const child of started) child.kill("SIGKILL");
  await server?.close();
  await redis?.close();
});

/** Starts a program; the address that it prints. */
async function start(args, env = {}) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.add(child);
  let printed = "";
  child.stdout.on("data", (text) => (printed += text));
  const address = await until(() => /open (http\S+)/.exec(printed)?.[1], {
    what: `${args.join(" ")} prints its address`,
  });
  return {
    address,
    origin: new URL(address).origin,
    async end() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}

/** Follows addresses with cookies, as one browser of a person does. */
class Browser {
  cookies = new Map();
  constructor(login) {
    this.login = login;
  }

  async open(address) {
    for (let url = address, hops = 0; hops < 10; hops++) {
      const to = new URL(url);
      if (to.pathname === "/authorize") to.searchParams.set("login", this.login);
      const cookie = [...(this.cookies.get(to.host) ?? [])].map((pair) => pair.join("=")).join("; ");
      const response = await fetch(to, { redirect: "manual", headers: { cookie } });
      for (const line of response.headers.getSetCookie()) {
        const [name, value] = line.split(";")[0].split("=");
        if (!this.cookies.has(to.host)) this.cookies.set(to.host, new Map());
        this.cookies.get(to.host).set(name, value);
      }
      const location = response.headers.get("Location");
      if (location === null) return { status: response.status, text: await response.text() };
      url = new URL(location, to).href;
    }
    throw new Error(`no end of redirects from ${address}`);
  }
}

for (const kind of ["guide", "hardened"])
  describe(`redis, ${kind}`, () => {
    test("two users at once are logged in, apart, and still are when the process is started again", async () => {
      const settings = { REDIS_URL: redis.url, OPTIONS: JSON.stringify(server.options) };
      const program = ["examples/redis/start.js", ...(kind === "guide" ? ["guide"] : [])];
      const first = await start(program, settings);
      const people = ["ada", "bob"].map((login) => new Browser(`${login}-${kind}`));
      assert.deepEqual(await Promise.all(people.map((person) => person.open(`${first.origin}/`))), [
        { status: 200, text: "logged out" },
        { status: 200, text: "logged out" },
      ]);
      await Promise.all(people.map((person) => person.open(`${first.origin}/login`)));
      await first.end();
      const second = await start(program, { ...settings, PORT: new URL(first.origin).port });
      for (const person of people) assert.equal((await person.open(`${second.origin}/`)).text, "logged in");
      assert.equal((await new Browser("eve").open(`${second.origin}/`)).text, "logged out");
      assert.equal((await people[0].open(`${second.origin}/logout`)).text, "logged out");
      assert.equal((await people[1].open(`${second.origin}/`)).text, "logged in");
      await second.end();
    });
  });

test("redis, by the command of its README, with servers of its own", async () => {
  const example = await start(["examples/redis/start.js"]);
  assert.equal((await new Browser("ada").open(example.address)).text, "logged in");
  await example.end();
});

for (const args of [["guide"], []])
  test(`express-session, by the command of its README, ${args[0] ?? "hardened"}`, async () => {
    const example = await start(["examples/express-session/start.js", ...args]);
    const person = new Browser("ada");
    await person.open(args[0] ? example.address : `${example.origin}/login`);
    assert.equal((await person.open(example.address)).text, "logged in");
    await example.end();
  });

async function serve(make) {
  const site = createServer().listen(0, "127.0.0.1");
  await once(site, "listening");
  const origin = `http://127.0.0.1:${site.address().port}`;
  site.on("request", make({ ...server.options, redirectUrl: `${origin}/callback` }));
  return {
    origin,
    close() {
      site.closeAllConnections();
      site.close();
    },
  };
}

const APPS = {
  guide: { make: makeGuideApp, login: "/" },
  hardened: { make: (options) => makeApp(options, { secret: "test", secure: false }), login: "/login" },
};

for (const [kind, { make, login }] of Object.entries(APPS))
  describe(`express-session, ${kind}`, () => {
    test("two users at once are logged in and do not see each other's state", async () => {
      const site = await serve(make);
      const people = ["ada", "bob"].map((name) => new Browser(`${name}-${kind}`));
      await Promise.all(people.map((person) => person.open(site.origin + login)));
      for (const person of people) assert.equal((await person.open(site.origin)).text, "logged in");
      site.close();
    });

    test("many requests of one session with an expired token make one refresh", async () => {
      const site = await serve(make);
      const person = new Browser(`many-${kind}`);
      server.lifetimes.set(`many-${kind}`, 0);
      server.counts.refresh_token = server.counts.reused = 0;
      // The last redirect finds the expired token already, with the guide's app.
      await person.open(site.origin + login);
      const answers = await Promise.all(Array.from({ length: 20 }, () => person.open(site.origin)));
      assert.ok(answers.every(({ text }) => text === "logged in"));
      assert.deepEqual([server.counts.refresh_token, server.counts.reused], [1, 0]);
      site.close();
    });
  });

test("the hardened app gives another session id after the login, and refuses a login that another browser began", async () => {
  const site = await serve(APPS.hardened.make);
  const host = new URL(site.origin).host;
  const person = new Browser("fixed");
  const begun = await fetch(`${site.origin}/login`, { redirect: "manual" });
  person.cookies.set(host, new Map([begun.headers.getSetCookie()[0].split(";")[0].split("=")]));
  const earlier = person.cookies.get(host).get("sid");
  const back = await server.logIn(begun.headers.get("Location"), "fixed");
  const attacked = await new Browser("victim").open(back);
  assert.deepEqual(attacked, { status: 400, text: "Please log in again." });
  const again = await fetch(`${site.origin}/login`, { redirect: "manual", headers: { cookie: `sid=${earlier}` } });
  await person.open(await server.logIn(again.headers.get("Location"), "fixed"));
  assert.equal((await person.open(site.origin)).text, "logged in");
  assert.notEqual(person.cookies.get(host).get("sid"), earlier);
  const old = await fetch(site.origin, { headers: { cookie: `sid=${earlier}` } });
  assert.notEqual(await old.text(), "logged in");
  site.close();
});
