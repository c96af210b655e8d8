import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterChoice, type Chrome, launchChrome, likelyAdapter } from '../../src/host/chrome.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { page as testPage } from '../setup/gpu.ts';
import { formulaFile } from '../weights-tools/formula-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-demo-'));
let server: ChildProcess;
let address: string;
let chrome: Chrome;

/** The demo in a fresh tab, with every address it asked for. */
async function open(prepare?: (page: Page) => Promise<unknown>): Promise<{ page: Page; asked: string[] }> {
  const page = await chrome.browser.newPage();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await prepare?.(page);
  await page.goto(address);
  return { page, asked };
}
const textOf = (page: Page, selector: string) => page.$eval(selector, (element) => element.textContent ?? '');

beforeAll(async () => {
  server = spawn(process.execPath, [join(root, 'src/host/backdrop.mjs'), 'demo', '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  address = await new Promise((done) => server.stdout!.once('data', (data) => done(JSON.parse(String(data)).address)));
  const choice = adapterChoice();
  chrome = await launchChrome({ adapter: choice === 'auto' ? likelyAdapter() : choice });
});
afterAll(async () => {
  await chrome?.close();
  const ended = new Promise((done) => server.on('exit', done));
  server.kill('SIGINT');
  expect(await ended).toBe(130);
  rmSync(folder, { recursive: true });
});

describe('the first page', () => {
  it('finds objects in a picture with a weights file, and sends nothing anywhere', async () => {
    const picture = join(folder, 'picture.png');
    const weights = join(folder, 'r18.pth');
    writeFileSync(weights, await formulaFile('rtdetr-r18'));
    writeFileSync(picture, await testPage.call<Uint8Array>('make picture', { type: 'image/png', width: 200, height: 120 }));
    const { page, asked } = await open();
    await page.select('#size', '320');
    await (await page.$('#threshold'))!.evaluate((slider) => {
      (slider as unknown as { value: string }).value = '0.05';
      slider.dispatchEvent(new Event('input'));
    });
    for (const [selector, file] of [
      ['#image', picture],
      ['#weights', weights],
    ] as const) {
      await (await page.$(`input${selector}`))!.uploadFile(file);
    }
    await page.waitForSelector('#detections button', { timeout: 240_000 });
    expect(await textOf(page, '#adapter')).toContain('rtdetr-r18 on');
    expect(await textOf(page, '#report')).toContain('RT-DETR v1, ResNet-18, from ema.module: 533 tensors loaded');
    expect(await textOf(page, '#timings')).toMatch(/inference \d/);
    const many = (await page.$$('#detections button')).length;
    expect(await textOf(page, '#count')).toBe(many === 1 ? '1 object' : `${many} objects`);
    // Choosing a row needs no mouse.
    await page.focus('#detections button');
    await page.keyboard.press('Enter');
    expect(await page.$$eval('#detections [aria-pressed="true"]', (rows) => rows.length)).toBe(1);
    expect(asked.filter((url) => !url.startsWith(address) && !url.startsWith('data:') && !url.startsWith('blob:'))).toEqual([]);
    await page.close();
  });

  it('says what a file is that holds no weights', async () => {
    const { page } = await open();
    writeFileSync(join(folder, 'model.pth'), '<!doctype html><title>Sign in</title>');
    await (await page.$('input#weights'))!.uploadFile(join(folder, 'model.pth'));
    await page.waitForSelector('#trouble:not([hidden])');
    expect(await textOf(page, '#trouble')).toContain('a web page, not a checkpoint');
    await page.close();
  });

  it('says so when a picture cannot be read', async () => {
    const { page } = await open();
    writeFileSync(join(folder, 'text.jpg'), 'no picture');
    await (await page.$('input#image'))!.uploadFile(join(folder, 'text.jpg'));
    await page.waitForSelector('#trouble:not([hidden])');
    expect(await textOf(page, '#trouble')).toContain('E_IMAGE');
    await page.close();
  });

  it.each([
    ['there is no WebGPU', 'This browser has no WebGPU', 'delete Navigator.prototype.gpu'],
    [
      'the address is not secure',
      'WebGPU is hidden on this address',
      'delete Navigator.prototype.gpu; Object.defineProperty(globalThis, "isSecureContext", { value: false })',
    ],
    ['there is no adapter', 'No graphics adapter', 'GPU.prototype.requestAdapter = async () => null'],
  ])('says what to do when %s', async (_, title, script) => {
    const { page } = await open((tab) => tab.evaluateOnNewDocument(script));
    await page.waitForSelector('#trouble:not([hidden])');
    expect(await textOf(page, '#trouble-title')).toBe(title);
    expect((await textOf(page, '#trouble-hint')).length).toBeGreaterThan(20);
    await page.close();
  });
});
