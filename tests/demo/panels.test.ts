/** The panels in a real Chrome: compose, look inside, labels, machine; the tabs by keyboard. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/checkpoints/index.ts';
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
    expect(stops).toEqual(['skip', 'canvas', 'map-toggle', 'zoom-in', 'zoom-out', 'zoom-fit', 'open-image', 'open-folder']);
  });
});

/** What stands on the map's canvas. */
const map = () => tab.page.$eval('#map', (canvas) => (canvas as HTMLCanvasElement).toDataURL());

describe('look inside', () => {
  it('draws the background map and the sampled points, and lists what the background changes', async () => {
    await repaints(async () => {
      await tab.panel('inside');
      await tab.until('#panel-inside', /places of \d+ channels/);
    });
    expect(await tab.text('#panel-inside')).toMatch(/the points that its query reads in the last layer/);
    await tab.page.waitForSelector('.changes li');
    const energy = await map();
    await tab.set('#background-what', 'group 2');
    await tab.until('#map-name', /Channel group 3 of 8/);
    await tab.page.waitForFunction((old) => (document.querySelector('#map') as HTMLCanvasElement).toDataURL() !== old, {}, energy);
  });

  const head = (channels: number) =>
    demo.file(
      `head-${channels}.safetensors`,
      Buffer.concat([
        ...writeSafetensors([
          {
            name: 'head.weight',
            dtype: 'f32',
            shape: [9, channels],
            data: new Uint8Array(Float32Array.from({ length: 9 * channels }, (_, i) => Math.sin(i)).buffer),
          },
        ]),
      ]),
    );

  it('shows class heatmaps with a head file, and says which heads do not belong', async () => {
    const before = await map();
    const channels = Number(/of (\d+) channels/.exec(await tab.text('#panel-inside'))?.[1]);
    await tab.upload('#head-file', head(channels + 1));
    await tab.trouble(new RegExp(`over ${channels + 1} channels; this model's background has ${channels}`));
    await tab.upload('#head-file', head(channels));
    await tab.until('#map-name', /Class: sky/);
    expect(await tab.page.$$eval('#background-what option', ({ length }) => length)).toBe(1 + 8 + 9);
    await tab.page.waitForFunction((old) => (document.querySelector('#map') as HTMLCanvasElement).toDataURL() !== old, {}, before);
  });

  it('the map goes with its panel, and stays where it was asked for; the address keeps it', async () => {
    const shown = () => tab.page.$eval('#map', (canvas) => (canvas as HTMLElement).offsetWidth > 0);
    expect(await shown()).toBe(true);
    await tab.panel('results');
    expect(await shown()).toBe(false);
    await tab.click('#map-toggle');
    expect([await shown(), tab.page.url()]).toEqual([true, expect.stringContaining('map=1')]);
    await tab.click('#map-toggle');
    expect(await shown()).toBe(false);
  });
});

describe('labels', () => {
  it("compares with the samples' labels", async () => {
    await tab.panel('labels');
    await tab.press("The samples' labels", '#panel-labels');
    await tab.until('#panel-labels', /Labels for 8 of 10 open pictures/);
    expect(await tab.text('#panel-labels')).toMatch(/This picture at 5 %: \d+ right, \d+ wrong, \d+ missed/);
  });

  it('measures all open pictures: the twelve lines of COCO', async () => {
    await tab.press('Measure all open pictures', '#panel-labels');
    const lines = await tab.until('.metrics', /Average Recall/);
    expect(lines.trim().split('\n').length).toBe(12);
  });

  it('takes dropped labels, and says so when they belong to other pictures', async () => {
    const labels = {
      images: [{ id: 1, file_name: 'elsewhere.jpg', width: 9, height: 9 }],
      annotations: [],
      categories: [{ id: 1, name: 'car' }],
    };
    await tab.panel('results');
    await tab.page.evaluate((text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], 'other.json', { type: 'application/json' }));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }, JSON.stringify(labels));
    await tab.trouble(/do not go with the 10 open pictures/);
    expect(await tab.page.$('#panel-labels:not([hidden])')).not.toBe(null);
    // The labels from before still judge.
    expect(await tab.text('#panel-labels')).toMatch(/\d+ right, \d+ wrong/);
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

  it('an object is dragged from the road into the water, and the model sees it there', async () => {
    const { left, top, width, height } = await tab.page.$eval('#canvas', (canvas) => canvas.getBoundingClientRect().toJSON());
    // The scene is 4 : 3, in the middle of the stage; the first car stands at 40 % across and 80 % down.
    const wide = Math.min(width, (height * 4) / 3);
    const at = (x: number, y: number) => [left + width / 2 + (x - 0.5) * wide, top + height / 2 + (y - 0.5) * 0.75 * wide] as const;
    const chosen = () =>
      tab.page.$eval('#panel-compose .detections [aria-pressed=true]', (row) =>
        [...row.children].slice(0, 2).map(({ textContent }) => textContent),
      );
    await tab.page.mouse.move(...at(0.4, 0.8));
    await tab.page.mouse.down();
    expect(await chosen()).toEqual(['car', 'road']);
    await tab.looking(async () => {
      await tab.page.mouse.move(...at(0.4, 0.55), { steps: 5 });
      await tab.page.mouse.up();
    });
    expect(await chosen()).toEqual(['car', 'water']);
    await tab.page.mouse.move(...at(0.4, 0.3));
    expect(await chosen()).toEqual(['car', 'water']);
    expect(
      await tab.page.$$eval('#panel-compose .score', (cells) =>
        cells.every(({ textContent }) => /^(\d+ %|not found|hidden)$/.test(textContent ?? '')),
      ),
    ).toBe(true);
  });

  it('the background map follows the scene', async () => {
    await tab.looking(() => tab.click('#map-toggle'));
    await tab.page.focus('#panel-compose .detections button');
    const before = await map();
    await tab.looking(() => tab.page.keyboard.press('ArrowRight'));
    await tab.page.waitForFunction((old) => (document.querySelector('#map') as HTMLCanvasElement).toDataURL() !== old, {}, before);
    await tab.click('#map-toggle');
  });

  it('the landscape changes under the objects', async () => {
    const before = (await objects()).length;
    await tab.looking(() => repaints(() => tab.press('Next landscape', '#panel-compose')));
    // A look that was under way before may have ended meanwhile.
    await tab.until('#panel-compose', /Landscape 6 of seed 20/);
    expect((await objects()).length).toBe(before);
  });
});

describe('the model’s file', () => {
  it('lists every tensor with shape and statistics', async () => {
    await tab.panel('model');
    await tab.click('#inspect');
    const text = await tab.until('#tensors', /architecture: /);
    expect(text).toMatch(/tensor +dtype +shape +min +mean +max/);
    expect(text.split('\n').length).toBeGreaterThan(500);
  });

  it('runs at the largest input that fits when the memory does not', async () => {
    await tab.page.workers()[0]!.evaluate(() => {
      const { prototype } = GPUDevice;
      const { popErrorScope } = prototype;
      let first = true;
      prototype.popErrorScope = async function () {
        const error = await popErrorScope.call(this);
        if (!first) return error;
        first = false;
        return { message: 'no room' } as GPUError;
      };
    });
    await tab.looking(() => tab.set('#size', '256'));
    await tab.until('#report', /192 × 192 is the largest input that fits.*no room/);
    await tab.until('#model-name', /192 × 192/);
  });
});

describe('from the first key to the last, without a pointer', () => {
  const active = () => tab.page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || '');

  /** Goes on until it stands there; no way there is a failure. */
  async function tabTo(name: string): Promise<void> {
    for (let i = 0; i < 400; i++) {
      if ((await active()).startsWith(name)) return;
      await tab.page.keyboard.press('Tab');
    }
    throw new Error(`no way to "${name}" by Tab`);
  }

  it('chooses another picture, sets the threshold, chooses a box, changes the scene and saves', async () => {
    await tab.panel('results');
    const { keyboard } = tab.page;
    await tab.page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await tabTo('Skip to the picture');
    await keyboard.press('Enter');
    await keyboard.press('+');
    await keyboard.press('0');
    await tabTo('regatta.jpg');
    await tab.looking(() => keyboard.press('Enter'));
    expect(await tab.page.$eval('#canvas', (canvas) => canvas.getAttribute('aria-label'))).toContain('regatta.jpg');
    await tabTo('tab-results');
    await tabTo('threshold');
    await keyboard.press('ArrowRight');
    expect(await tab.text('#threshold-value')).toBe('6 %');
    await keyboard.press('Tab');
    await keyboard.press('Enter');
    expect(await tab.page.$eval('#detections button', (row) => row.getAttribute('aria-pressed'))).toBe('true');
    await tabTo('JSON');
    expect((await demo.saved(() => keyboard.press('Enter'))).name).toBe('regatta.json');
    await tab.page.keyboard.down('Shift');
    for (let i = 0; i < 400 && (await active()) !== 'tab-results'; i++) await keyboard.press('Tab');
    await tab.page.keyboard.up('Shift');
    await tab.looking(() => keyboard.press('ArrowRight'));
    expect(await active()).toBe('tab-compose');
    await tabTo('Next landscape');
    await tab.looking(() => keyboard.press('Enter'));
    await tabTo('tab-compose');
  });
});
