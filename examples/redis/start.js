/**
 * Starts a redis-server, an authorisation server and the app, and prints the app's address. `guide` as argument: with the guide's
 * storage. REDIS_URL: a Redis that runs already. OPTIONS: those of a `Session` as JSON, for an authorisation server that runs already.
 */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startAuthorizationServer } from "../authorization-server.js";
import { makeServer } from "./app.js";
import { RedisStorage as GuideStorage } from "./guide-storage.js";
import { RedisStorage } from "./storage.js";

const url = process.env.REDIS_URL ?? (await startRedis());
const isGuide = process.argv[2] === "guide";
const storage = isGuide ? new GuideStorage(url) : new RedisStorage({ url });
const port = Number(process.env.PORT ?? (await freePort()));
const origin = `http://127.0.0.1:${port}`;
const options = process.env.OPTIONS
  ? { ...JSON.parse(process.env.OPTIONS), redirectUrl: `${origin}/callback` }
  : (await startAuthorizationServer(`${origin}/callback`)).options;
makeServer({ ...options, storage }).listen(port, "127.0.0.1", () => console.log(`open ${origin}/login`));

async function startRedis() {
  const redisPort = await freePort();
  const dir = mkdtempSync(join(tmpdir(), "concordia-redis-"));
  const redis = spawn("redis-server", [
    "--port",
    String(redisPort),
    "--bind",
    "127.0.0.1",
    "--dir",
    dir,
    "--appendonly",
    "yes",
  ]);
  process.once("exit", () => redis.kill());
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit());
  await new Promise((resolve, reject) => {
    redis.once("error", reject);
    redis.stdout.on("data", (text) => /Ready to accept/i.test(text) && resolve());
  });
  return `redis://127.0.0.1:${redisPort}`;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = server.address();
      server.close(() => resolve(free));
    });
  });
}
