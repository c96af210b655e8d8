/** The page without a network: its own files are kept by the service worker. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Demo, type Tab } from './gpu-demo.ts';

let demo: Demo;
let tab: Tab;

beforeAll(async () => {
  demo = await Demo.start();
  tab = await demo.tab();
  await demo.ready(tab);
});
afterAll(() => demo?.close());

it('detects after a reload when the server is gone', async () => {
  await tab.page.waitForFunction(() => navigator.serviceWorker.ready.then(({ active }) => active?.state === 'activated'));
  expect(await demo.stopServer()).toBe(130);
  await tab.page.reload();
  await demo.ready(tab);
  expect(await tab.text('#model-name')).toContain('association-detr-nano');
  // What is not the page's own still fails, and nothing else was kept.
  expect(await tab.page.evaluate(() => fetch('elsewhere').then(String, () => 'no network'))).toBe('no network');
  const kept = await tab.page.evaluate(async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith('backdrop-page-'));
    const requests = await (await caches.open(names[0]!)).keys();
    return { caches: names.length, hosts: [...new Set(requests.map(({ url }) => new URL(url).origin))] };
  });
  expect(kept).toEqual({ caches: 1, hosts: [new URL(demo.address).origin] });
  expect(tab.errors).toEqual([]);
});

it('can be installed: the manifest and its icons are there', async () => {
  const manifest = await tab.page.evaluate(async () => {
    const answer = await fetch((document.querySelector('link[rel=manifest]') as HTMLLinkElement).href);
    const { icons, start_url, display } = await answer.json();
    const sizes = [];
    for (const { src, type } of icons) {
      if (type === 'image/png') {
        const { width, height } = await createImageBitmap(await (await fetch(src)).blob());
        sizes.push(`${width}x${height}`);
      }
    }
    return { sizes, start_url, display };
  });
  expect(manifest).toEqual({ sizes: ['192x192', '512x512'], start_url: './', display: 'standalone' });
});
