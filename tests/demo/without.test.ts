/** Chrome as it is where WebGPU cannot be used: each way has its own words and next step, and the page fetches no model. */
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import puppeteer, { type Browser, type Page } from 'puppeteer';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { requireChrome } from '../../src/host/chrome.ts';
import { mimeType } from '../../src/host/server.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { artefacts } from './gpu-demo.ts';

let server: Server;
let browser: Browser;
let port: number;

beforeAll(async () => {
  mkdirSync(artefacts, { recursive: true });
  // The page's own server answers to this machine's names only; this one has another name.
  server = createServer(({ url = '/' }, response) => {
    const path = url === '/' ? 'index.html' : decodeURIComponent(url.slice(1));
    try {
      const file = readFileSync(join(root, 'dist/demo', path));
      response.writeHead(200, { 'Content-Type': mimeType(path) }).end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  ({ port } = server.address() as AddressInfo);
  // No flag of WebGPU's: on a machine without a graphics card Chrome then offers no adapter.
  browser = await puppeteer.launch({
    executablePath: requireChrome().path,
    pipe: true,
    args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=MAP page.example 127.0.0.1`],
  });
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

const missing = 'delete Navigator.prototype.gpu';

it.each([
  ['the API is missing', '127.0.0.1', missing, false, 'This browser has no WebGPU', /Chrome or Edge 113.*Safari 26.*Firefox 141/],
  ['the address is not secure', 'page.example', null, false, 'WebGPU is hidden on this address', /https:/],
  ['there is no adapter', '127.0.0.1', null, true, 'No graphics adapter', /hardware acceleration.*chrome:\/\/gpu/],
])('says what to do when %s', async (name, host, script, api, title, hint) => {
  const page: Page = await browser.newPage();
  const requests: string[] = [];
  const errors: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => errors.push(String(error)));
  if (script) await page.evaluateOnNewDocument(script);
  await page.goto(`http://${host}:${port}/`);
  await page.waitForSelector('#trouble:not([hidden])');
  const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent ?? '');
  expect(await text('#trouble-title')).toBe(title);
  expect(await text('#trouble-hint')).toMatch(hint);
  expect(await text('#adapter')).toBe('no graphics adapter');
  // It is the browser that is so, and not a test that pretends.
  expect(await page.evaluate(async () => Boolean(navigator.gpu) && (await navigator.gpu.requestAdapter()) === null)).toBe(api);
  // Pictures are still shown.
  await page.waitForFunction(() => document.querySelector('#canvas')?.getAttribute('aria-label')?.includes('.jpg'));
  await page.screenshot({ path: join(artefacts, `without-${name.replaceAll(' ', '-')}.png`) as `${string}.png` });
  expect(requests.filter((url) => url.includes('model/'))).toEqual([]);
  expect(errors).toEqual([]);
  await page.close();
});
