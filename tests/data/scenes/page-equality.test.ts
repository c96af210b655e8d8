import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { SceneAnnotation } from '../../../src/data/scenes/compose.ts';
import { generateScene, renderScene } from '../../../src/data/scenes/scene.ts';
import { encodePng } from '../../../src/host/png.ts';
import { page } from '../../setup/gpu.ts';
import { sheet, sprites } from './sheet.ts';

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

it('is the same in Chrome as in Node, byte for byte', async () => {
  const widths = [96, 103, 117, 128, 131, 150, 160, 203];
  const made = await page.call<{ rgba: Uint8Array; regions: Uint8Array; annotations: SceneAnnotation[] }[]>('scenes', {
    sheet,
    seed: 3,
    widths,
  });
  for (const [index, there] of made.entries()) {
    const here = renderScene(generateScene(3, index), widths[index]!, await sprites);
    expect(hash(there.rgba)).toBe(hash(new Uint8Array(here.rgba)));
    expect(hash(there.regions)).toBe(hash(here.regions));
    expect(there.annotations).toEqual(here.annotations);
  }
  expect(made).toHaveLength(widths.length);
});

it('is what Chrome decodes from the PNG', async () => {
  const { rgba, width, height } = renderScene(generateScene(3, 8), 161, await sprites);
  const decoded = await page.call<{ width: number; height: number; data: Uint8Array }>('decode picture', encodePng(rgba, width, height));
  expect([decoded.width, decoded.height]).toEqual([width, height]);
  expect(hash(decoded.data)).toBe(hash(new Uint8Array(rgba)));
});
