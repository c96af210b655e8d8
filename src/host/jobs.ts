/**
 * Calls on their way to the page. The page fetches one job after the other (a long poll), so nothing runs twice at a
 * time and nothing depends on the debugging protocol, which would carry binary data as base64.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BackdropError } from '../errors.ts';
import { decodeMessage, encodeMessage } from './message.ts';
import { type LocalServer, sendText } from './server.ts';

interface Job {
  id: number;
  name: string;
  payload: Uint8Array;
  onProgress: ((progress: unknown) => void) | undefined;
  /** Gets the page's answer, still packed. */
  resolve(answer: Uint8Array<ArrayBuffer>): void;
  reject(error: Error): void;
}

/** What the page reports when it has loaded. */
export interface PageReady {
  secure: boolean;
  webgpu: boolean;
  adapter: { vendor: string; architecture: string; device: string; description: string; fallback: boolean } | null;
}

export interface QueueEvents {
  ready(info: PageReady): void;
  /** The page lost its canary device: the GPU process went away, or the driver gave up. */
  gpuLost(reason: string): void;
  log(level: string, text: string): void;
}

const pollMs = 20_000;

export class JobQueue {
  readonly #waiting: Job[] = [];
  readonly #running = new Map<number, Job>();
  readonly #aborts = new Map<number, () => void>();
  readonly #answers = new Map<string, (payload: unknown) => unknown>();
  #poll: (() => void) | undefined;
  #generation = 0;
  #lastId = 0;

  constructor(server: LocalServer, prefix: string, events: QueueEvents) {
    const post = (path: string, handler: (bytes: Uint8Array<ArrayBuffer>, rest: string, response: ServerResponse) => unknown) =>
      server.handle(`${prefix}${path}`, async (request, response, rest) => {
        if (request.method !== 'POST') return sendText(response, 405, 'only POST');
        await handler(await readBody(request), rest, response);
        if (!response.writableEnded) response.writeHead(204).end();
      });
    server.handle(`${prefix}next/`, (_, response, generation) => this.#next(response, Number(generation)));
    server.handle(`${prefix}abort/`, (_, response, id) => this.#awaitAbort(response, Number(id)));
    post('result/', (bytes, id) => this.#finish(Number(id), (job) => job.resolve(bytes)));
    post('progress/', (bytes, id) => this.#running.get(Number(id))?.onProgress?.(decodeMessage(bytes)));
    post('ready', (bytes) => events.ready(decodeMessage(bytes) as PageReady));
    post('lost', (bytes) => events.gpuLost(String(decodeMessage(bytes))));
    post('log', (bytes) => {
      const { level, text } = decodeMessage(bytes) as { level: string; text: string };
      events.log(level, text);
    });
    post('ask/', async (bytes, name, response) => {
      const answer = await this.#ask(name, bytes).catch((error: unknown) => encodeMessage({ error }));
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' }).end(answer);
    });
    // The same for other processes, such as vitest's workers.
    post('call/', async (bytes, name, response) => {
      const answer = await this.submit(name, bytes).catch((error) => encodeMessage({ error }));
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' }).end(answer);
    });
  }

  /** What the page gets when it asks for `name`. */
  answer(name: string, handler: (payload: unknown) => unknown): void {
    this.#answers.set(name, handler);
  }

  async #ask(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    const handler = this.#answers.get(name);
    if (!handler) throw new BackdropError('E_INPUT', `the host has no answer to "${name}"`);
    return encodeMessage({ value: await handler(decodeMessage(bytes)) });
  }

  /** Pages of earlier generations get no jobs any more. */
  newGeneration(): number {
    return ++this.#generation;
  }

  /** Queues a call and gives the page's packed answer. An aborted call rejects at once; the page is told. */
  submit(
    name: string,
    payload: Uint8Array,
    options: { onProgress?: ((progress: unknown) => void) | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { signal } = options;
    return new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
      signal?.throwIfAborted();
      const id = ++this.#lastId;
      const onAbort = () => {
        this.#aborts.get(id)?.();
        this.#finish(id, (job) => job.reject(signal?.reason));
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push({
        id,
        name,
        payload,
        onProgress: options.onProgress,
        resolve: (answer) => {
          done();
          resolve(answer);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#poll?.();
    });
  }

  /** Rejects everything that was asked for and not answered yet. */
  failAll(error: Error): void {
    for (const job of [...this.#running.values(), ...this.#waiting.splice(0)]) {
      this.#finish(job.id, () => {});
      job.reject(error);
    }
  }

  #next(response: ServerResponse, generation: number): void {
    if (generation !== this.#generation) {
      sendText(response, 410, 'another page has taken over');
      return;
    }
    const timer = setTimeout(() => give(), pollMs);
    const give = () => {
      clearTimeout(timer);
      this.#poll = undefined;
      const job = this.#waiting.shift();
      if (!job) return void response.writeHead(204).end();
      this.#running.set(job.id, job);
      response
        .writeHead(200, { 'Content-Type': 'application/octet-stream', 'X-Job-Id': job.id, 'X-Job-Name': encodeURIComponent(job.name) })
        .end(job.payload);
    };
    if (this.#waiting.length > 0) {
      give();
      return;
    }
    this.#poll = give;
    response.on('close', () => {
      clearTimeout(timer);
      if (this.#poll === give) this.#poll = undefined;
    });
  }

  /** The page asks here, while a job runs, whether it should stop. */
  #awaitAbort(response: ServerResponse, id: number): void {
    if (!this.#running.has(id)) return void response.writeHead(204).end();
    const answer = (text: string) => {
      clearTimeout(timer);
      this.#aborts.delete(id);
      if (!response.writableEnded) sendText(response, 200, text);
    };
    const timer = setTimeout(() => answer('running'), pollMs);
    this.#aborts.set(id, () => answer('aborted'));
    response.on('close', () => answer('running'));
  }

  #finish(id: number, settle: (job: Job) => void): void {
    const queued = this.#waiting.findIndex((job) => job.id === id);
    const job = queued >= 0 ? this.#waiting.splice(queued, 1)[0] : this.#running.get(id);
    this.#running.delete(id);
    this.#aborts.delete(id);
    if (job) settle(job);
  }
}

async function readBody(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    size += chunk.byteLength;
  }
  const body = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}
