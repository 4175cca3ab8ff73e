// A service worker: answers from the network, and without a connection from what the page stored.

const CACHE = "emonet-browser";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(
    fetch(event.request).catch(async (error) => {
      const stored = await (await caches.open(CACHE)).match(event.request, { ignoreSearch: true });
      if (stored) return stored;
      throw error;
    }),
  );
});
