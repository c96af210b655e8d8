/** Models that were fetched by address, kept in the browser's cache: what is there, and how it is deleted. */
import type { FetchOptions } from './address.ts';

const cacheName = 'backdrop-models';

export interface StoredModel {
  readonly address: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

const fileName = (address: string): string => decodeURIComponent(new URL(address).pathname.split('/').pop() || address);

/** Null where the browser keeps nothing: on insecure addresses, in some private windows. */
async function openCache(): Promise<Cache | null> {
  try {
    return await caches.open(cacheName);
  } catch {
    return null;
  }
}

export async function storedModels(): Promise<StoredModel[]> {
  const cache = await openCache();
  if (!cache) return [];
  const requests = await cache.keys();
  return Promise.all(
    requests.map(async ({ url }) => {
      const response = await cache.match(url);
      return { address: url, name: fileName(url), size: (await response?.blob())?.size ?? 0 };
    }),
  );
}

export async function deleteModel(address: string): Promise<void> {
  await (await openCache())?.delete(address);
}

/** From the cache, else by address and into the cache. `kept` is false where the browser has no room for it. */
export async function modelByAddress(text: string, options: FetchOptions): Promise<{ file: Blob; name: string; kept: boolean }> {
  const { fetchAddress, parseAddress } = await import('./address.ts');
  const address = parseAddress(text).href;
  const cache = await openCache();
  const known = await cache?.match(address);
  if (known) return { file: await known.blob(), name: fileName(address), kept: true };
  const file = await fetchAddress(address, options);
  let kept = cache !== null;
  try {
    await cache?.put(address, new Response(file, { headers: { 'content-length': String(file.size) } }));
  } catch (error) {
    if ((error as Error).name !== 'QuotaExceededError') throw error;
    kept = false;
  }
  return { file, name: fileName(address), kept };
}

/** Bytes in use and offered to this page. */
export async function storageEstimate(): Promise<{ used: number; offered: number } | null> {
  const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
  return usage === undefined || quota === undefined ? null : { used: usage, offered: quota };
}
