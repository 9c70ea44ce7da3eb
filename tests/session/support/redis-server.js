/**
 * A real redis-server on a free port, with a folder of its own, that writes every command to the disk before it answers.
 *
 * - `startRedis()` → `{ url, kill(), start(), close() }`. `kill()` ends it with SIGKILL, `start()` starts it again on the same port with the
 *   same data, `close()` ends it and removes the data.
 *
 * REDIS_SERVER names another program than Debian's.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { freePort, removeDir, tempDir, until } from "../../e2e/support/browser.js";

const PROGRAM = process.env.REDIS_SERVER ?? "redis-server";
const HOST = "127.0.0.1";

export async function startRedis() {
  const redis = new Redis(await freePort(), await tempDir());
  await redis.start();
  return redis;
}

class Redis {
  #port;
  #folder;
  #process;

  constructor(port, folder) {
    this.#port = port;
    this.#folder = folder;
    this.url = `redis://${HOST}:${port}`;
  }

  async start() {
    const settings = {
      port: this.#port,
      bind: HOST,
      dir: this.#folder,
      appendonly: "yes",
      appendfsync: "always",
      save: "",
      daemonize: "no",
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#process = spawn(PROGRAM, args, { stdio: "ignore" });
    await once(this.#process, "spawn");
    await until(() => answers(this.#port), { what: "redis-server answers" });
  }

  async kill() {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async close() {
    await this.kill();
    await removeDir(this.#folder);
  }
}

/** Whether a PING is answered: while it reads its file, it says LOADING. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, HOST, () => socket.write("PING\r\n"));
    const done = (value) => {
      socket.destroy();
      resolve(value);
    };
    socket.on("data", (data) => done(data.toString().startsWith("+PONG")));
    socket.on("error", () => done(false));
    socket.on("close", () => done(false));
  });
}
