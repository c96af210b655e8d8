/**
 * Offline: keeps the page's own files, under the hash of their contents, and answers with them first. A new build is another
 * script, which the browser fetches in the background; it takes over when its files are all there. Other hosts' files and models
 * that were fetched by address are none of its business.
 */

/** Put in by esbuild.config.mjs: the page's files, and a hash of them all. */
declare const PAGE_FILES: readonly string[];
declare const PAGE_HASH: string;

/** The page's types know no service worker's scope. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  addEventListener(name: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(name: 'fetch', listener: (event: FetchEvent) => void): void;
  skipWaiting(): Promise<void>;
}
const scope = globalThis as unknown as Scope;

const prefix = 'backdrop-page-';
const cacheName = prefix + PAGE_HASH;

async function install(): Promise<void> {
  const cache = await caches.open(cacheName);
  await cache.addAll(PAGE_FILES);
  await scope.skipWaiting();
}

async function removeOld(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(prefix) && name !== cacheName);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request: Request): Promise<Response> {
  const kept = await (await caches.open(cacheName)).match(request, { ignoreSearch: request.mode === 'navigate' });
  return kept ?? fetch(request);
}

scope.addEventListener('install', (event) => event.waitUntil(install()));
scope.addEventListener('activate', (event) => event.waitUntil(removeOld()));
scope.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && new URL(url).origin === location.origin) event.respondWith(answer(event.request));
});
