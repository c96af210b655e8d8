import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { multiScaleSizes, nearestIndices } from '../../../src/data/augment/multi-scale.ts';

it("has RT-DETRv2's sizes", () => {
  expect(multiScaleSizes(640)).toEqual([480, 512, 544, 576, 608, 640, 640, 640, 672, 704, 736, 768, 800]);
  expect(multiScaleSizes(256)).toEqual([192, 224, 256, 256, 256, 288, 320]);
  expect(multiScaleSizes(32)).toEqual([32, 32, 32]);
});

// The start of the SHA-256 of PyTorch 1.13's indices as int32: interpolate(mode='nearest') of a ramp. At 736 its float32 arithmetic
// takes five other pixels than whole numbers would.
it.each([
  [640, 480, 'f2a4ea60eb8d6f0e'],
  [640, 512, 'c94bebfcb41dbd42'],
  [640, 544, 'e3975a56c21e81ae'],
  [640, 576, 'c4b54889afd04bea'],
  [640, 608, '56cb251a2a9ae58f'],
  [640, 640, '1351d06999cef91a'],
  [640, 672, '837d5cd85ae90030'],
  [640, 704, 'f3f58607e3850b62'],
  [640, 736, '5d9956b1d5daa86e'],
  [640, 768, '7ecdddd5005cd4ed'],
  [640, 800, 'b25bd82808664771'],
  [256, 192, 'f57405052868541c'],
  [256, 320, '8c0377f5c9377be4'],
  [37, 53, 'e134a28530e4a6fa'],
  [53, 37, 'f5545153502745ba'],
  [7, 100, 'fc4e4c6ce4aa361a'],
  [641, 479, '33b965cbfeede199'],
])('takes the nearest pixels that PyTorch takes: %i to %i', (input, output, expected) => {
  expect(createHash('sha256').update(nearestIndices(input, output)).digest('hex').slice(0, 16)).toBe(expected);
});
