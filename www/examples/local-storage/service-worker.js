/**
 * Keeps the page's files, so that it opens without the server. What the server has comes first; the API is never kept
 * here: that is the store's business.
 */
const CACHE = "local-storage-example";
const FILES = [
  "/",
  "/style.css",
  "/list-page.js",
  "/main.js",
  "/local-storage.js",
  "/concordia/index.js",
  "/concordia/wasm/concordia_bg.wasm",
];

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});
self.addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (event.request.method === "GET" && FILES.includes(pathname)) event.respondWith(answer(event.request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}
