/**
 * json-server, a REST server that nobody of this project wrote, as a process of its own, and a proxy before it that
 * writes down what arrives.
 *
 * - `jsonServer(rows)` → a server for `/people`, not yet started; of an object it serves each list under its name.
 * - `start()` / `stop()`: process and proxy together; after `stop()` nothing listens on either port, and the next
 *   `start()` goes on with the same file on the same ports.
 * - `origin`: where the proxy listens, for pages. `log`: `{ method, path, body, status }` of each request that came
 *   through it, in order of arrival; `status` is undefined until it is answered.
 * - `rows(name)`: what the server holds there, by default under `people`, asked past the proxy and so not in the log.
 * - `remove()`: stops, and removes the file.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { freePort, removeDir, tempDir, until } from "./browser.js";
import { closed } from "./packed-site.js";

const HOST = "127.0.0.1";
const COMMAND = join(dirname(createRequire(import.meta.url).resolve("json-server/package.json")), "lib/cli/bin.js");

export async function jsonServer(rows) {
  const folder = await tempDir();
  const file = join(folder, "db.json");
  await writeFile(file, JSON.stringify(Array.isArray(rows) ? { people: rows } : rows));
  const names = Array.isArray(rows) ? ["people"] : Object.keys(rows);
  return new JsonServer(folder, file, names, await freePort(), await freePort());
}

class JsonServer {
  log = [];
  #folder;
  #file;
  #names;
  #port;
  #proxyPort;
  #process;
  #proxy;

  constructor(folder, file, names, port, proxyPort) {
    this.#folder = folder;
    this.#file = file;
    this.#names = names;
    this.#port = port;
    this.#proxyPort = proxyPort;
    this.origin = `http://${HOST}:${proxyPort}`;
  }

  async start() {
    const args = [COMMAND, "--quiet", "--host", HOST, "--port", String(this.#port), this.#file];
    this.#process = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"], cwd: this.#folder });
    await until(() => this.rows(), { what: "json-server answers" });
    this.#proxy = createServer((incoming, outgoing) => this.#forward(incoming, outgoing));
    this.#proxy.listen(this.#proxyPort, HOST);
    await once(this.#proxy, "listening");
  }

  async stop() {
    if (this.#proxy) await closed(this.#proxy);
    this.#proxy = undefined;
    if (!this.#process) return;
    const gone = once(this.#process, "exit");
    this.#process.kill();
    await gone;
    this.#process = undefined;
  }

  async rows(name = this.#names[0]) {
    const response = await fetch(`http://${HOST}:${this.#port}/${name}`);
    return response.json();
  }

  async remove() {
    await this.stop();
    await removeDir(this.#folder);
  }

  #forward(incoming, outgoing) {
    const entry = { method: incoming.method, path: incoming.url, body: undefined, status: undefined };
    this.log.push(entry);
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks);
      entry.body = body.length ? JSON.parse(body.toString()) : undefined;
      const { method, url: path, headers } = incoming;
      const inner = httpRequest({ host: HOST, port: this.#port, method, path, headers }, (answer) => {
        entry.status = answer.statusCode;
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
      });
      inner.on("error", () => outgoing.destroy());
      inner.end(body);
    });
  }
}
