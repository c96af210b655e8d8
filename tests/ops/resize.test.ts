import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

type Target = { size: [number, number] } | { scale: number };

function sizeAfter([, h, w]: number[], target: Target): [number, number] {
  return 'size' in target ? target.size : [Math.floor(h * target.scale), Math.floor(w * target.scale)];
}

/** torch's nearest: float32 ratio, float32 product, floor. */
function nearest(x: Float32Array, shape: number[], target: Target): number[] {
  const [n, h, w, c] = shape;
  const [oh, ow] = sizeAfter(shape, target);
  const at = (o: number, input: number, output: number): number => {
    const ratio = Math.fround('scale' in target ? 1 / target.scale : Math.fround(input) / output);
    return Math.min(Math.floor(Math.fround(o * ratio)), input - 1);
  };
  return Array.from({ length: n * oh * ow * c }, (_, i) => {
    const [image, oy, ox, channel] = [Math.floor(i / c / ow / oh), Math.floor(i / c / ow) % oh, Math.floor(i / c) % ow, i % c];
    return x[((image * h + at(oy, h, oh)) * w + at(ox, w, ow)) * c + channel];
  });
}

/** In float64. The place is computed in float32 on the GPU: an error of it counts with the slope, at most the sum of the neighbours. */
function bilinear(x: Float32Array, shape: number[], target: Target, alignCorners: boolean): Reference {
  const [n, h, w, c] = shape;
  const [oh, ow] = sizeAfter(shape, target);
  const place = (o: number, input: number, output: number): number => {
    if (alignCorners) return output > 1 ? (o * (input - 1)) / (output - 1) : 0;
    return Math.max((o + 0.5) * ('scale' in target ? 1 / target.scale : input / output) - 0.5, 0);
  };
  const value = new Float64Array(n * oh * ow * c);
  const magnitude = new Float64Array(value.length);
  for (let i = 0; i < value.length; i++) {
    const [image, oy, ox, channel] = [Math.floor(i / c / ow / oh), Math.floor(i / c / ow) % oh, Math.floor(i / c) % ow, i % c];
    const [sy, sx] = [place(oy, h, oh), place(ox, w, ow)];
    const [y0, x0] = [Math.min(Math.floor(sy), h - 1), Math.min(Math.floor(sx), w - 1)];
    for (const [dy, dx] of [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]) {
      const v = x[((image * h + Math.min(y0 + dy, h - 1)) * w + Math.min(x0 + dx, w - 1)) * c + channel];
      value[i] += v * (dy ? sy - y0 : 1 - (sy - y0)) * (dx ? sx - x0 : 1 - (sx - x0));
      magnitude[i] += Math.abs(v) * (1 + sy + sx);
    }
  }
  return { value, magnitude };
}

describe('resizeNearest', () => {
  it.each<[number[], Target]>([
    [[2, 5, 7, 3], { scale: 2 }],
    [[1, 1, 1, 4], { scale: 2 }],
    [[1, 20, 20, 256], { scale: 2 }],
    [[1, 10, 12, 2], { size: [7, 9] }],
    [[1, 10, 12, 8], { size: [16, 25] }],
    [[1, 32, 32, 1], { size: [24, 24] }],
    [[1, 40, 40, 1], { size: [38, 38] }],
    [[1, 6, 6, 1], { scale: 1.7 }],
    [[1, 49, 7, 1], { size: [441, 63] }],
  ])('%j %j', async (shape, target) => {
    const x = random(1).array(sizeOf(shape));
    const { outputs } = await runOp('resizeNearest', [{ data: x, shape }], target);
    expect(outputs[0].shape).toEqual([shape[0], ...sizeAfter(shape, target), shape[3]]);
    expect([...outputs[0].data]).toEqual(nearest(x, shape, target));
  });

  it('writes into a window of a concatenation and reads one', async () => {
    const shape = [2, 3, 4, 8];
    const x = random(2).array(sizeOf(shape));
    for (const margin of [4, 5]) {
      const windows = { inputWindows: { 0: { left: margin, right: 4 } }, outputWindow: { left: margin, right: 8 } };
      const { outputs } = await runOp('resizeNearest', [{ data: x, shape }], { scale: 2 }, windows);
      expect([...outputs[0].data]).toEqual(nearest(x, shape, { scale: 2 }));
    }
  });

  it('any size', async () => {
    const size = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(size, size, size, size, async (h, w, oh, ow) => {
        const x = random(h).array(h * w);
        const { outputs } = await runOp('resizeNearest', [{ data: x, shape: [1, h, w, 1] }], { size: [oh, ow] });
        expect([...outputs[0].data]).toEqual(nearest(x, [1, h, w, 1], { size: [oh, ow] }));
      }),
      { numRuns: 15, seed: 6 },
    );
  });

  it('refuses an empty size', async () => {
    await expect(runOp('resizeNearest', [{ data: new Float32Array(4), shape: [1, 2, 2, 1] }], { size: [0, 2] })).rejects.toThrow(
      /nearest: size 0x2/,
    );
  });
});

describe('resizeBilinear', () => {
  it.each<[number[], Target, boolean]>([
    [[2, 5, 7, 3], { scale: 2 }, false],
    [[1, 7, 5, 4], { size: [13, 9] }, false],
    [[1, 12, 10, 3], { size: [5, 7] }, false],
    [[1, 5, 6, 3], { size: [9, 11] }, true],
    [[1, 1, 1, 2], { size: [3, 4] }, false],
    [[1, 5, 6, 8], { size: [1, 1] }, true],
  ])('%j %j align_corners %s', async (shape, target, alignCorners) => {
    const x = random(3).array(sizeOf(shape));
    const { outputs } = await runOp('resizeBilinear', [{ data: x, shape }], { ...target, alignCorners });
    const tolerance = { depth: 4 };
    expectClose(outputs[0].data, bilinear(x, shape, target, alignCorners), tolerance);
    if (shape[1] > 1) expectFar(outputs[0].data, bilinear(x, shape, target, !alignCorners), tolerance);
  });

  it('reads a window and writes into one', async () => {
    const shape = [2, 3, 4, 8];
    const x = random(4).array(sizeOf(shape));
    const { outputs } = await runOp(
      'resizeBilinear',
      [{ data: x, shape }],
      { scale: 2 },
      { inputWindows: { 0: { left: 4 } }, outputWindow: { right: 4 } },
    );
    expectClose(outputs[0].data, bilinear(x, shape, { scale: 2 }, false), { depth: 4 });
  });
});
