import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LocalServer, mimeType, parseRange } from '../../src/host/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-server-'));
const inside = join(folder, 'public');
let server: LocalServer;

/** fetch() tidies ".." away before sending; this does not. */
function get(
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: server.port, path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
    });
    outgoing.on('error', reject).end();
  });
}

beforeAll(async () => {
  mkdirSync(join(inside, 'sub'), { recursive: true });
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  writeFileSync(join(inside, 'index.html'), '<p>hello');
  writeFileSync(join(inside, 'data.bin'), '0123456789');
  writeFileSync(join(inside, 'empty.bin'), '');
  writeFileSync(join(inside, 'sub', 'x.js'), '1');
  symlinkSync(join(folder, 'secret.txt'), join(inside, 'link.txt'));
  server = await LocalServer.start();
  server.serveFolder('/', inside);
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

describe('the local server', () => {
  it('serves files with their types, and index.html for a folder', async () => {
    expect(await get('/')).toMatchObject({ status: 200, text: '<p>hello', headers: { 'content-type': 'text/html; charset=utf-8' } });
    expect(await get('/sub/x.js')).toMatchObject({ status: 200, headers: { 'content-type': 'text/javascript; charset=utf-8' } });
    expect((await get('/none')).status).toBe(404);
    expect((await get('/sub')).status).toBe(404);
    expect(mimeType('a/B.WGSL')).toBe('text/plain; charset=utf-8');
    expect(mimeType('a.safetensors')).toBe('application/octet-stream');
  });

  it.each([
    '/../secret.txt',
    '/sub/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/sub/..%5c..%5csecret.txt',
    '/link.txt',
    '/%00',
    '/%',
    '//etc/passwd',
  ])('gives nothing outside its folder: %s', async (path) => {
    const { status, text } = await get(path);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(text).not.toContain('secret');
  });

  it('answers ranges', async () => {
    const range = async (value: string) => {
      const { status, text, headers } = await get('/data.bin', { range: value });
      return [status, text, headers['content-range']];
    };
    expect(await range('bytes=2-4')).toEqual([206, '234', 'bytes 2-4/10']);
    expect(await range('bytes=7-')).toEqual([206, '789', 'bytes 7-9/10']);
    expect(await range('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
    expect(await range('bytes=5-99')).toEqual([206, '56789', 'bytes 5-9/10']);
    expect((await range('bytes=10-')).at(0)).toBe(416);
    expect(await range('bytes=0-1,3-4')).toEqual([200, '0123456789', undefined]);
    expect((await get('/empty.bin')).status).toBe(200);
  });

  it('keeps every range within the file', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(1000), fc.nat(2000), fc.nat(2000), (noise, size, from, to) => {
        for (const header of [`bytes=${from}-${to}`, `bytes=${from}-`, `bytes=-${to}`, `bytes=${noise}`]) {
          const range = parseRange(header, size);
          if (range === null || range === 'unsatisfiable') continue;
          expect(0 <= range.start && range.start <= range.end && range.end < size).toBe(true);
        }
      }),
    );
  });

  it('refuses a foreign host name, against DNS rebinding', async () => {
    expect((await get('/', { host: 'evil.example' })).status).toBe(403);
    expect((await get('/', { host: `localhost:${server.port}` })).status).toBe(200);
  });

  it('isolates the page and lets no request leave', async () => {
    const { headers } = await get('/');
    expect(headers).toMatchObject({ 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' });
    expect(headers['content-security-policy']).toContain("default-src 'self'");
  });

  it('takes another port when the wanted one is busy', async () => {
    const other = await LocalServer.start({ port: server.port });
    expect(other.port).not.toBe(server.port);
    await other.close();
  });
});
