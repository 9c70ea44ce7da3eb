/**
 * Keeps the shell (the page and the package) in one cache per version and answers from it first. `/shell.js`, made by
 * the server, names the version and the files; it is part of this script, so a new shell is a new worker.
 *
 * It never touches `/api` and `/control`: what is not in the shell goes to the network as if there were no worker.
 */
self.importScripts("/shell.js");

const { version, files } = self.SHELL;
const PREFIX = "concordia-demo-";
const CACHE = PREFIX + version;
const SHELL = new Set(files);

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", ({ data }) => {
  if (data === "take over") self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== self.location.origin || !SHELL.has(pathname)) return;
  event.respondWith(fromCache(event.request, pathname));
});

async function fill() {
  const cache = await caches.open(CACHE);
  await cache.addAll(files.map((path) => new Request(path, { cache: "reload" })));
}

async function takeOver() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function fromCache(request, pathname) {
  const cache = await caches.open(CACHE);
  return (await cache.match(pathname)) ?? fetch(request);
}
