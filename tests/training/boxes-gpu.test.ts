import { expect, it } from 'vitest';
import type { BoxShare } from '../../src/training/criterion-operations.ts';
import { page } from '../setup/gpu.ts';
import { random } from '../setup/random.ts';

const shape: [number, number] = [2, 70];
const count = shape[0] * shape[1];

/** Random pairs; every fifth shares edges, lies apart or is the target itself. All numbers are multiples of 1/64, so ties are exact. */
function pairs(seed: number): { boxes: Float32Array; line: Float32Array } {
  const r = random(seed);
  const grid = (low: number, high: number) => low + r.integer((high - low) * 64 + 1) / 64;
  const box = () => [grid(0.25, 0.75), grid(0.25, 0.75), grid(1, 20) / 32, grid(1, 20) / 32];
  const boxes = new Float32Array(4 * count);
  const line = new Float32Array(8 * count);
  for (let i = 0; i < count; i++) {
    const target = box();
    const [cx, cy, w, h] = target;
    const near = [[...target], [cx + w, cy, w, h], [cx, cy, w / 2, h], [cx + 2 * w, cy + 3 * h, w, h]];
    boxes.set(i % 5 === 0 ? near[(i / 5) % 4] : box(), 4 * i);
    line.set([...target, r.uniform(), r.uniform(), r.uniform(), 0], 8 * i);
  }
  return { boxes, line };
}

it.each(['one', 'iou', 'giou'] as BoxShare[])('losses and gradient of boxes, GIoU times %s', async (share) => {
  const { boxes, line } = pairs(4);
  const found = await page.call<Record<string, Float32Array>>('box-losses', { shape, boxes, line, share });
  const near = (a: number, b: number) => expect(Math.abs(a - b)).toBeLessThanOrEqual(4e-6 * Math.max(1, Math.abs(b)));
  for (let i = 0; i < count; i++) {
    near(found.losses[4 * i], found.distance[i]);
    near(found.losses[4 * i + 1], found.overlap[i]);
    for (let k = 0; k < 4; k++) near(found.gradient[4 * i + k], found.reference[4 * i + k]);
  }
  // Equal boxes: no distance, and the halves of both sides cancel but for the shape's.
  expect([...found.gradient.subarray(0, 2)]).toEqual([0, 0]);
  const largest = found.reference.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  expect(largest).toBeGreaterThan(1);
});
