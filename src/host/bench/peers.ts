/** The Node side of `bench peers`: installs the peers, bundles their page, serves it and drives it. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'puppeteer';
import type { ModelComparison, OpComparison, PeerName, PeersRequest, PeersStarted, TrainingComparison } from '../../bench/comparison.ts';
import { BackdropError } from '../../errors.ts';
import { adapterChoice, launchChrome, likelyAdapter } from '../chrome.ts';
import type { Io } from '../io.ts';
import { LocalServer, mimeType } from '../server.ts';

/** The repository, seen from dist/host/cli.js. */
const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = join(root, 'tests/peers');

/** Installs what tests/peers/package.json asks for, unless it is there. */
function install(io: Io): void {
  const manifest = join(folder, 'package.json');
  if (!existsSync(manifest)) {
    throw new BackdropError('E_FILE_MISSING', 'bench peers needs tests/peers, which the published package leaves out', {
      hint: 'Run it in a clone of the repository.',
    });
  }
  const { dependencies } = JSON.parse(readFileSync(manifest, 'utf8')) as { dependencies: Record<string, string> };
  const installed = (name: string) => {
    const file = join(folder, 'node_modules', name, 'package.json');
    return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  };
  if (Object.entries(dependencies).every(([name, wanted]) => installed(name) === wanted)) return;
  io.progress('installing the peers into tests/peers (about 220 MB)');
  const args = ['install', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (status !== 0) throw new BackdropError('E_FILE_WRITE', '"npm install" of the peers failed; its output above says why');
}

async function bundle(): Promise<Uint8Array> {
  const { build } = await import('esbuild');
  const { wgslEsbuild } = (await import(new URL('../../src/host/wgsl-plugin.mjs', import.meta.url).href)) as {
    wgslEsbuild(options: { minify: boolean }): import('esbuild').Plugin;
  };
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['tests/peers/page.ts'],
    bundle: true,
    format: 'esm',
    target: 'es2023',
    platform: 'browser',
    minify: true,
    write: false,
    logLevel: 'silent',
    plugins: [wgslEsbuild({ minify: true })],
  });
  return outputFiles[0].contents;
}

const html =
  '<!doctype html><meta charset="utf-8"><title>peers</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>\n';

/** The running page. */
export interface PeersPage {
  readonly chrome: string;
  readonly started: PeersStarted;
  compare(name: string, rounds: number): Promise<OpComparison>;
  compareModel(name: string, size: number, rounds: number, peers: readonly PeerName[]): Promise<ModelComparison>;
  compareTraining(name: string, rounds: number): Promise<TrainingComparison>;
}

export async function withPeers<T>(io: Io, request: PeersRequest, work: (page: PeersPage) => Promise<T>): Promise<T> {
  install(io);
  io.progress('bundling the page');
  const script = await bundle();
  const server = await LocalServer.start();
  try {
    // WebAssembly and generated code are what the peers are made of; nothing but this page is served.
    const policy = "default-src 'self' data: blob:; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:";
    server.handle('/', (_, response, rest) => {
      if (rest === 'page.js') return void response.writeHead(200, { 'Content-Type': mimeType(rest) }).end(script);
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy }).end(html);
    });
    server.serveFolder('/ort/', join(folder, 'node_modules/onnxruntime-web/dist'));
    io.progress('starting Chrome');
    const choice = adapterChoice();
    const chrome = await launchChrome({ adapter: choice === 'auto' ? likelyAdapter() : choice });
    try {
      const page = await open(chrome.browser, server.origin, io);
      const call = guarded(page, io);
      io.progress('starting the peers');
      const started = await call<PeersStarted>('start', request);
      return await work({
        chrome: chrome.version,
        started,
        compare: (...args) => call<OpComparison>('compare', ...args),
        compareModel: (...args) => call<ModelComparison>('compareModel', ...args),
        compareTraining: (...args) => call<TrainingComparison>('compareTraining', ...args),
      });
    } finally {
      await chrome.close();
    }
  } finally {
    await server.close();
  }
}

async function open(browser: import('puppeteer').Browser, origin: string, io: Io): Promise<Page> {
  const page = (await browser.pages())[0] ?? (await browser.newPage());
  page.on('console', (message) => {
    if (io.debug) io.note(`[page ${message.type()}] ${message.text()}`);
  });
  page.on('pageerror', (error) => io.note(`[page] ${error instanceof Error ? error.message : error}`));
  await page.goto(origin);
  await page.waitForFunction('globalThis.peers !== undefined');
  return page;
}

/** Calls a method of the page's `peers`; ends when the page's process, Chrome or the user does. */
function guarded(page: Page, io: Io): <T>(method: string, ...args: unknown[]) => Promise<T> {
  const gone = new Promise<never>((_, reject) => {
    page.on('error', () => reject(new BackdropError('E_CHROME_CRASHED', "the page's process crashed")));
    page.on('close', () => reject(new BackdropError('E_CHROME_CRASHED', 'the page was closed')));
    io.signal.addEventListener('abort', () => reject(io.signal.reason));
  });
  gone.catch(() => {});
  return async <T>(method: string, ...args: unknown[]): Promise<T> => {
    const text = `(async () => JSON.stringify(await globalThis.peers[${JSON.stringify(method)}](...${JSON.stringify(args)})))()`;
    return JSON.parse((await Promise.race([page.evaluate(text), gone])) as string) as T;
  };
}
