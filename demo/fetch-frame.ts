/**
 * The only document of this page that may ask other hosts: a frame that is told an address and gives back its bytes. It is never
 * given a picture, a label or a weight, and sends no cookie and no referrer. The page around it may not connect anywhere.
 */
import type { FromFrame, ToFrame } from './address.ts';

const running = new Map<number, AbortController>();

async function fetchInto(id: number, address: string, reply: (message: FromFrame, transfer?: Transferable[]) => void): Promise<void> {
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const response = await fetch(address, { credentials: 'omit', referrerPolicy: 'no-referrer', signal: abort.signal });
    if (!response.ok || !response.body) return reply({ id, refused: `${response.status} ${response.statusText}`.trim() });
    const length = Number(response.headers.get('content-length'));
    // A compressed answer's length says nothing about its content's.
    const total = length > 0 && !response.headers.get('content-encoding') ? length : null;
    const type = response.headers.get('content-type') ?? '';
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      loaded += value.length;
      reply({ id, loaded, total });
    }
    reply({ id, file: new Blob(parts, { type }) });
  } catch {
    // The browser tells a script no more than that it failed: no answer, or no permission (CORS).
    reply({ id, refused: null });
  } finally {
    running.delete(id);
  }
}

addEventListener('message', ({ data, origin, source }: MessageEvent<ToFrame>) => {
  if (origin !== location.origin || !source) return;
  if ('cancel' in data) running.get(data.id)?.abort();
  else void fetchInto(data.id, data.address, (message) => source.postMessage(message, { targetOrigin: origin }));
});
parent.postMessage({ ready: true } satisfies FromFrame, location.origin);
