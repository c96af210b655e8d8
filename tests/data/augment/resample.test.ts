import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageFrame, mirroredFrame, movedFrame } from '../../../src/data/augment/frame.ts';
import { nearestIndices } from '../../../src/data/augment/multi-scale.ts';
import { type RgbImage, resample } from '../../../src/data/augment/resample.ts';
import { digest } from '../digest.ts';
import { picture, remap } from './picture.ts';

const whole = (image: RgbImage, height: number, width: number) =>
  resample(image, imageFrame(image.width, image.height), { resized: [height, width], output: [height, width] });

describe('resample', () => {
  it.each([
    ['narrower and higher', [45, 31], [32, 64]],
    ['three times narrower', [100, 37], [32, 32]],
    ['larger', [33, 20], [64, 32]],
  ])("is Pillow's bilinear resize, as detect's kernels are, to the last bit: %s", (_, from, to) => {
    const file = new URL(`../../fixtures/preprocess/${from.join('x')}-${to.join('x')}.rgb`, import.meta.url);
    const expected = Float32Array.from(readFileSync(file), (v) => v / 255);
    expect(digest(whole(picture(from[0], from[1]), to[1], to[0]))).toBe(digest(expected));
  });

  it('leaves an image of the right size as it is', () => {
    const image = picture(19, 23);
    expect(digest(whole(image, 23, 19))).toBe(digest(Float32Array.from(image.data, (v) => v / 255)));
  });

  it('reads a canvas, a crop and a mirrored image as if they had been made', () => {
    const side = fc.integer({ min: 1, max: 40 });
    const place = fc.integer({ min: -50, max: 50 });
    fc.assert(
      fc.property(side, side, place, place, side, side, fc.boolean(), side, side, (w, h, left, top, cw, ch, mirror, ow, oh) => {
        const image = picture(w, h);
        const moved = movedFrame(imageFrame(w, h), left, top, cw, ch);
        const made = remap(cw, ch, image, (x, y) => [(mirror ? cw - 1 - x : x) + left, y + top]);
        const size = { resized: [oh, ow], output: [oh, ow] } as const;
        expect(digest(resample(image, mirror ? mirroredFrame(moved) : moved, size))).toBe(digest(whole(made, oh, ow)));
      }),
      { numRuns: 300 },
    );
  });

  it('takes nearest pixels of the resized image for another output size', () => {
    const image = picture(50, 41);
    const resized = whole(image, 32, 32);
    const nearest = nearestIndices(32, 24);
    const expected = Float32Array.from({ length: 24 * 24 * 3 }, (_, i) => {
      const [x, y] = [nearest[Math.floor(i / 3) % 24], nearest[Math.floor(i / 3 / 24)]];
      return resized[(y * 32 + x) * 3 + (i % 3)];
    });
    expect(digest(resample(image, imageFrame(50, 41), { resized: [32, 32], output: [24, 24] }))).toBe(digest(expected));
  });
});
