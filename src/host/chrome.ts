/**
 * A headless Chrome of our own: found, started with a profile in a temporary folder, and always gone afterwards,
 * whether we close it, crash, or are interrupted.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'puppeteer';
import { BackdropError } from '../errors.ts';
import { findChrome } from './find-chrome.mjs';

/** Which WebGPU adapter Chrome is asked for. `auto` takes the hardware when there are signs of any. */
export type AdapterChoice = 'auto' | 'default' | 'swiftshader';

export interface ChromeOptions {
  /** Browser program; found by findChrome when absent. */
  path?: string;
  adapter?: 'default' | 'swiftshader';
  /** More of Chrome's own flags. */
  flags?: readonly string[];
  /** A first signal does not end it; the end of this process still does. */
  outliveSignals?: boolean;
}

export interface Chrome {
  readonly browser: Browser;
  readonly path: string;
  readonly version: string;
  readonly adapter: 'default' | 'swiftshader';
  /** Ends every process of this Chrome and removes its profile. A second call does nothing. */
  close(): Promise<void>;
}

/** BACKDROP_ADAPTER, checked. Throws E_CLI_USAGE on an unknown value. */
export function adapterChoice(value = process.env.BACKDROP_ADAPTER): AdapterChoice {
  if (value === undefined || value === '') return 'auto';
  if (value === 'auto' || value === 'default' || value === 'swiftshader') return value;
  throw new BackdropError('E_CLI_USAGE', `BACKDROP_ADAPTER is "${value}"; expected auto, default or swiftshader`);
}

/** On Linux a render node or NVIDIA's device file tells of a GPU; elsewhere there practically always is one. */
export function likelyAdapter(): 'default' | 'swiftshader' {
  if (process.platform !== 'linux') return 'default';
  if (existsSync('/dev/nvidiactl') || existsSync('/dev/dxg')) return 'default';
  const nodes = existsSync('/dev/dri') ? readdirSync('/dev/dri') : [];
  return nodes.some((name) => name.startsWith('renderD')) ? 'default' : 'swiftshader';
}

/** The command line Chrome is started with, beyond puppeteer's own. */
export function chromeFlags(adapter: 'default' | 'swiftshader'): string[] {
  const flags = [
    '--enable-unsafe-webgpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-quic',
    '--disable-sync',
    '--no-first-run',
    '--no-default-browser-check',
  ];
  // Chrome's sandbox refuses to start as root, which is what one is in most containers.
  if (process.platform === 'linux' && process.getuid?.() === 0) flags.push('--no-sandbox');
  if (adapter === 'swiftshader') flags.push('--use-webgpu-adapter=swiftshader');
  else if (process.platform === 'linux') flags.push('--enable-features=Vulkan', '--use-angle=vulkan', '--disable-vulkan-surface');
  return flags;
}

/** Chrome's path, or E_CHROME_MISSING with what to do. */
export function requireChrome(): { path: string; source: string } {
  const found = findChrome();
  if (found.path !== null) return found;
  throw new BackdropError('E_CHROME_MISSING', `Chrome is missing: ${found.problem}`, {
    hint: 'Install Chrome, Chromium or Edge, or run "npx puppeteer browsers install chrome", or set CHROME_PATH to the program.',
  });
}

/**
 * Starts Chrome. Its debugging connection is a pipe, not a port: nobody else can reach it, and Chrome ends by itself
 * when this process dies without a chance to clean up.
 */
export async function launchChrome(options: ChromeOptions = {}): Promise<Chrome> {
  const path = options.path ?? requireChrome().path;
  const adapter = options.adapter ?? likelyAdapter();
  const { default: puppeteer } = await import('puppeteer').catch((cause) => {
    throw new BackdropError('E_CHROME_MISSING', 'the package puppeteer, which drives Chrome, is not installed', {
      cause,
      hint: 'Run "npm install puppeteer" beside Backdrop, with -g if Backdrop was installed so.',
    });
  });
  sweepProfiles();
  const profile = mkdtempSync(join(tmpdir(), profilePrefix()));
  const entry: Live = { pid: undefined, profile, outliveSignals: options.outliveSignals ?? false };
  remember(entry);
  let browser: Browser;
  try {
    browser = await puppeteer.launch({
      executablePath: path,
      headless: true,
      pipe: true,
      userDataDir: profile,
      args: [...chromeFlags(adapter), ...(options.flags ?? [])],
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
      timeout: 60_000,
      protocolTimeout: 0,
    });
  } catch (cause) {
    remove(entry);
    entry.interrupted?.();
    const reason = cause instanceof Error ? cause.message.split('\n').slice(0, 4).join('\n') : String(cause);
    throw new BackdropError('E_CHROME_CRASHED', `Chrome did not start (${path}): ${reason}`, {
      cause,
      hint: 'Start it by hand to see why; in a container, missing libraries are the usual reason. CHROME_PATH chooses another program.',
    });
  }
  entry.pid = browser.process()?.pid;
  if (entry.interrupted) {
    remove(entry);
    entry.interrupted();
    throw new BackdropError('E_CHROME_CRASHED', 'interrupted while Chrome was starting');
  }
  let closing: Promise<void> | undefined;
  const close = async () => {
    // An orderly end lets Chrome write its caches; what is still there after that is ended by force.
    await Promise.race([browser.close().catch(() => {}), new Promise((done) => setTimeout(done, 3000).unref())]);
    remove(entry);
  };
  return {
    browser,
    path,
    adapter,
    version: await browser.version(),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

interface Live {
  /** Unknown while Chrome is starting. */
  pid: number | undefined;
  profile: string;
  outliveSignals: boolean;
  /** Set by a signal that came while Chrome was starting: what to do once it can be ended. */
  interrupted?: () => void;
}
const live = new Set<Live>();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Host and process id are part of the name, so that a later run knows whose profile it is. */
const profilePrefix = (pid = process.pid) => `backdrop-chrome-${hostname()}-${pid}-`;

function remember(entry: Live): void {
  if (live.size === 0) {
    process.on('exit', removeAll);
    for (const signal of signals) process.on(signal, onSignal);
  }
  live.add(entry);
}

/** Kills the process group (puppeteer starts Chrome as the leader of its own) and deletes the profile. */
function remove(entry: Live): void {
  if (!live.delete(entry)) return;
  if (live.size === 0) {
    process.off('exit', removeAll);
    for (const signal of signals) process.off(signal, onSignal);
  }
  if (entry.pid !== undefined) {
    try {
      if (process.platform === 'win32') execFileSync('taskkill', ['/pid', String(entry.pid), '/T', '/F'], { stdio: 'ignore' });
      else process.kill(-entry.pid, 'SIGKILL');
    } catch {
      // Already gone, which is what we want.
    }
  }
  try {
    // Dying processes may still write for a moment.
    rmSync(entry.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  } catch {
    // The next start sweeps it away; a failure to tidy up must not hide why we are here.
  }
}

function removeAll(): void {
  for (const entry of [...live]) remove(entry);
}

function onSignal(signal: NodeJS.Signals): void {
  // Whoever else listens decides how the process ends; without anyone the signal must keep its meaning.
  const alone = process.listenerCount(signal) === 1;
  const raise = () => {
    if (alone && live.size === 0) process.kill(process.pid, signal);
  };
  for (const entry of [...live]) {
    if (entry.outliveSignals) continue;
    if (entry.pid !== undefined) remove(entry);
    else entry.interrupted = raise;
  }
  raise();
}

/** Removes profiles whose process was killed before it could. */
function sweepProfiles(): void {
  const prefix = `backdrop-chrome-${hostname()}-`;
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (pid === process.pid) continue;
    try {
      process.kill(pid, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') continue;
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}
