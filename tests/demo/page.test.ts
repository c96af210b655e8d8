/** The page in a real Chrome: the model looks at pictures from everywhere, and what is shown of what it found. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Demo, embeddedModel, samples, type Tab } from './gpu-demo.ts';

const picture = (name: string) => join(samples, name);
let demo: Demo;
let tab: Tab;
/** Another host: one file with permission for other pages (CORS), one without. */
let elsewhere: Server;
let other: string;
let hits: string[] = [];

beforeAll(async () => {
  elsewhere = createServer((request, response) => {
    hits.push(request.url ?? '');
    if (request.url?.startsWith('/open/')) response.setHeader('Access-Control-Allow-Origin', '*');
    if (request.url?.endsWith('.jpg')) response.writeHead(200, { 'Content-Type': 'image/jpeg' }).end(readFileSync(picture('harbour.jpg')));
    else response.writeHead(404).end();
  });
  await new Promise<void>((done) => elsewhere.listen(0, '127.0.0.1', done));
  other = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
  demo = await Demo.start();
  tab = await demo.tab();
});
afterAll(async () => {
  elsewhere?.close();
  expect(await demo?.close()).toBe(130);
});

const rows = () => tab.page.$$eval('#detections button', (buttons) => buttons.map(({ textContent }) => textContent ?? ''));
const pointed = () =>
  tab.page.$$eval('#detections button', (buttons) => buttons.findIndex(({ classList }) => classList.contains('pointed')));
const strip = () => tab.page.$$eval('#strip button', (buttons) => buttons.map(({ title }) => title));
const shown = () => tab.page.$eval('#canvas', (canvas) => canvas.getAttribute('aria-label') ?? '');

describe('what is shown', () => {
  it('looks at a sample without a click', async () => {
    await demo.ready(tab);
    expect(await tab.asked('detect')).toBe(1);
    expect((await strip()).length).toBe(10);
    expect(await tab.page.$('#painted-only:not([hidden])')).not.toBe(null);
    expect(await tab.text('#model-name')).toContain('association-detr-nano');
    if (existsSync(embeddedModel)) {
      expect(await tab.text('#count')).toMatch(/^\d+ objects?$/);
      expect(await shown()).toMatch(/\.jpg: .*\d+ %/);
    }
  });

  it('applies threshold, limit and classes to what was found, without another look', async () => {
    await tab.set('#threshold', '0.05');
    await tab.set('#limit', '300');
    const all = await rows();
    expect(all.length).toBeGreaterThan(2);
    await tab.set('#limit', '2');
    expect(await rows()).toEqual(all.slice(0, 2));
    await tab.set('#limit', '300');
    const label = await tab.text('#detections .label');
    await tab.click(`#classes input[value="${label}"]`);
    expect((await rows()).filter((row) => row.startsWith(label))).toEqual([]);
    await tab.click('#no-classes');
    expect(await tab.text('#count')).toBe('No objects');
    await tab.click('#all-classes');
    expect(await rows()).toEqual(all);
    expect(await tab.asked('detect')).toBe(1);
  });

  it('keeps threshold, limit, hidden classes and panel in the address', async () => {
    const label = await tab.text('#detections .label');
    await tab.click(`#classes input[value="${label}"]`);
    await tab.panel('model');
    const hash = new URLSearchParams(new URL(tab.page.url()).hash.slice(1));
    expect(Object.fromEntries(hash)).toEqual({ threshold: '0.05', limit: '300', hide: label, panel: 'model' });
    await tab.click('#all-classes');
    await tab.panel('results');
    expect(tab.page.url()).not.toContain('hide');
  });

  it('links the list with the boxes, by pointer and by key', async () => {
    await tab.page.focus('#detections button');
    expect(await pointed()).toBe(0);
    await tab.page.keyboard.press('Enter');
    expect(await tab.page.$$eval('#detections [aria-pressed="true"]', ({ length }) => length)).toBe(1);
    await tab.page.keyboard.press('Enter');
    expect(await tab.page.$$eval('#detections [aria-pressed="true"]', ({ length }) => length)).toBe(0);
    await tab.page.keyboard.press('Tab');
    expect(await pointed()).toBe(1);
    // Over the picture: some place of it has a box, and its row is marked.
    await tab.page.$eval('#canvas', (canvas) => (canvas as HTMLElement).focus());
    expect(await pointed()).toBe(-1);
    const area = (await (await tab.page.$('#canvas'))!.boundingBox())!;
    const marks = new Set<number>();
    for (let i = 1; i < 5; i++) {
      for (let j = 1; j < 5; j++) {
        await tab.page.mouse.move(area.x + (area.width * i) / 5, area.y + (area.height * j) / 5);
        marks.add(await pointed());
      }
    }
    expect(Math.max(...marks)).toBeGreaterThanOrEqual(0);
    await tab.page.mouse.move(2, 2);
    expect(await pointed()).toBe(-1);
  });

  it('zooms by key and button', async () => {
    const painted = () => tab.page.$eval('#canvas', (canvas) => (canvas as HTMLCanvasElement).toDataURL().length);
    const before = await painted();
    await tab.page.focus('#canvas');
    await tab.page.keyboard.press('+');
    await tab.page.keyboard.press('ArrowLeft');
    await tab.page.waitForFunction(
      (length) => (document.querySelector('#canvas') as HTMLCanvasElement).toDataURL().length !== length,
      {},
      before,
    );
    await tab.page.keyboard.press('0');
    await tab.page.waitForFunction(
      (length) => (document.querySelector('#canvas') as HTMLCanvasElement).toDataURL().length === length,
      {},
      before,
    );
  });
});

/** Drops or pastes a file that the page itself has. */
const hand = (kind: 'drop' | 'paste', name: string) =>
  tab.page.evaluate(
    async (event, address) => {
      const blob = await (await fetch(`samples/${address}`)).blob();
      const data = new DataTransfer();
      data.items.add(new File([blob], `${event}-${address}`, { type: 'image/jpeg' }));
      const made =
        event === 'drop'
          ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
          : new ClipboardEvent('paste', { clipboardData: data, bubbles: true });
      document.body.dispatchEvent(made);
    },
    kind,
    name,
  );

describe('ways in', () => {
  it('takes many pictures from the picker', async () => {
    await tab.looking(() => tab.upload('#image', picture('pasture.jpg'), picture('regatta.jpg')));
    expect((await strip()).slice(10)).toEqual(['pasture.jpg', 'regatta.jpg']);
    expect(await shown()).toContain('pasture.jpg');
  });

  it('takes a dropped picture', async () => {
    await tab.looking(() => hand('drop', 'harbour.jpg'));
    expect(await shown()).toContain('drop-harbour.jpg');
  });

  it('takes a pasted picture', async () => {
    await tab.looking(() => hand('paste', 'harbour.jpg'));
    expect(await shown()).toContain('paste-harbour.jpg');
  });

  it('fetches an address through the frame, and says so when the other host refuses', async () => {
    await tab.page.type('#address', `${other}/open/boats.jpg`);
    await tab.looking(() => tab.page.keyboard.press('Enter'));
    expect(await shown()).toContain('boats.jpg');
    await tab.set('#address', `${other}/closed/boats.jpg`);
    await tab.press('Fetch', '#address-form');
    await tab.trouble(/did not give the file to this page[\s\S]*CORS/);
    await tab.set('#address', `${other}/open/nothing`);
    await tab.press('Fetch', '#address-form');
    await tab.trouble(/answers 404/);
  });

  it('starts and stops the camera', async () => {
    await tab.looking(() => tab.click('#camera'));
    expect(await tab.text('#camera')).toBe('Stop camera');
    expect(await shown()).toContain('camera');
    await tab.click('#camera');
    expect(await tab.text('#camera')).toBe('Camera');
  });

  it('says that a camera was refused', async () => {
    await tab.page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    });
    await tab.click('#camera');
    await tab.trouble(/camera was refused/);
    expect(await tab.text('#camera')).toBe('Camera');
  });
});

describe('bad input', () => {
  /** A PNG's first bytes: sizes, and nothing behind them. */
  const header = (width: number, height: number) => {
    const bytes = Buffer.from('89504e470d0a1a0a0000000d49484452000000000000000008020000000000000000', 'hex');
    bytes.writeUInt32BE(width, 16);
    bytes.writeUInt32BE(height, 20);
    return bytes;
  };

  it.each([
    ['a text file', 'words.jpg', 'no picture', /This picture cannot be used/],
    ['an empty file', 'nothing.png', '', /This picture cannot be used/],
    ['a picture of 400 megapixels', 'huge.png', header(20_000, 20_000), /400 megapixels, more than 100/],
    ['an empty film', 'film.mp4', '', /the file is empty/],
    ['a film that is none', 'film.webm', 'no film', /cannot read the film/],
  ])('says what is wrong with %s', async (_, name, content, words) => {
    const before = await strip();
    await tab.upload('#image', demo.file(name, content));
    await tab.trouble(words);
    expect(await strip()).toEqual(before);
  });

  it('says what a file is that holds no weights, and what does not fit', async () => {
    await tab.upload('#weights', demo.file('model.pth', '<!doctype html><title>Sign in</title>'));
    await tab.trouble(/a web page, not a checkpoint/);
    expect(await tab.text('#model-name')).toBe('no model');
  });

  it('detects again after all of it, with weights of one’s own', async () => {
    await tab.looking(async () => tab.upload('#weights', await demo.formulaWeights()));
    expect(await tab.text('#report')).toMatch(/tensors loaded/);
    expect(await tab.page.$('#painted-only:not([hidden])')).toBe(null);
    expect(tab.errors).toEqual([]);
  });
});

describe('the device', () => {
  it('is opened again when it was lost', async () => {
    await tab.page.evaluate(() => {
      (globalThis as unknown as { lastWorker: Worker }).lastWorker.postMessage({ id: -1, name: 'loseDevice', request: null });
    });
    await tab.looking(() => tab.click('#strip button'));
    expect(await tab.text('#said')).toContain('has been opened again');
    expect(await tab.page.$('#trouble:not([hidden])')).toBe(null);
  });
});

describe('privacy', () => {
  it('asks no other host but for the address that was typed, and could not', async () => {
    const foreign = tab.requests.filter((url) => !url.startsWith(demo.address) && !/^(data|blob):/.test(url));
    expect(foreign.filter((url) => !url.startsWith(other))).toEqual([]);
    expect(new Set(hits)).toEqual(new Set(['/open/boats.jpg', '/closed/boats.jpg', '/open/nothing']));
    hits = [];
    const tried = await tab.page.evaluate(async (address) => {
      const image = new Image();
      const shown = new Promise((done) => {
        image.onload = () => done('shown');
        image.onerror = () => done('refused');
      });
      image.src = address;
      const fetched = fetch(address, { mode: 'no-cors' }).then(
        () => 'sent',
        () => 'refused',
      );
      return [await fetched, await shown];
    }, `${other}/open/secret.jpg`);
    expect(tried).toEqual(['refused', 'refused']);
    expect(hits).toEqual([]);
  });
});
