import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

interface Pooling {
  kernel: [number, number];
  stride?: [number, number];
  padding?: [number, number];
  ceilMode?: boolean;
  countIncludePad?: boolean;
}

/** torch's definition, cell by cell: [batch, height, width, channels]. */
function pooled(
  x: Float32Array,
  [n, h, w, c]: number[],
  average: boolean,
  p: Pooling,
): Reference & { shape: number[]; value: Float64Array } {
  const { kernel, stride = kernel, padding = [0, 0], ceilMode = false, countIncludePad = true } = p;
  const sizes = [h, w].map((input, i) => {
    const steps = (input + 2 * padding[i] - kernel[i]) / stride[i];
    let size = (ceilMode ? Math.ceil(steps) : Math.floor(steps)) + 1;
    if (ceilMode && (size - 1) * stride[i] >= input + padding[i]) size -= 1;
    return size;
  });
  const shape = [n, sizes[0], sizes[1], c];
  const value = new Float64Array(sizeOf(shape));
  const magnitude = new Float64Array(value.length);
  value.forEach((_, i) => {
    const [image, oy, ox, channel] = [
      Math.floor(i / c / sizes[1] / sizes[0]),
      Math.floor(i / c / sizes[1]) % sizes[0],
      Math.floor(i / c) % sizes[1],
      i % c,
    ];
    let [best, sum, size, inside, padded] = [Number.NEGATIVE_INFINITY, 0, 0, 0, 0];
    for (let ky = 0; ky < kernel[0]; ky++) {
      for (let kx = 0; kx < kernel[1]; kx++) {
        const [iy, ix] = [oy * stride[0] - padding[0] + ky, ox * stride[1] - padding[1] + kx];
        if (iy < h + padding[0] && ix < w + padding[1]) padded += 1;
        if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
        const v = x[((image * h + iy) * w + ix) * c + channel];
        best = Math.max(best, v);
        sum += v;
        size += Math.abs(v);
        inside += 1;
      }
    }
    const divisor = countIncludePad ? padded : inside;
    value[i] = average ? sum / divisor : best;
    magnitude[i] = average ? size / divisor : 0;
  });
  return { value, magnitude, shape };
}

describe('maxPool2d', () => {
  const k3: Pooling = { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
  it.each<[number[], Pooling]>([
    [[2, 8, 10, 5], k3],
    [[1, 7, 9, 4], k3],
    [[2, 1, 1, 3], k3],
    [[1, 64, 64, 64], k3],
    [[1, 6, 6, 3], { kernel: [2, 2] }],
    [[1, 9, 5, 8], { kernel: [5, 3], stride: [1, 2], padding: [2, 1] }],
    [[2, 5, 7, 4], { kernel: [1, 1], stride: [2, 3] }],
  ])('%j %j', async (shape, options) => {
    // All below zero: a padding of zeros would win.
    const x = random(1)
      .array(sizeOf(shape))
      .map((v) => -Math.abs(v) - 0.5);
    const { outputs, statistics } = await runOp('maxPool2d', [{ data: x, shape }], options);
    const expected = pooled(x, shape, false, options);
    expect(outputs[0].shape).toEqual(expected.shape);
    expect([...outputs[0].data]).toEqual([...expected.value]);
    expect(statistics.dispatches).toBe(1);
    const padding: [number, number] = options.padding ? [0, options.padding[1]] : [0, 0];
    if (options.padding && shape[1] > 2)
      expect([...outputs[0].data]).not.toEqual([...pooled(x, shape, false, { ...options, padding }).value]);
  });

  it('reads a window and writes into one', async () => {
    const shape = [2, 6, 7, 4];
    const x = random(2).array(sizeOf(shape));
    for (const margin of [4, 3]) {
      const windows = { inputWindows: { 0: { left: margin, right: 4 } }, outputWindow: { left: 4, right: margin } };
      const { outputs } = await runOp('maxPool2d', [{ data: x, shape }], k3, windows);
      expect([...outputs[0].data]).toEqual([...pooled(x, shape, false, k3).value]);
    }
  });

  it('refuses too much padding, and a map smaller than the kernel', async () => {
    const x = { data: new Float32Array(4), shape: [1, 2, 2, 1] };
    await expect(runOp('maxPool2d', [x], { kernel: [3, 3], padding: [2, 2] })).rejects.toThrow(/padding 2x2 is more than half/);
    await expect(runOp('maxPool2d', [x], { kernel: [3, 3] })).rejects.toThrow(/smaller than the kernel 3x3/);
    await expect(runOp('maxPool2d', [{ ...x, shape: [1, 4, 1] }], { kernel: [1, 1] })).rejects.toThrow(
      /not \[batch, height, width, channels\]/,
    );
  });
});

describe('avgPool2d', () => {
  it.each<[number[], Pooling]>([
    [[2, 8, 6, 5], { kernel: [2, 2], ceilMode: true }],
    [[2, 7, 9, 3], { kernel: [2, 2], ceilMode: true }],
    [[2, 7, 9, 8], { kernel: [2, 2], ceilMode: true, countIncludePad: false }],
    [[1, 1, 1, 3], { kernel: [2, 2], ceilMode: true }],
    [[2, 6, 5, 4], { kernel: [3, 3], stride: [1, 1], padding: [1, 1] }],
    [[1, 7, 8, 3], { kernel: [3, 3], stride: [2, 2], padding: [1, 1] }],
    [[1, 7, 8, 12], { kernel: [3, 3], stride: [2, 2], padding: [1, 1], countIncludePad: false }],
    [[1, 8, 8, 2], { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceilMode: true }],
    [[1, 8, 5, 2], { kernel: [3, 2], stride: [4, 3], padding: [1, 0], ceilMode: true }],
  ])('%j %j', async (shape, options) => {
    const x = random(3).array(sizeOf(shape));
    const { outputs } = await runOp('avgPool2d', [{ data: x, shape }], options);
    const expected = pooled(x, shape, true, options);
    expect(outputs[0].shape).toEqual(expected.shape);
    const tolerance = { depth: options.kernel[0] * options.kernel[1] + 1 };
    expectClose(outputs[0].data, expected, tolerance);
    const other = pooled(x, shape, true, { ...options, countIncludePad: !(options.countIncludePad ?? true) });
    if (options.padding) expectFar(outputs[0].data, other, tolerance);
  });

  it('any size', async () => {
    const size = fc.integer({ min: 3, max: 12 });
    const attributes = fc.record({
      kernel: fc.integer({ min: 1, max: 3 }),
      stride: fc.integer({ min: 1, max: 3 }),
      ceilMode: fc.boolean(),
      countIncludePad: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        size,
        size,
        fc.integer({ min: 1, max: 9 }),
        attributes,
        async (h, w, c, { kernel, stride, ceilMode, countIncludePad }) => {
          const x = random(h * w).array(h * w * c);
          const padding = Math.floor(kernel / 2);
          const options: Pooling = {
            kernel: [kernel, kernel],
            stride: [stride, stride],
            padding: [padding, padding],
            ceilMode,
            countIncludePad,
          };
          const { outputs } = await runOp('avgPool2d', [{ data: x, shape: [1, h, w, c] }], options);
          expectClose(outputs[0].data, pooled(x, [1, h, w, c], true, options), { depth: kernel * kernel + 1 });
        },
      ),
      { numRuns: 12, seed: 5 },
    );
  });
});

describe('globalAvgPool', () => {
  it.each([[[2, 7, 5, 6]], [[1, 40, 40, 8]], [[3, 1, 1, 4]]])('%j', async (shape) => {
    const x = random(4).array(sizeOf(shape), 1, 2);
    const { outputs } = await runOp('globalAvgPool', [{ data: x, shape }]);
    const expected = pooled(x, shape, true, { kernel: [shape[1], shape[2]] });
    expect(outputs[0].shape).toEqual([shape[0], 1, 1, shape[3]]);
    expectClose(outputs[0].data, expected, { depth: 2 + 2 * Math.ceil(Math.sqrt(shape[1] * shape[2])) });
  });
});
