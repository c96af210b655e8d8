import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildTestPage } from '../../esbuild.config.mjs';
import { BackdropError } from '../../src/errors.ts';
import { PageSession, type SessionOptions } from '../../src/host/session.ts';

let files: Map<string, Uint8Array>;
const launch = (options: SessionOptions = {}) => PageSession.launch({ files, ...options });
const profiles = () => readdirSync(tmpdir()).filter((name) => name.startsWith('backdrop-chrome-') && name.includes(`-${process.pid}-`));

beforeAll(async () => {
  files = await buildTestPage();
  // Bundles the whole library: seconds, more on a busy machine.
}, 120_000);

describe('a page session', { timeout: 60_000 }, () => {
  let session: PageSession;
  beforeAll(async () => {
    session = await launch();
  });
  afterAll(() => session.close());

  it('moves typed arrays both ways', async () => {
    const sent = { a: [new Float32Array([1, Number.NaN]), new Uint8Array([7])], big: new Float64Array(100_000).fill(0.1) };
    expect(await session.call('echo', sent)).toEqual(sent);
  });

  it('reports progress in order, all of it before the result', async () => {
    const seen: { i: number; data: Float32Array }[] = [];
    expect(await session.call('count', 20, { onProgress: (value: { i: number; data: Float32Array }) => seen.push(value) })).toBe(20);
    expect(seen.map(({ i, data }) => [i, data[0]])).toEqual(Array.from({ length: 20 }, (_, i) => [i + 1, i + 1]));
  });

  it('gives errors of the page their type, code and hint back', async () => {
    const error = await session.call('throw', 'wrong shape').catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BackdropError);
    expect(error).toMatchObject({ code: 'E_SHAPE', message: 'wrong shape', hint: 'look', details: { shape: [1, 2] } });
  });

  it('lets the page read a local file, and nothing else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'backdrop-test-'));
    try {
      writeFileSync(join(folder, 'ä b.bin'), new Uint8Array([1, 2, 3]));
      writeFileSync(join(folder, 'secret.bin'), 'x');
      const url = session.file(join(folder, 'ä b.bin'));
      expect(await session.call('fetch', url)).toEqual(new Uint8Array([1, 2, 3]));
      expect((await fetch(session.endpoint + url.replace(/[^/]+$/, 'secret.bin'))).status).toBe(200);
      expect(await (await fetch(session.endpoint + url.replace(/[^/]+$/, 'secret.bin'))).text()).not.toBe('x');
      expect((await fetch(`${session.endpoint}file/AAAAAAAAAAAA/secret.bin`)).status).toBe(404);
      expect((await fetch(new URL('/', session.endpoint))).status).toBe(404);
      expect(() => session.file(join(folder, 'none.bin'))).toThrow('there is no file');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('stops waiting when the caller aborts, and goes on with the next call', async () => {
    const abort = new AbortController();
    const call = session.call('until aborted', null, { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 100);
    await expect(call).rejects.toThrow('enough');
    expect(await session.call('echo', 1)).toBe(1);
  });

  it('fails a call during which WebGPU reported an error nobody caught', async () => {
    await expect(session.call('invalid command', null)).rejects.toMatchObject({ code: 'E_GPU_VALIDATION' });
    expect(await session.call('echo', 2)).toBe(2);
  });
});

describe('when Chrome fails', { timeout: 60_000 }, () => {
  const crashed = { name: 'BackdropError', code: 'E_CHROME_CRASHED' };

  it.each([
    ['the page is closed', async (s: PageSession) => void (await (await s.chrome.browser.pages())[0]!.close())],
    ['the GPU process dies', (s: PageSession) => crashGpu(s)],
    ['the browser process is killed', async (s: PageSession) => void s.chrome.browser.process()?.kill('SIGKILL')],
    ['the session is closed', (s: PageSession) => s.close()],
  ])('and %s, open calls reject and nothing stays behind', async (_, fail) => {
    const session = await launch();
    const call = session.call('never', null);
    const queued = session.call('echo', 1);
    const settled = Promise.allSettled([call, queued]);
    // The job has to be under way.
    await new Promise((done) => setTimeout(done, 200));
    await fail(session);
    expect(await settled).toMatchObject([{ reason: crashed }, { reason: crashed }]);
    await expect(session.call('echo', 1)).rejects.toMatchObject(crashed);
    await session.close();
    expect(profiles()).toEqual([]);
  });

  it('with restart, the next call gets a new Chrome', async () => {
    const session = await launch({ restart: true });
    try {
      const call = session.call('never', null);
      call.catch(() => {});
      await new Promise((done) => setTimeout(done, 200));
      await crashGpu(session);
      await expect(call).rejects.toMatchObject(crashed);
      expect(await session.call('echo', 'again')).toBe('again');
    } finally {
      await session.close();
    }
    expect(profiles()).toEqual([]);
  });

  it('a call over its time limit counts as a hung page', async () => {
    const session = await launch();
    try {
      await expect(session.call('never', null, { timeoutMs: 300 })).rejects.toThrow('has not answered "never" for 0.3 s');
    } finally {
      await session.close();
    }
  });

  it('a program that is no Chrome gives E_CHROME_CRASHED with its path', async () => {
    await expect(launch({ chromePath: process.platform === 'win32' ? 'C:\\nope.exe' : '/bin/false' })).rejects.toMatchObject(crashed);
    expect(profiles()).toEqual([]);
  });
});

async function crashGpu(session: PageSession): Promise<void> {
  const cdp = await session.chrome.browser.target().createCDPSession();
  await cdp.send('Browser.crashGpuProcess').catch(() => {});
}
