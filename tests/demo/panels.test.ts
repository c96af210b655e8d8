/** The panels in a real Chrome: compose, look inside, labels, machine; the tabs by keyboard. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Demo, type Tab } from './gpu-demo.ts';

let demo: Demo;
let tab: Tab;

beforeAll(async () => {
  demo = await Demo.start();
  tab = await demo.tab(undefined, '#threshold=0.05');
  await demo.ready(tab);
});
afterAll(async () => {
  expect(tab?.errors).toEqual([]);
  expect(await demo?.close()).toBe(130);
});

/** Waits until the stage shows other pixels than before an action. */
async function repaints(action: () => Promise<unknown>): Promise<void> {
  const pixels = () => tab.page.$eval('#canvas', (canvas) => (canvas as HTMLCanvasElement).toDataURL());
  const before = await pixels();
  await action();
  await tab.page.waitForFunction(
    (old) => (document.querySelector('#canvas') as HTMLCanvasElement).toDataURL() !== old,
    { polling: 200 },
    before,
  );
}

describe('by keyboard alone', () => {
  it('tabs follow the arrows, and one Tab stop leads to them', async () => {
    await tab.page.focus('#tab-results');
    await tab.page.keyboard.press('End');
    await tab.page.waitForSelector('#panel-model:not([hidden])');
    expect(await tab.page.evaluate(() => document.activeElement?.id)).toBe('tab-model');
    await tab.page.keyboard.press('ArrowRight');
    await tab.page.waitForSelector('#panel-results:not([hidden])');
    await tab.page.keyboard.press('Tab');
    expect(await tab.page.evaluate(() => document.activeElement?.id)).toBe('threshold');
  });

  it('the first stop skips to the picture, and every stop can be seen', async () => {
    await tab.page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await tab.page.$eval('.skip', (link) => (link as HTMLElement).focus());
    const stops: string[] = [];
    for (let i = 0; i < 8; i++) {
      const stop = await tab.page.evaluate(() => {
        const { id, className } = document.activeElement as HTMLElement;
        const { left, width, height } = document.activeElement!.getBoundingClientRect();
        return { name: id || className, seen: left >= 0 && width > 0 && height > 0 };
      });
      expect(stop).toEqual({ name: stop.name, seen: true });
      stops.push(stop.name);
      await tab.page.keyboard.press('Tab');
    }
    expect(stops).toEqual(['skip', 'canvas', 'zoom-in', 'zoom-out', 'zoom-fit', 'open-image', 'camera', 'address']);
  });
});

describe('look inside', () => {
  it('draws the background map and the sampled points, and lists what the background changes', async () => {
    await repaints(async () => {
      await tab.panel('inside');
      await tab.until('#panel-inside', /places of \d+ channels/);
    });
    expect(await tab.text('#panel-inside')).toMatch(/the points its query reads in the last layer/);
    expect(await tab.page.$$eval('.changes li', ({ length }) => length)).toBeGreaterThan(0);
    await repaints(() => tab.set('#background-what', 'group 2'));
    await repaints(() => tab.click('#show-background'));
    await repaints(() => tab.click('#show-background'));
  });
});

describe('labels', () => {
  it("compares with the samples' labels", async () => {
    await tab.panel('labels');
    await tab.press("The samples' labels", '#panel-labels');
    await tab.until('#panel-labels', /Labels for 8 of 8 open pictures/);
    expect(await tab.text('#panel-labels')).toMatch(/This picture at 5 %: \d+ right, \d+ wrong, \d+ missed/);
  });

  it('measures all open pictures: the twelve lines of COCO', async () => {
    await tab.press('Measure all open pictures', '#panel-labels');
    const lines = await tab.until('.metrics', /Average Recall/);
    expect(lines.trim().split('\n').length).toBe(12);
  });

  it('says so when labels belong to other pictures', async () => {
    const labels = {
      images: [{ id: 1, file_name: 'elsewhere.jpg', width: 9, height: 9 }],
      annotations: [],
      categories: [{ id: 1, name: 'car' }],
    };
    await tab.upload('#labels-file', demo.file('other.json', JSON.stringify(labels)));
    await tab.trouble(/do not go with the 8 open pictures/);
  });
});

describe('machine', () => {
  it('shows adapter, counts, the memory plan and the slowest kernels', async () => {
    await tab.panel('machine');
    const text = await tab.until('#panel-machine', /On the device\d+ buffers/);
    expect(text).toMatch(/Dispatches\d+Pipelines\d+Weights[\d.]+ MB/);
    expect(await tab.page.$$eval('.plan', ({ length }) => length)).toBeGreaterThan(0);
    await tab.press('Time every kernel', '#panel-machine');
    await tab.page.waitForSelector('#panel-machine tbody tr', { timeout: 240_000 });
    expect(await tab.page.$$eval('#panel-machine tbody tr', ({ length }) => length)).toBe(10);
  });
});

describe('compose', () => {
  const objects = () => tab.page.$$eval('#panel-compose .detections button', (buttons) => buttons.map(({ textContent }) => textContent));

  it('the model looks again at every change; objects are added, moved and removed by key', async () => {
    await tab.looking(() => tab.panel('compose'));
    const before = await objects();
    expect(before.length).toBeGreaterThan(0);
    await tab.looking(() => tab.click('#panel-compose .sprite'));
    expect((await objects()).length).toBe(before.length + 1);
    await tab.page.focus('#panel-compose .detections li:last-child button');
    await tab.looking(() => repaints(() => tab.page.keyboard.press('ArrowLeft')));
    await tab.looking(() => tab.page.keyboard.press('Delete'));
    expect(await objects()).toEqual(before);
  });
});
