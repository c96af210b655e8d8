/** Files in and out in a real Chrome: a film, what is saved, models by address and what the browser keeps of them. */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Demo, embeddedModel, samples, type Tab } from './gpu-demo.ts';

let demo: Demo;
let tab: Tab;
let elsewhere: Server;
let address: string;
const hits: string[] = [];

beforeAll(async () => {
  demo = await Demo.start();
  tab = await demo.tab(undefined, '#threshold=0.2');
  await demo.ready(tab);
  const model = readFileSync(embeddedModel);
  elsewhere = createServer((request, response) => {
    hits.push(request.url ?? '');
    response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Content-Length': model.length });
    // In two parts, so that there is a progress to see.
    response.write(model.subarray(0, model.length / 2));
    setTimeout(() => response.end(model.subarray(model.length / 2)), 1000);
  });
  await new Promise<void>((done) => elsewhere.listen(0, '127.0.0.1', done));
  address = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/nano.safetensors`;
});
afterAll(async () => {
  elsewhere?.close();
  expect(tab?.errors).toEqual([]);
  await demo?.close();
});

const shown = () => tab.page.$eval('#canvas', (canvas) => canvas.getAttribute('aria-label') ?? '');
const rows = () => tab.page.$$eval('#detections button', ({ length }) => length);

describe('saving', () => {
  const press = (kind: string) => demo.saved(() => tab.click(`#saving button[value=${kind}]`));

  it('saves the picture with its boxes as PNG', async () => {
    const { name, content } = await press('png');
    expect(name).toMatch(/-boxes\.png$/);
    expect(content.subarray(1, 4).toString()).toBe('PNG');
    expect([content.readUInt32BE(16), content.readUInt32BE(20)]).toEqual([640, 480]);
  });

  it('saves what is shown as JSON, COCO, YOLO and CSV', async () => {
    const count = await rows();
    expect(count).toBeGreaterThan(0);
    const json = JSON.parse((await press('json')).content.toString());
    expect([json.width, json.height, json.detections.length]).toEqual([640, 480, count]);
    const coco = await press('coco');
    expect(coco.name).toMatch(/\.coco\.json$/);
    expect(JSON.parse(coco.content.toString()).length).toBe(count);
    expect((await press('yolo')).content.toString().trim().split('\n').length).toBe(count);
    expect((await press('csv')).content.toString().trim().split('\r\n').length).toBe(count + 1);
  });

  it('saves lists of all open pictures', async () => {
    await tab.click('#save-all');
    expect(await tab.page.$eval('#saving button[value=yolo]', (button) => (button as HTMLButtonElement).disabled)).toBe(true);
    const all = JSON.parse((await press('json')).content.toString());
    expect(all.length).toBe(10);
    expect(new Set(all.map(({ image }: { image: string }) => image)).size).toBe(10);
    await tab.click('#save-all');
  });
});

describe('film', () => {
  /** A second of a square that moves, recorded by the browser itself: such films do not say how long they are. */
  async function record(): Promise<string> {
    const film = await tab.page.evaluate(async () => {
      const canvas = document.createElement('canvas');
      Object.assign(canvas, { width: 320, height: 240 });
      const context = canvas.getContext('2d')!;
      const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: 'video/webm;codecs=vp8' });
      const parts: Blob[] = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      const stopped = new Promise((done) => {
        recorder.onstop = done;
      });
      recorder.start();
      for (let i = 0; i < 25; i++) {
        context.fillStyle = '#88a';
        context.fillRect(0, 0, 320, 240);
        context.fillStyle = '#c22';
        context.fillRect(8 * i, 80, 60, 60);
        await new Promise((next) => setTimeout(next, 40));
      }
      recorder.stop();
      await stopped;
      return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
    });
    return demo.file('moving.webm', Uint8Array.from(film));
  }

  it('opens, and steps frame by frame', async () => {
    await tab.looking(async () => tab.upload('#image', await record()));
    expect(await shown()).toContain('moving.webm at 0.00 s');
    await tab.looking(() => tab.click('#step'));
    expect(await shown()).toContain('at 0.04 s');
    await tab.looking(() => tab.click('#step'));
    await tab.looking(() => tab.click('#step-back'));
    expect(await shown()).toContain('at 0.04 s');
    await tab.looking(() => tab.set('#position', '0.5'));
    expect(await shown()).toContain('at 0.50 s');
  });

  it('plays while the model looks, and ends', async () => {
    const before = await tab.asked('detect');
    await tab.click('#play');
    await tab.until('#play', /Pause/);
    await tab.until('#play', /Play/);
    expect(await tab.asked('detect')).toBeGreaterThan(before);
    await tab.looking(() => tab.click('#strip button'));
    expect(await tab.page.$('#film:not([hidden])')).toBe(null);
  });
});

describe('a folder', () => {
  it('gives its pictures, and nothing else', async () => {
    const folder = join(demo.folder, 'pictures');
    mkdirSync(join(folder, 'below'), { recursive: true });
    copyFileSync(join(samples, 'harbour.jpg'), join(folder, 'first.jpg'));
    copyFileSync(join(samples, 'harbour.jpg'), join(folder, 'below', 'second.jpg'));
    copyFileSync(join(samples, 'README.md'), join(folder, 'notes.md'));
    await tab.looking(() => tab.upload('#folder', folder));
    const names = await tab.page.$$eval('#strip button', (buttons) => buttons.map(({ title }) => title));
    expect(names.slice(10).sort()).toEqual(['first.jpg', 'second.jpg']);
  });
});

describe('a model by address', () => {
  const fetchModel = async () => {
    await tab.set('#model-address', address);
    await tab.press('Fetch', '#model-address-form');
  };

  it('comes with progress in bytes and percent, and is kept', async () => {
    await tab.panel('model');
    await tab.looking(async () => {
      await fetchModel();
      await tab.until('#work-label', /Fetching the model: [\d.]+ MB of 4\.7 MB, \d+ %/);
    });
    expect(await tab.text('#model-name')).toContain('association-detr-nano');
    await tab.until('#stored', /nano\.safetensors.*4\.7 MB/);
    expect(new URL(tab.page.url()).hash).toContain('model=');
    await tab.looking(() => fetchModel());
    expect(hits.length).toBe(1);
  });

  it('is there again after a reload, without another fetch', async () => {
    await tab.page.reload();
    await demo.ready(tab);
    expect(hits.length).toBe(1);
  });

  it('can be deleted', async () => {
    await tab.panel('model');
    await tab.press('Delete', '#stored');
    await tab.until('#said', /nano\.safetensors was deleted/);
    expect(await tab.page.$$eval('#stored li', ({ length }) => length)).toBe(0);
  });

  it('is used all the same when the browser has no room to keep it', async () => {
    await tab.page.evaluate(() => {
      Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
      const said = document.querySelector('#said')!;
      new MutationObserver(() =>
        Object.assign(globalThis, { heard: `${(globalThis as { heard?: string }).heard ?? ''} ${said.textContent}` }),
      ).observe(said, { childList: true });
    });
    await tab.looking(fetchModel);
    expect(await tab.page.evaluate(() => (globalThis as { heard?: string }).heard)).toMatch(/no room to keep this model/);
    expect(hits.length).toBe(2);
  });
});
