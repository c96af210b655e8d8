/** How the page looks and lasts: axe on every panel, a phone, light and dark (screenshots in dist/artefacts), many frames. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Demo, type Tab } from './gpu-demo.ts';

let demo: Demo;
let tab: Tab;

beforeAll(async () => {
  demo = await Demo.start();
  tab = await demo.tab(undefined, '#threshold=0.3');
  await demo.ready(tab);
});
afterAll(() => demo?.close());

describe('axe, light and dark, desktop and phone', () => {
  const panels = ['results', 'compose', 'inside', 'labels', 'finetune', 'machine', 'model'];

  it.each(['light', 'dark'])(
    'finds nothing serious on any panel: %s',
    async (scheme) => {
      await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      // Chrome's own world: the page's policy does not let strangers' scripts in.
      await tab.page.evaluate(axe);
      for (const name of panels) {
        await tab.panel(name);
        await tab.page.waitForFunction((id) => (document.getElementById(id)?.childElementCount ?? 0) > 1, {}, `panel-${name}`);
        const found = await tab.page.evaluate(async () => {
          const { violations } = await (globalThis as unknown as { axe: typeof import('axe-core') }).axe.run();
          return violations
            .filter(({ impact }) => impact === 'serious' || impact === 'critical')
            .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`).join(' | ')}`);
        });
        expect(found, name).toEqual([]);
        await tab.screenshot(`${name}-${scheme}`);
      }
    },
    240_000,
  );

  it.each(['light', 'dark'])('fits a phone of 360 pixels: %s', async (scheme) => {
    await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await tab.page.setViewport({ width: 360, height: 740 });
    for (const name of panels) {
      await tab.panel(name);
      const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide, name).toBeLessThanOrEqual(360);
      await tab.page.$eval(`#tab-${name}`, (element) => element.scrollIntoView());
      if (name !== 'results') await tab.screenshot(`phone-${name}-${scheme}`);
    }
    await tab.panel('results');
    await tab.page.evaluate(() => scrollTo(0, 0));
    await tab.screenshot(`phone-${scheme}`);
  });
});

/** axe-core's own script. */
const axe = (createRequire(import.meta.url)('axe-core') as typeof import('axe-core')).source;

describe('many frames', () => {
  it('keeps buffers and memory as they are over many frames', async () => {
    const counts = async () => {
      await tab.panel('machine');
      await tab.until('#panel-machine', /On the device/);
      await tab.page.$eval('#panel-machine .facts', (facts) => facts.remove());
      await tab.press('Read again', '#panel-machine');
      return (await tab.until('#panel-machine', /On the device\d+ buffers/)).match(/On the device(\d+ buffers, .*?B)/)?.[1];
    };
    // The recordings with inner results, and without the encoder, are made when they are first asked for.
    await tab.panel('inside');
    await tab.page.waitForSelector('.changes li');
    await tab.page.$eval('.changes', (list) => list.replaceChildren());
    await tab.looking(() => tab.click('#strip button'));
    await tab.page.waitForSelector('.changes li');
    const frames = async (count: number) => {
      for (let i = 0; i < count; i++) await tab.looking(() => tab.page.keyboard.press(i % 2 ? 'ArrowLeft' : 'ArrowRight'));
      return (await tab.page.metrics()).JSHeapUsedSize ?? 0;
    };
    const collect = await tab.page.createCDPSession();
    const compose = async () => {
      await tab.looking(() => tab.panel('compose'));
      await tab.page.waitForSelector('#panel-compose .detections button');
      await tab.page.focus('#panel-compose .detections button');
    };
    await compose();
    // A scene has another size than the samples: its tables for resizing are made once.
    await frames(5);
    const atFirst = await counts();
    await compose();
    await collect.send('HeapProfiler.collectGarbage');
    const before = (await tab.page.metrics()).JSHeapUsedSize!;
    await frames(100);
    await collect.send('HeapProfiler.collectGarbage');
    const after = (await tab.page.metrics()).JSHeapUsedSize!;
    // A frame's pixels would be 100 * 480 * 360 * 4 bytes; lists and listeners of 100 frames are less than this.
    expect(after - before).toBeLessThan(3e6);
    expect(await counts()).toBe(atFirst);
  });
});
