/** The page's side of a session: fetches jobs from the local server, runs them one at a time, sends back the answers. */
import { decodeMessage, encodeMessage, unpackAnswer } from './message.ts';
import { handlerOf } from './page-registry.ts';

export interface ServeOptions {
  /** Runs after every job, successful or not; what it throws fails the job. */
  afterJob?: () => void | Promise<void>;
}

const post = (path: string, value: unknown) => fetch(path, { method: 'POST', body: encodeMessage(value) });

/** Asks the host (session.answer), and gives what it says or throws its error. */
export async function askHost<T>(name: string, payload: unknown): Promise<T> {
  const response = await post(`ask/${encodeURIComponent(name)}`, payload);
  if (!response.ok) throw new Error(`the host answered ${response.status} to "${name}"`);
  return unpackAnswer<T>(new Uint8Array(await response.arrayBuffer()));
}

/** Serves until another page takes over or the server is gone. */
export async function serve(options: ServeOptions = {}): Promise<void> {
  const generation = new URLSearchParams(location.search).get('g') ?? '0';
  addEventListener('error', (event) => void post('log', { level: 'error', text: String(event.error?.stack ?? event.message) }));
  addEventListener(
    'unhandledrejection',
    (event) => void post('log', { level: 'error', text: String(event.reason?.stack ?? event.reason) }),
  );
  await post('ready', await describeGpu());
  for (;;) {
    let response: Response;
    try {
      response = await fetch(`next/${generation}`);
    } catch {
      return;
    }
    if (response.status === 204) continue;
    if (!response.ok) return;
    const id = response.headers.get('X-Job-Id') ?? '';
    const name = decodeURIComponent(response.headers.get('X-Job-Name') ?? '');
    const answer = await run(id, name, new Uint8Array(await response.arrayBuffer()), options);
    await fetch(`result/${id}`, { method: 'POST', body: answer }).catch(() => {});
  }
}

async function run(id: string, name: string, payload: Uint8Array<ArrayBuffer>, options: ServeOptions): Promise<Uint8Array<ArrayBuffer>> {
  const abort = new AbortController();
  const finished = new AbortController();
  void watchAbort(id, abort, finished.signal);
  // Progress must neither delay the work nor overtake itself or the result.
  let reported: Promise<unknown> = Promise.resolve();
  const progress = (value: unknown) => {
    const bytes = encodeMessage(value);
    reported = reported.then(() => fetch(`progress/${id}`, { method: 'POST', body: bytes })).catch(() => {});
  };
  let answer: { value?: unknown; error?: unknown };
  try {
    answer = { value: await handlerOf(name)(decodeMessage(payload), { progress, signal: abort.signal }) };
  } catch (error) {
    answer = { error };
  }
  try {
    await options.afterJob?.();
  } catch (error) {
    answer.error ??= error;
  }
  finished.abort();
  await reported;
  try {
    return encodeMessage(answer.error === undefined ? { value: answer.value } : { error: toError(answer.error) });
  } catch (error) {
    return encodeMessage({ error: toError(error) });
  }
}

/** DOMExceptions and thrown strings become plain errors, which message.ts knows. */
function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return new Error(String(thrown));
}

async function watchAbort(id: string, abort: AbortController, finished: AbortSignal): Promise<void> {
  while (!finished.aborted) {
    try {
      const response = await fetch(`abort/${id}`, { signal: finished });
      if (response.status === 204) return;
      if ((await response.text()).startsWith('aborted')) return abort.abort(new DOMException('the caller gave up', 'AbortError'));
    } catch {
      return;
    }
  }
}

/**
 * Looks whether there is an adapter, and keeps one device for itself whose loss tells that the GPU process has died.
 * (Every device of a page goes with it, and promises of the others may stay open for ever.)
 */
async function describeGpu() {
  const webgpu = 'gpu' in navigator;
  const adapter = webgpu ? await navigator.gpu.requestAdapter().catch(() => null) : null;
  if (!adapter) return { secure: isSecureContext, webgpu, adapter: null };
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const canary = await adapter.requestDevice().catch(() => null);
  void canary?.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed') void post('lost', `${reason}: ${message}`);
  });
  return { secure: isSecureContext, webgpu, adapter: { vendor, architecture, device, description, fallback: isFallbackAdapter ?? false } };
}
