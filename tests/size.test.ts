import { describe, expect, it } from 'vitest';
import { detectLimit, measureBundles, measurePage, pageLimit, pageTable, sizeTable, total } from '../src/host/size.mjs';

describe('bundle size', () => {
  it('detection with all its WGSL stays within 60 KiB gzipped, without anything of Node or of the tools', async () => {
    const sizes = await measureBundles();
    console.log(sizeTable(sizes).join('\n'));
    const detect = sizes.find(({ name }) => name === 'detect')!;
    expect(detect.gzip).toBeLessThanOrEqual(detectLimit);
    // And it is measured: a third of the limit would be somebody else's library.
    expect(detect.gzip).toBeGreaterThan(detectLimit / 3);
    expect(
      detect.parts.map(({ path }) => path).filter((path) => /src\/(host|verification|bench)\/|weights-tools|node_modules/.test(path)),
    ).toEqual([]);
    expect(detect.parts.filter(({ path }) => path.endsWith('.wgsl')).length).toBeGreaterThan(10);
  });
  it('the demo page detects with 100 KB of JavaScript gzipped; panels come later', async () => {
    const page = await measurePage();
    console.log(pageTable(page).join('\n'));
    expect(total(page.first)).toBeLessThanOrEqual(pageLimit);
    expect(page.first.map(({ name }) => name)).toEqual(expect.arrayContaining(['main.js', 'engine-worker.js']));
    expect(total(page.first)).toBeGreaterThan(pageLimit / 3);
    for (const panel of ['compose', 'finetune', 'inside', 'labels', 'machine', 'train-worker']) {
      expect(page.later.filter(({ name }) => name.startsWith(panel)).length, panel).toBe(1);
    }
  });
});
