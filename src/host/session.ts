/** A Chrome page that runs our code, with calls from Node as if it were a local object. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackdropError } from '../errors.ts';
import { type AdapterChoice, adapterChoice, type Chrome, launchChrome, likelyAdapter } from './chrome.ts';
import { JobQueue, type PageReady } from './jobs.ts';
import { encodeMessage, unpackAnswer } from './message.ts';
import { LocalServer, mimeType, sendFile } from './server.ts';

export interface SessionOptions {
  /** Chrome's program; found when absent. */
  chromePath?: string;
  /** Default: BACKDROP_ADAPTER, else auto. */
  adapter?: AdapterChoice;
  /** The page's files by name, `page.js` among them; default: dist/host/page.js and its worker, beside this module. */
  files?: Map<string, Uint8Array>;
  /** Without an adapter: throw (default) or go on, so that the caller can say what is there. */
  requireGpu?: boolean;
  /** After a crash, start a new Chrome for the calls that follow. Calls that were under way fail all the same. */
  restart?: boolean;
  /** Ctrl-C leaves Chrome alone: the caller ends the session when what runs has come to a good end. */
  outliveSignals?: boolean;
  /** Messages from the page: console, uncaught errors. */
  onLog?: (level: string, text: string) => void;
}

export interface CallOptions {
  onProgress?: (progress: never) => void;
  signal?: AbortSignal;
  /** Default: none. A call that takes longer is taken for a hung page. */
  timeoutMs?: number;
}

const html =
  '<!doctype html><meta charset="utf-8"><title>Backdrop</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>\n';
const startMs = 60_000;

export class PageSession {
  readonly #server: LocalServer;
  readonly #prefix: string;
  readonly #queue: JobQueue;
  readonly #options: SessionOptions;
  readonly #files = new Map<string, string>();
  #chrome: Chrome | undefined;
  #opening: Promise<void> = Promise.resolve();
  #onReady: ((info: PageReady) => void) | undefined;
  #gpu: PageReady = { secure: false, webgpu: false, adapter: null };
  #closed = false;
  #failure: BackdropError | undefined;

  private constructor(server: LocalServer, options: SessionOptions) {
    this.#server = server;
    this.#options = options;
    // Whoever does not know this address gets nothing from the server: other users of the machine share 127.0.0.1.
    this.#prefix = `/${randomBytes(18).toString('base64url')}/`;
    this.#queue = new JobQueue(server, this.#prefix, {
      ready: (info) => this.#onReady?.(info),
      gpuLost: (reason) => {
        const lost = this.#chrome;
        // A moment for the running call to report its own, more telling error.
        setTimeout(() => this.#crashed(lost, `Chrome's GPU process went away (${reason})`), 500);
      },
      log: (level, text) => options.onLog?.(level, text),
    });
    this.#serveFiles();
  }

  /**
   * Starts the server, Chrome and the page. Throws E_CHROME_MISSING, E_CHROME_CRASHED, or E_WEBGPU_NO_ADAPTER;
   * nothing is left behind in any of these cases.
   */
  static async launch(options: SessionOptions = {}): Promise<PageSession> {
    const session = new PageSession(await LocalServer.start(), options);
    try {
      await session.#open();
      if (options.requireGpu ?? true) session.#requireGpu();
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** The address under which other processes reach this session (client.ts); it contains the secret. */
  get endpoint(): string {
    return this.#server.origin + this.#prefix;
  }

  /** The running Chrome. Throws after close(). */
  get chrome(): Chrome {
    if (!this.#chrome) throw this.#failure ?? new BackdropError('E_CHROME_CRASHED', 'the session is closed');
    return this.#chrome;
  }

  /** What the page found when it started. */
  get gpu(): PageReady {
    return this.#gpu;
  }

  /** Runs the page's handler of this name. Rejects with its error, or with E_CHROME_CRASHED. */
  async call<T>(name: string, payload: unknown, options: CallOptions = {}): Promise<T> {
    await this.#opening;
    if (this.#closed || this.#failure) throw this.#failure ?? new BackdropError('E_CHROME_CRASHED', 'the session is closed');
    const chrome = this.#chrome;
    let timer: NodeJS.Timeout | undefined;
    if (options.timeoutMs !== undefined) {
      const seconds = options.timeoutMs / 1000;
      timer = setTimeout(() => this.#crashed(chrome, `the page has not answered "${name}" for ${seconds} s`), options.timeoutMs);
    }
    try {
      const answer = await this.#queue.submit(name, encodeMessage(payload), {
        onProgress: options.onProgress as ((progress: unknown) => void) | undefined,
        signal: options.signal,
      });
      return unpackAnswer<T>(answer);
    } finally {
      clearTimeout(timer);
    }
  }

  /** An address under which the page can fetch this local file, with ranges. Throws E_FILE_MISSING. */
  file(path: string): string {
    const full = resolve(path);
    if (!existsSync(full)) throw new BackdropError('E_FILE_MISSING', `there is no file ${path}`);
    const known = [...this.#files].find(([, file]) => file === full);
    const id = known?.[0] ?? randomBytes(9).toString('base64url');
    this.#files.set(id, full);
    return `file/${id}/${encodeURIComponent(basename(full))}`;
  }

  /** An address, with a slash at its end, under which the page can fetch the files in this folder. Throws E_FILE_MISSING. */
  folder(path: string): string {
    const full = resolve(path);
    if (!existsSync(full)) throw new BackdropError('E_FILE_MISSING', `there is no folder ${path}`);
    const id = randomBytes(9).toString('base64url');
    this.#server.serveFolder(`${this.#prefix}folder/${id}/`, full);
    return `folder/${id}/`;
  }

  /** Calls in the other direction: the page's `askHost(name, payload)` gets what this resolves to, or its error. */
  answer(name: string, handler: (payload: never) => unknown): void {
    this.#queue.answer(name, handler as (payload: unknown) => unknown);
  }

  /** Ends Chrome and the server; open calls reject. A second call does nothing. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#queue.failAll(new BackdropError('E_CHROME_CRASHED', 'the session was closed during the call'));
    await this.#opening.catch(() => {});
    const chrome = this.#chrome;
    this.#chrome = undefined;
    await chrome?.close();
    await this.#server.close();
  }

  async #open(): Promise<void> {
    const choice = this.#options.adapter ?? adapterChoice();
    await this.#start(choice === 'auto' ? likelyAdapter() : choice);
    // There seemed to be a GPU, but Chrome cannot use it: computing slowly and saying so beats not computing.
    if (choice === 'auto' && this.#gpu.adapter === null && this.#chrome?.adapter === 'default') {
      const chrome = this.#chrome;
      this.#chrome = undefined;
      await chrome.close();
      await this.#start('swiftshader');
    }
  }

  async #start(adapter: 'default' | 'swiftshader'): Promise<void> {
    const generation = this.#queue.newGeneration();
    const path = this.#options.chromePath;
    const { outliveSignals = false } = this.#options;
    const chrome = await launchChrome({ adapter, outliveSignals, ...(path === undefined ? {} : { path }) });
    this.#chrome = chrome;
    let timer: NodeJS.Timeout | undefined;
    try {
      const page = (await chrome.browser.pages())[0] ?? (await chrome.browser.newPage());
      const ready = new Promise<PageReady>((done, fail) => {
        this.#onReady = done;
        const gone = (what: string) => {
          fail(new BackdropError('E_CHROME_CRASHED', what));
          this.#crashed(chrome, what);
        };
        timer = setTimeout(() => gone(`the page did not start within ${startMs / 1000} s`), startMs);
        chrome.browser.on('disconnected', () => gone('Chrome has ended'));
        page.on('error', () => gone("the page's process crashed"));
        page.on('close', () => gone('the page was closed'));
      });
      ready.catch(() => {});
      page.on('console', (message) => this.#options.onLog?.(message.type(), message.text()));
      page.on('pageerror', (error) =>
        this.#options.onLog?.('error', error instanceof Error ? (error.stack ?? error.message) : String(error)),
      );
      await page.goto(`${this.endpoint}?g=${generation}`);
      this.#gpu = await ready;
    } catch (error) {
      this.#chrome = undefined;
      await chrome.close();
      if (error instanceof BackdropError) throw error;
      throw new BackdropError('E_CHROME_CRASHED', `Chrome could not open the page: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Fails what is under way; then starts anew, or stays failed. */
  #crashed(chrome: Chrome | undefined, reason: string): void {
    // Late news of a Chrome that was closed or replaced already.
    if (this.#closed || !chrome || chrome !== this.#chrome) return;
    this.#chrome = undefined;
    const error = new BackdropError('E_CHROME_CRASHED', reason, {
      hint: 'Run "backdrop doctor"; with a software adapter, try a smaller input size.',
    });
    this.#queue.failAll(error);
    const ended = chrome.close();
    if (!this.#options.restart) {
      this.#failure = error;
      this.#opening = ended;
      return;
    }
    this.#queue.newGeneration();
    this.#opening = ended.then(() => (this.#closed ? undefined : this.#open()));
    this.#opening.catch((cause) => {
      this.#failure = cause;
      this.#queue.failAll(cause);
    });
  }

  #requireGpu(): void {
    if (this.#gpu.adapter) return;
    if (!this.#gpu.webgpu) {
      throw new BackdropError('E_WEBGPU_MISSING', `${this.chrome.version} (${this.chrome.path}) has no WebGPU`, {
        hint: 'Use Chrome or Edge 113 or newer; CHROME_PATH chooses the program.',
      });
    }
    throw new BackdropError('E_WEBGPU_NO_ADAPTER', `Chrome offers no WebGPU adapter (asked for: ${this.chrome.adapter})`, {
      hint: 'Check the graphics driver (on Linux: Vulkan), or compute on the processor with BACKDROP_ADAPTER=swiftshader.',
    });
  }

  #serveFiles(): void {
    const { files } = this.#options;
    const pageFolder = dirname(fileURLToPath(import.meta.url));
    this.#server.handle(this.#prefix, async (request, response, rest) => {
      if (rest === '') return void response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(html);
      const memory = files?.get(rest);
      if (memory) return void response.writeHead(200, { 'Content-Type': mimeType(rest) }).end(memory);
      if (!files && /^(page|loader-worker)\.js(\.map)?$/.test(rest)) return sendFile(request, response, resolve(pageFolder, rest));
      response.writeHead(404).end();
    });
    this.#server.handle(`${this.#prefix}file/`, async (request, response, rest) => {
      const path = this.#files.get(rest.split('/')[0] ?? '');
      if (path === undefined) return void response.writeHead(404).end();
      await sendFile(request, response, path);
    });
  }
}
