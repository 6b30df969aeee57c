// The service worker: makes the page installable, and opens it on a bad link. It keeps files of the shell (scripts,
// styles, pictures) and one page that says "not connected". It never keeps, answers or delays anything about patients:
// pages, streams and data always come from the server or not at all.

const VERSION = "{version}";
const FILES = ["{files}"];
const CACHE = `shell-${VERSION}`;
const OFFLINE = "/offline";

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([...FILES, OFFLINE])).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await clients.claim();
  })());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  // The server's own word first, so that an old script never shows a new ward; what is kept is for a link that broke.
  else if (url.pathname.startsWith("/static/")) event.respondWith(fetch(request).catch(() => caches.match(request)));
});
