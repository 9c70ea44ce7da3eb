/**
 * The packed package on a static site of its own, as somebody would host it who has no bundler.
 *
 * - `unpack()` → folder of what `npm pack ./pkg` puts into the tarball.
 * - `serve({ folder, pages })` → `{ origin, close() }`. The folder is at `/concordia/`, each of `pages` (path → HTML)
 *   at its path.
 *
 * It answers GET of files and nothing else; servers with data are elsewhere.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { tempDir } from "./browser.js";

const run = promisify(execFile);
const PACKAGE = fileURLToPath(new URL("../../../pkg", import.meta.url));
const MOUNT = "/concordia/";
const MEDIA_TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".ts": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

export async function unpack() {
  const folder = await tempDir();
  const { stdout } = await run("npm", ["pack", PACKAGE, "--pack-destination", folder, "--json", "--silent"]);
  const [{ filename }] = JSON.parse(stdout);
  await run("tar", ["-xzf", join(folder, filename), "-C", folder]);
  return join(folder, "package");
}

export function serve({ folder, pages = {}, headers = {} }) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const found = await contentOf(path, folder, pages);
    response.writeHead(found ? 200 : 404, { "Content-Type": found?.type ?? "text/plain", ...headers });
    response.end(found?.content ?? "not here");
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const origin = `http://127.0.0.1:${server.address().port}`;
      resolve({ origin, close: () => closed(server) });
    });
  });
}

export function closed(server) {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

export async function contentOf(path, folder, pages) {
  if (Object.hasOwn(pages, path)) return { type: MEDIA_TYPES[".html"], content: pages[path] };
  if (!path.startsWith(MOUNT)) return undefined;
  const file = normalize(join(folder, path.slice(MOUNT.length)));
  if (!file.startsWith(folder + sep)) return undefined;
  try {
    return { type: MEDIA_TYPES[extname(file)] ?? "application/octet-stream", content: await readFile(file) };
  } catch {
    return undefined;
  }
}
