/** Files by address: fetched in a frame of its own (fetch-frame.ts), with progress; kept in the browser's cache where asked. */
import { BackdropError } from '../src/errors.ts';

export type ToFrame = { id: number; address: string } | { id: number; cancel: true };
export type FromFrame =
  | { ready: true }
  | { id: number; loaded: number; total: number | null }
  | { id: number; file: Blob }
  | { id: number; refused: string | null };

export interface FetchOptions {
  signal?: AbortSignal;
  /** Bytes; total is null where the server does not say. */
  onProgress?: (loaded: number, total: number | null) => void;
}

let frame: Promise<Window> | undefined;

function openFrame(): Promise<Window> {
  frame ??= new Promise((resolve) => {
    const made = document.createElement('iframe');
    made.hidden = true;
    made.title = 'fetches files by their address';
    made.src = 'fetch.html';
    addEventListener('message', function ready(event: MessageEvent<FromFrame>) {
      if (event.source !== made.contentWindow || !('ready' in event.data)) return;
      removeEventListener('message', ready);
      resolve(made.contentWindow!);
    });
    document.body.append(made);
  });
  return frame;
}

/** @throws BackdropError E_INPUT for what is no address, E_FILE_MISSING where it cannot be had */
export function parseAddress(text: string): URL {
  let address: URL;
  try {
    address = new URL(text, location.href);
  } catch (cause) {
    throw new BackdropError('E_INPUT', `"${text}" is no address.`, { cause, hint: 'An address begins with https://.' });
  }
  if (address.protocol === 'https:' || address.protocol === 'http:') return address;
  throw new BackdropError('E_INPUT', `Addresses that begin with ${address.protocol} are not fetched.`, { hint: 'Use https://.' });
}

let last = 0;

/** @throws BackdropError E_FILE_MISSING; the signal's reason */
export async function fetchAddress(text: string, { signal, onProgress }: FetchOptions = {}): Promise<Blob> {
  const address = parseAddress(text);
  const target = await openFrame();
  const id = ++last;
  return new Promise((resolve, reject) => {
    const end = (action: () => void) => {
      removeEventListener('message', receive);
      signal?.removeEventListener('abort', abort);
      action();
    };
    const abort = () => {
      target.postMessage({ id, cancel: true } satisfies ToFrame, location.origin);
      end(() => reject(signal?.reason));
    };
    const receive = ({ data, source }: MessageEvent<FromFrame>) => {
      if (source !== target || !('id' in data) || data.id !== id) return;
      if ('loaded' in data) onProgress?.(data.loaded, data.total);
      else if ('file' in data) end(() => resolve(data.file));
      else end(() => reject(refusal(address, data.refused)));
    };
    if (signal?.aborted) return reject(signal.reason);
    addEventListener('message', receive);
    signal?.addEventListener('abort', abort, { once: true });
    target.postMessage({ id, address: address.href } satisfies ToFrame, location.origin);
  });
}

function refusal(address: URL, status: string | null): BackdropError {
  if (status !== null) return new BackdropError('E_FILE_MISSING', `${address.host} answers ${status} for ${address.href}.`);
  return new BackdropError('E_FILE_MISSING', `${address.host} did not give the file to this page.`, {
    hint: 'The server may not answer, or may not allow other pages to read its files (CORS). Download the file and drop it here.',
  });
}
