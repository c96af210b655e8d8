/**
 * Calls to a worker: requests with an id, progress, one answer, errors as BackdropErrors, cancelling by AbortSignal. What the
 * other side can be asked is one interface: a name, what goes in, what comes back, what is told on the way.
 */
import { BackdropError } from '../src/errors.ts';

export type Calls = Record<string, { request: unknown; answer: unknown; progress?: unknown }>;

type Progress<C extends Calls, K extends keyof C> = C[K] extends { progress: infer P } ? P : never;

type ToWorker = { id: number; name: string; request: unknown } | { id: number; cancel: true };
type FromWorker =
  | { id: number; answer: unknown }
  | { id: number; progress: unknown }
  | { id: number; error: ReturnType<BackdropError['toJSON']> | { name: string; message: string } };

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
  progress: ((value: unknown) => void) | undefined;
}

export interface CallOptions<P> {
  transfer?: Transferable[];
  signal?: AbortSignal;
  onProgress?: (progress: P) => void;
}

/** The page's side. */
export class WorkerClient<C extends Calls> {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #closed: { readonly reason: unknown } | null = null;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    worker.onerror = ({ message }) => this.close(new Error(`The worker stopped: ${message || 'it could not start'}.`));
  }

  /** @throws what the worker's handler threw; the signal's reason */
  call<K extends keyof C & string>(name: K, request: C[K]['request'], options: CallOptions<Progress<C, K>> = {}): Promise<C[K]['answer']> {
    const { transfer = [], signal, onProgress } = options;
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed.reason);
      if (signal?.aborted) return reject(signal.reason);
      this.#waiting.set(id, { resolve, reject, progress: onProgress as Waiting['progress'] });
      signal?.addEventListener(
        'abort',
        () => {
          if (!this.#waiting.delete(id)) return;
          this.#worker.postMessage({ id, cancel: true } satisfies ToWorker);
          reject(signal.reason);
        },
        { once: true },
      );
      this.#worker.postMessage({ id, name, request } satisfies ToWorker, transfer);
    });
  }

  #receive(message: FromWorker): void {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    if ('progress' in message) {
      waiting.progress?.(message.progress);
      return;
    }
    this.#waiting.delete(message.id);
    if ('answer' in message) waiting.resolve(message.answer);
    else if ('code' in message.error) waiting.reject(BackdropError.fromJSON(message.error));
    else waiting.reject(Object.assign(new Error(message.error.message), { name: message.error.name }));
  }

  /** Ends the worker; open calls and later ones are rejected. */
  close(reason: unknown): void {
    this.#closed = { reason };
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}

/** What a handler is given besides the request. */
export interface CallContext<P> {
  progress(value: P): void;
  readonly signal: AbortSignal;
  /** Moves these to the page with the answer, without a copy. */
  transfer(...objects: Transferable[]): void;
}

export type Handlers<C extends Calls> = {
  [K in keyof C]: (request: C[K]['request'], context: CallContext<Progress<C, K>>) => Promise<C[K]['answer']> | C[K]['answer'];
};

/** The page's types know no worker's scope. */
interface Scope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
}

/** The worker's side. Calls run at once; handlers that need an order keep their own queue. */
export function serve<C extends Calls>(handlers: Handlers<C>): void {
  const scope = globalThis as unknown as Scope;
  const running = new Map<number, AbortController>();
  scope.onmessage = async ({ data }) => {
    const { id } = data;
    if ('cancel' in data) {
      running.get(id)?.abort();
      return;
    }
    const abort = new AbortController();
    running.set(id, abort);
    const moved: Transferable[] = [];
    try {
      const answer = await handlers[data.name](data.request, {
        progress: (progress) => scope.postMessage({ id, progress }),
        signal: abort.signal,
        transfer: (...objects) => void moved.push(...objects),
      });
      scope.postMessage({ id, answer }, moved);
    } catch (error) {
      const plain = error instanceof Error ? { name: error.name, message: error.message } : { name: 'Error', message: String(error) };
      scope.postMessage({ id, error: error instanceof BackdropError ? error.toJSON() : plain });
    } finally {
      running.delete(id);
    }
  };
}
