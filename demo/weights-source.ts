/** A file of weights as the page sees it: read in a worker, its tensors handed over without a copy. */
import type { WeightSource } from '../src/detector/weights.ts';
import { BackdropError } from '../src/errors.ts';
import type { ModelConfig } from '../src/models/configs.ts';

export interface Opened {
  readonly shapes: readonly (readonly [name: string, shape: readonly number[]])[];
  readonly config: ModelConfig;
  readonly labels: readonly string[] | undefined;
  /** What was loaded, missing, not used: lines for the user. */
  readonly messages: readonly string[];
}

export type Request = { id: number; file: File; model?: string } | { id: number; name: string };

export type Answer = { id: number } & (
  | { opened: Opened }
  | { values: Float32Array }
  | { error: ReturnType<BackdropError['toJSON']> | string }
);

type Result = Opened | Float32Array;

interface Waiting {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** A worker and the requests it has not answered yet. */
class Reader {
  readonly #worker = new Worker(new URL('weights-worker.js', import.meta.url), { type: 'module' });
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const { resolve, reject } = this.#waiting.get(data.id)!;
      this.#waiting.delete(data.id);
      if ('opened' in data) resolve(data.opened);
      else if ('values' in data) resolve(data.values);
      else reject(typeof data.error === 'string' ? new Error(data.error) : BackdropError.fromJSON(data.error));
    };
    this.#worker.onerror = ({ message }) => this.close(new Error(`the reader of weights stopped: ${message || 'it could not start'}`));
  }

  ask<T extends Result>(request: WithoutId<Request>): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.#worker.postMessage({ id, ...request });
    });
  }

  /** Ends the worker; what it was asked for is rejected. */
  close(reason: unknown): void {
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}

/**
 * Opens a file in a worker of its own, and ends it when the work is done or the signal is aborted.
 * @throws BackdropError as openModelWeights; the signal's reason
 */
export async function withWeights<T>(
  file: File,
  { model, signal }: { model?: string; signal: AbortSignal },
  work: (source: WeightSource, opened: Opened) => Promise<T>,
): Promise<T> {
  const reader = new Reader();
  const abort = () => reader.close(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const opened = await reader.ask<Opened>({ file, ...(model === undefined ? {} : { model }) });
    const tensors = new Map(opened.shapes.map(([name, shape]) => [name, { shape }]));
    return await work({ tensors, readFloat32: (name) => reader.ask<Float32Array>({ name }) }, opened);
  } finally {
    signal.removeEventListener('abort', abort);
    reader.close(new Error('the file of weights is closed'));
  }
}
