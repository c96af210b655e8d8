import { describe, expect, it } from 'vitest';
import { detectLimit, measureBundles, sizeTable } from '../src/host/size.mjs';

describe('bundle size', () => {
  it('detection with all its WGSL stays within 60 KB gzipped, without anything of Node or of the tools', async () => {
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
});
