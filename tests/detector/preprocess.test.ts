import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { imageFrame } from '../../src/data/augment/frame.ts';
import { resample } from '../../src/data/augment/resample.ts';
import { resizeTable } from '../../src/resize-table.ts';
import { runOp } from '../setup/gpu-ops.ts';

/** The picture behind tests/fixtures/preprocess: stripes, checks and a product, so that no two neighbours are alike. */
function picture(width: number, height: number): Uint32Array {
  const byte = (x: number, y: number, c: number) =>
    ((x * 7 + y * 13 + c * 31) ^ ((x * y) >> 2) ^ (((Math.floor(x / 5) + Math.floor(y / 7)) % 2) * 120)) & 255;
  return Uint32Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return (byte(x, y, 0) | (byte(x, y, 1) << 8) | (byte(x, y, 2) << 16) | (0x80 << 24)) >>> 0;
  });
}

async function resize(pixels: Uint32Array, [w, h]: readonly number[], [width, height]: readonly number[]): Promise<Float32Array> {
  const columns = resizeTable(w, width);
  const rows = resizeTable(h, height);
  const { outputs } = await runOp('imageToTensor', [
    { data: pixels, shape: [h, w] },
    { data: columns.data, shape: [width, columns.taps + 2] },
    { data: rows.data, shape: [height, rows.taps + 2] },
  ]);
  return outputs[0].data as Float32Array;
}

describe('imageToTensor', () => {
  it.each([
    ['narrower and higher', [45, 31], [32, 64]],
    ['three times narrower', [100, 37], [32, 32]],
    ['larger', [33, 20], [64, 32]],
  ])("is Pillow's bilinear resize to the last bit: %s", async (_, from, to) => {
    const file = new URL(`../fixtures/preprocess/${from.join('x')}-${to.join('x')}.rgb`, import.meta.url);
    const expected = Float32Array.from(readFileSync(file), (v) => v / 255);
    expect(await resize(picture(from[0], from[1]), from, to)).toEqual(expected);
  });

  it.each([
    [
      [61, 47],
      [64, 64],
    ],
    [
      [200, 3],
      [33, 50],
    ],
    [
      [97, 210],
      [96, 32],
    ],
  ])("is the resize of the training's input pipeline to the last bit: %j to %j", async (from, to) => {
    const [w, h] = from;
    const pixels = picture(w, h);
    const data = Uint8Array.from({ length: w * h * 3 }, (_, i) => (pixels[Math.floor(i / 3)] >>> (8 * (i % 3))) & 255);
    const size = [to[1], to[0]] as const;
    const expected = resample({ data, width: w, height: h }, imageFrame(w, h), { resized: size, output: size });
    expect(await resize(pixels, from, to)).toEqual(expected);
  });

  it('leaves an image of the right size as it is', async () => {
    const pixels = picture(32, 64);
    const expected = Float32Array.from({ length: 32 * 64 * 3 }, (_, i) => ((pixels[Math.floor(i / 3)] >>> (8 * (i % 3))) & 255) / 255);
    expect(await resize(pixels, [32, 64], [32, 64])).toEqual(expected);
  });

  it('keeps a single pixel and a white picture', async () => {
    expect(new Set(await resize(Uint32Array.of(0xff336699), [1, 1], [32, 32]))).toEqual(
      new Set([0x99, 0x66, 0x33].map((v) => Math.fround(v / 255))),
    );
    const white = new Uint32Array(50 * 41).fill(0xffffffff);
    expect(new Set(await resize(white, [50, 41], [32, 32]))).toEqual(new Set([1]));
  });
});

describe('resizeTable', () => {
  it.each([
    [640, 640],
    [480, 640],
    [4000, 640],
    [7, 32],
  ])('%i to %i: weights add up to one', (input, output) => {
    const { taps, data } = resizeTable(input, output);
    for (let x = 0; x < output; x++) {
      const [first, count, ...weights] = data.slice(x * (taps + 2), (x + 1) * (taps + 2));
      expect(first + count).toBeLessThanOrEqual(input);
      expect(count).toBeLessThanOrEqual(taps);
      // Every weight is rounded by at most half a unit.
      expect(Math.abs(weights.reduce((a, b) => a + b, 0) - 2 ** 22)).toBeLessThanOrEqual(count / 2);
    }
  });
});
