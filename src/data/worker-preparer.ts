/** Samples made in web workers, so that the page is free for the GPU. An image belongs to one worker, which keeps its pixels. */
import { BackdropError } from '../errors.ts';
import { closedError, type Prepared, type PrepareOptions, type PrepareTask, type SamplePreparer } from './preparer.ts';

/** To a worker: first the options, then tasks. No file for an image that the worker keeps. */
export type WorkerRequest = { options: PrepareOptions } | { id: number; task: PrepareTask; file: Blob | null };

/** From a worker: the sample and whether its image was kept, or what went wrong. */
export type WorkerAnswer = { id: number } & (
  | { prepared: Prepared; kept: boolean }
  | { error: ReturnType<BackdropError['toJSON']> | string }
);

export interface LoaderWorkers {
  readonly count: number;
  /** Starts a worker that runs loader-worker.ts. */
  readonly create: () => Worker;
}

/** Half of the processor's threads, at most 4: a software adapter and the browser need the rest. */
const usualCount = (): number => Math.min(4, Math.max(1, Math.floor(navigator.hardwareConcurrency / 2)));

/** Workers that run `script`: loader-worker.js, beside the page's script as dist/ has it, unless it is said where. */
export function loaderWorkers(count = usualCount(), script: string | URL = new URL('loader-worker.js', import.meta.url)): LoaderWorkers {
  return { count, create: () => new Worker(script, { type: 'module' }) };
}

/** A worker and the tasks it has not answered yet. */
class Member {
  readonly #worker: Worker;
  readonly #kept = new Set<number>();
  readonly #waiting = new Map<number, { index: number; resolve(prepared: Prepared): void; reject(error: unknown): void }>();
  #last = 0;
  #failure: unknown;

  constructor(worker: Worker, options: PrepareOptions) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => this.#answered(data);
    worker.onerror = ({ message }) =>
      this.end(
        new BackdropError('E_DATA', `A worker that loads images stopped: ${message || 'its script could not be loaded'}.`, {
          hint: 'Is loader-worker.js served beside the page?',
        }),
      );
    this.#send({ options });
  }

  async prepare(task: PrepareTask, read: () => Promise<Blob>): Promise<Prepared> {
    const file = this.#kept.has(task.index) ? null : await read();
    if (this.#failure) throw this.#failure;
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#waiting.set(id, { index: task.index, resolve, reject });
      this.#send({ id, task, file });
    });
  }

  /** Ends the worker; its tasks, and those to come, are rejected. */
  end(failure: unknown): void {
    this.#failure ??= failure;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
  }

  #send(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  #answered(answer: WorkerAnswer): void {
    const { index, resolve, reject } = this.#waiting.get(answer.id)!;
    this.#waiting.delete(answer.id);
    if ('prepared' in answer) {
      if (answer.kept) this.#kept.add(index);
      resolve(answer.prepared);
    } else reject(typeof answer.error === 'string' ? new Error(answer.error) : BackdropError.fromJSON(answer.error));
  }
}

export class WorkerPreparer implements SamplePreparer {
  readonly #members: readonly Member[];

  constructor(options: PrepareOptions, { count, create }: LoaderWorkers) {
    const share = { ...options, cacheBytes: Math.floor(options.cacheBytes / count) };
    this.#members = Array.from({ length: count }, () => new Member(create(), share));
  }

  /** @throws BackdropError E_DATA */
  prepare(task: PrepareTask, read: () => Promise<Blob>): Promise<Prepared> {
    return this.#members[task.index % this.#members.length].prepare(task, read);
  }

  close(): void {
    for (const member of this.#members) member.end(closedError());
  }
}
