import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sceneCategories } from '../../../src/data/scenes/categories.ts';
import { decodeRgbaPng } from '../../../src/data/scenes/png.ts';
import { loadSprites } from '../../../src/data/scenes/sprites.ts';
import { sheet, sprites } from './sheet.ts';

/** A PNG of 2 x 5 pixels whose rows hold `filtered` behind the filters 0 to 4. */
function png(filtered: readonly number[], colorType = 6): Uint8Array<ArrayBuffer> {
  const rows = Buffer.alloc(9 * 5);
  for (let y = 0; y < 5; y++) rows.set([y, ...filtered.slice(8 * y, 8 * y + 8)], 9 * y);
  const chunk = (name: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const header = Buffer.from([0, 0, 0, 2, 0, 0, 0, 5, 8, colorType, 0, 0, 0]);
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  const data = deflateSync(rows);
  const parts = [
    chunk('IHDR', header),
    chunk('IDAT', data.subarray(0, 7)),
    chunk('IDAT', data.subarray(7)),
    chunk('IEND', new Uint8Array()),
  ];
  return new Uint8Array(Buffer.concat([signature, ...parts]));
}

describe('the PNG reader', () => {
  it('undoes the five filters', async () => {
    const { width, height, pixels } = await decodeRgbaPng(png([10, 20, 30, 40, 250, 0, 0, 0].concat(Array(32).fill(1))));
    expect([width, height]).toEqual([2, 5]);
    // By hand: none; the left pixel + 1; the upper + 1; (left + upper) / 2 + 1; Paeth's choice + 1.
    expect([...pixels]).toEqual([
      ...[10, 20, 30, 40, 250, 0, 0, 0],
      ...[1, 1, 1, 1, 2, 2, 2, 2],
      ...[2, 2, 2, 2, 3, 3, 3, 3],
      ...[2, 2, 2, 2, 3, 3, 3, 3],
      ...[3, 3, 3, 3, 4, 4, 4, 4],
    ]);
  });

  it('refuses everything else in words', async () => {
    await expect(decodeRgbaPng(new Uint8Array(0))).rejects.toThrow(/no PNG/);
    await expect(decodeRgbaPng(new Uint8Array(100))).rejects.toThrow(/no PNG/);
    await expect(decodeRgbaPng(png(Array(40).fill(0), 2))).rejects.toThrow(/RGBA/);
    await expect(loadSprites(png(Array(40).fill(0)))).rejects.toThrow(/2 x 5 pixels do not hold 46 sprites/);
  });

  it('never hangs or crashes on a damaged sheet', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(sheet.length - 1), fc.nat(255), fc.boolean(), async (at, value, cut) => {
        const damaged = cut ? sheet.slice(0, at) : Uint8Array.from(sheet);
        if (!cut) damaged[at] = value;
        const result = await decodeRgbaPng(damaged).catch((error: Error) => error);
        if (result instanceof Error) expect(result.name).toBe('BackdropError');
        else expect([result.width, result.height]).toEqual([1088, 768]);
      }),
      { numRuns: 30 },
    );
  });
});

it('every sprite is opaque somewhere, inside its cell, and keeps its coverage when it shrinks', async () => {
  const all = (await sprites).flat();
  expect((await sprites).map((variants) => variants.length)).toEqual(sceneCategories.map(({ variants }) => [...variants].length));
  for (const { levels, bounds } of all) {
    const [left, top, right, bottom] = bounds;
    expect(left >= 0 && top >= 0 && right <= 136 && bottom <= 128).toBe(true);
    expect((right - left) * (bottom - top)).toBeGreaterThan(0.2 * 136 * 128);
    const coverage = levels.map(({ width, height, pixels }, level) => {
      let sum = 0;
      for (let i = 0; i < width * height; i++) sum += pixels[4 * i + 3]!;
      return sum * 4 ** level;
    });
    // Sums of up to 17,408 float32 numbers below 1, each half a unit in the last place off at most.
    for (const sum of coverage) expect(Math.abs(sum - coverage[0]!)).toBeLessThan(17_408 * 2 ** -24);
  }
});
