import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AugmentationConfig, type AugmentOptions, augment, rtDetrAugmentation } from '../../../src/data/augment/augment.ts';
import type { Target } from '../../../src/data/augment/frame.ts';
import type { RgbImage } from '../../../src/data/augment/resample.ts';
import { digest } from '../digest.ts';
import { picture } from './picture.ts';

const size = { resized: [40, 56], output: [40, 56] } as const;
const options = { config: rtDetrAugmentation, seed: 1, epoch: 0, imageId: 1, size } satisfies AugmentOptions;
const targets: Target[] = [
  { label: 4, corners: [3, 4, 30, 20] },
  { label: 1, corners: [20, 30, 24, 34] },
  { label: 0, corners: [0, 0, 48, 64] },
];

/** A white box on black. */
function boxPicture(width: number, height: number, [x0, y0, x1, y1]: readonly number[]): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = y0; y < y1; y++) data.fill(255, (y * width + x0) * 3, (y * width + x1) * 3);
  return { data, width, height };
}

describe('augment', () => {
  it('gives numbers from 0 to 1 and boxes inside the image, each a pixel or more wide and high', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat({ max: 100 }),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 70 }),
        (imageId, epoch, w, h) => {
          const { image, boxes, labels } = augment(picture(w, h), targets, { ...options, epoch, imageId });
          expect(image.length).toBe(40 * 56 * 3);
          expect(image.every((v) => v >= 0 && v <= 1)).toBe(true);
          expect(boxes.length).toBe(4 * labels.length);
          // Numbers up to 1 in float32.
          const slack = 2 ** -23;
          labels.forEach((label, i) => {
            expect(targets.some((target) => target.label === label)).toBe(true);
            const [x, y, bw, bh] = boxes.subarray(4 * i, 4 * i + 4);
            expect(Math.min(x - bw / 2, y - bh / 2)).toBeGreaterThanOrEqual(-slack);
            expect(Math.max(x + bw / 2, y + bh / 2)).toBeLessThanOrEqual(1 + slack);
            expect(bw).toBeGreaterThanOrEqual(1 / 56 - slack);
            expect(bh).toBeGreaterThanOrEqual(1 / 40 - slack);
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  it('moves box and pixels together', () => {
    const config = { ...rtDetrAugmentation, photometricDistort: null };
    let seen = 0;
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 30 }), fc.nat({ max: 40 }), (imageId, left, top) => {
        const corners = [left, top, left + 20, top + 24] as const;
        const sample = augment(boxPicture(64, 72, corners), [{ label: 0, corners }], { ...options, config, imageId });
        const [x, y, w, h] = sample.boxes;
        // Small ones fade.
        if (!(w * 56 >= 4 && h * 40 >= 4)) return;
        seen++;
        const white = Array.from({ length: 40 * 56 }, (_, i) => i).filter((i) => sample.image[3 * i] >= 0.5);
        const [columns, rows] = [white.map((i) => i % 56), white.map((i) => Math.floor(i / 56))];
        const found = [Math.min(...columns), Math.min(...rows), Math.max(...columns) + 1, Math.max(...rows) + 1];
        const expected = [(x - w / 2) * 56, (y - h / 2) * 40, (x + w / 2) * 56, (y + h / 2) * 40];
        // Half a pixel of rounding, and as much where the filter ends at the frame's edge.
        for (const i of [0, 1, 2, 3]) expect(Math.abs(found[i] - expected[i])).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
    expect(seen).toBeGreaterThan(100);
  });

  it('depends on seed, epoch and image id, and on nothing else', () => {
    const image = picture(48, 64);
    const before = image.data.slice();
    const result = (changed: AugmentOptions) => {
      const sample = augment(image, targets, changed);
      return { ...sample, image: digest(sample.image) };
    };
    const first = result(options);
    expect(result({ ...options })).toEqual(first);
    for (const change of [{ seed: 2 }, { epoch: 1 }, { imageId: 2 }]) {
      expect(result({ ...options, ...change }).image).not.toBe(first.image);
    }
    expect(digest(image.data)).toBe(digest(before));
  });

  it('without a configuration is the resize alone', () => {
    const { image, boxes, labels } = augment(picture(56, 40), targets, { ...options, config: null });
    expect(digest(image)).toBe(digest(Float32Array.from(picture(56, 40).data, (v) => v / 255)));
    expect([...labels]).toEqual([4, 1, 0]);
    expect([...boxes.subarray(0, 4)]).toEqual([16.5 / 56, 12 / 40, 27 / 56, 16 / 40].map(Math.fround));
  });

  it('from the stop epoch on flips only, as often as before', () => {
    const stopped: AugmentationConfig = { ...rtDetrAugmentation, stopEpoch: 5 };
    const flipOnly: AugmentationConfig = { ...stopped, photometricDistort: null, zoomOut: null, iouCrop: null };
    const image = picture(48, 64);
    const samples = (config: AugmentationConfig, epoch: number) =>
      Array.from({ length: 20 }, (_, imageId) => digest(augment(image, targets, { ...options, config, epoch, imageId }).image));
    expect(samples(stopped, 5)).toEqual(samples(flipOnly, 5));
    expect(samples(stopped, 4)).toEqual(samples(rtDetrAugmentation, 4));
    expect(new Set(samples(flipOnly, 5)).size).toBe(2);
  });
});
