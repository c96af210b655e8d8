/** For the tests of the page: its server, a Chrome, and tabs that count what their workers are asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'puppeteer';
import { adapterChoice, type Chrome, launchChrome, likelyAdapter } from '../../src/host/chrome.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { formulaFile } from '../weights-tools/formula-file.ts';

export const embeddedModel = join(root, 'demo/model/association-detr-nano.safetensors');
export const samples = join(root, 'demo/samples');
/** Screenshots, for people to look at; git ignores dist/. */
export const artefacts = join(root, 'dist/artefacts');

/** Runs in a tab before the page: remembers what its workers are asked, and the workers. */
const counting = `
  globalThis.asked = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    globalThis.lastWorker = this;
    if (message?.name) globalThis.asked.push(message.name);
    return post.call(this, message, ...rest);
  };`;

export class Tab {
  readonly page: Page;
  /** Addresses it asked for. */
  readonly requests: string[] = [];
  /** Errors nobody caught. */
  readonly errors: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('request', (request) => this.requests.push(request.url()));
    page.on('pageerror', (error) => this.errors.push(String(error)));
  }

  text(selector: string): Promise<string> {
    return this.page.$eval(selector, (element) => element.textContent ?? '');
  }

  async click(selector: string): Promise<void> {
    await this.page.$eval(selector, (element) => (element as HTMLElement).click());
  }

  /** Clicks a button by its words. */
  async press(text: string, within = 'body'): Promise<void> {
    await this.page.$eval(
      within,
      (root, words) => {
        const button = [...root.querySelectorAll('button')].find(({ textContent }) => textContent?.trim() === words);
        if (!button) throw new Error(`no button "${words}"`);
        button.click();
      },
      text,
    );
  }

  /** Sets a slider, a number or a choice as a person does. */
  async set(selector: string, value: string): Promise<void> {
    await this.page.$eval(
      selector,
      (element, wanted) => {
        (element as HTMLInputElement).value = wanted;
        element.dispatchEvent(new Event('input', { bubbles: true }));
        element.dispatchEvent(new Event('change', { bubbles: true }));
      },
      value,
    );
  }

  async upload(selector: string, ...files: string[]): Promise<void> {
    const input = await this.page.$(selector);
    await (input as unknown as { uploadFile(...paths: string[]): Promise<void> }).uploadFile(...files);
  }

  /** How often a worker was asked this. */
  asked(name: string): Promise<number> {
    return this.page.evaluate(
      (wanted) => (globalThis as unknown as { asked: string[] }).asked.filter((one) => one === wanted).length,
      name,
    );
  }

  /** Waits until an element's text matches. */
  async until(selector: string, pattern: RegExp, timeout = 240_000): Promise<string> {
    try {
      await this.page.waitForFunction(
        (at, source) => new RegExp(source).test(document.querySelector(at)?.textContent ?? ''),
        { timeout, polling: 100 },
        selector,
        pattern.source,
      );
    } catch (cause) {
      const state = await this.page.evaluate(() =>
        [...document.querySelectorAll('#trouble:not([hidden]), #work:not([hidden])')].map(({ textContent }) => textContent).join('; '),
      );
      throw new Error(`${selector} is "${await this.text(selector)}", not ${pattern} (${state})`, { cause });
    }
    return this.text(selector);
  }

  /** Runs what begins a detection and waits until the model has looked. */
  async looking(action: () => Promise<unknown>): Promise<void> {
    await this.page.$eval('#timings', (element) => {
      element.textContent = 'waiting';
    });
    await action();
    await this.until('#timings', /inference \d/);
  }

  async trouble(pattern: RegExp): Promise<void> {
    await this.until('#trouble:not([hidden])', pattern);
    await this.click('#trouble-close');
  }

  async panel(name: string): Promise<void> {
    await this.click(`#tab-${name}`);
    await this.page.waitForSelector(`#panel-${name}:not([hidden])`);
  }

  async screenshot(name: string): Promise<void> {
    mkdirSync(artefacts, { recursive: true });
    await this.page.screenshot({ path: join(artefacts, `${name}.png`) as `${string}.png` });
  }
}

export class Demo {
  readonly folder = mkdtempSync(join(tmpdir(), 'backdrop-demo-'));
  readonly chrome: Chrome;
  readonly address: string;
  readonly #server: ChildProcess;
  #weights: Promise<string> | undefined;

  private constructor(chrome: Chrome, server: ChildProcess, address: string) {
    this.chrome = chrome;
    this.#server = server;
    this.address = address;
  }

  static async start(): Promise<Demo> {
    const server = spawn(process.execPath, [join(root, 'src/host/backdrop.mjs'), 'demo', '--port', '0', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((done) => server.stdout!.once('data', (data) => done(String(data))));
    const choice = adapterChoice();
    const chrome = await launchChrome({
      adapter: choice === 'auto' ? likelyAdapter() : choice,
      flags: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    });
    return new Demo(chrome, server, JSON.parse(line).address);
  }

  /** A file in the tests' own folder. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  async tab(prepare?: (page: Page) => Promise<unknown>, hash = ''): Promise<Tab> {
    const page = await this.chrome.browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    const tab = new Tab(page);
    await page.evaluateOnNewDocument(counting);
    await prepare?.(page);
    await page.goto(this.address + hash);
    return tab;
  }

  /** Waits until a model has looked at the first sample: the embedded one, or formula weights where the build has none. */
  async ready(tab: Tab): Promise<void> {
    if (!existsSync(embeddedModel)) {
      await tab.trouble(/model is missing/);
      await tab.upload('#weights', await this.formulaWeights());
    }
    await tab.until('#timings', /inference \d/);
  }

  /** The nano model with formula weights: it computes all that a trained one does, and finds nothing that makes sense. */
  formulaWeights(): Promise<string> {
    this.#weights ??= formulaFile('association-detr-nano').then((bytes) => this.file('formula-nano.pth', bytes));
    return this.#weights;
  }

  /** The file that an action saves. */
  async saved(action: () => Promise<unknown>): Promise<{ name: string; content: Buffer }> {
    const folder = mkdtempSync(join(this.folder, 'saved-'));
    const session = await this.chrome.browser.target().createCDPSession();
    await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder, eventsEnabled: true });
    const done = new Promise<void>((resolve, reject) => {
      session.on('Browser.downloadProgress', ({ state }) => {
        if (state === 'completed') resolve();
        else if (state === 'canceled') reject(new Error('the download was given up'));
      });
    });
    await action();
    await done;
    await session.detach();
    const [name] = readdirSync(folder);
    return { name: name!, content: readFileSync(join(folder, name!)) };
  }

  /** Stops the server; the exit code of Ctrl-C. */
  async stopServer(): Promise<number | null> {
    if (this.#server.exitCode !== null) return this.#server.exitCode;
    const ended = new Promise<number | null>((done) => this.#server.on('exit', done));
    this.#server.kill('SIGINT');
    return ended;
  }

  async close(): Promise<number | null> {
    await this.chrome.close();
    rmSync(this.folder, { recursive: true });
    return this.stopServer();
  }
}
