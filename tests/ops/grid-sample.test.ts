import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

/** torch's grid_sample: bilinear, zeros, align_corners = false (or true, to show that it would be noticed). */
function sampled(x: Float32Array, [n, h, w, c]: number[], grid: Float32Array, places: number, corners = false): Reference {
  const value = new Float64Array(n * places * c);
  const magnitude = new Float64Array(value.length);
  const unnormalise = (g: number, size: number) => (corners ? ((g + 1) / 2) * (size - 1) : ((g + 1) * size - 1) / 2);
  for (let i = 0; i < value.length; i++) {
    const [image, place, channel] = [Math.floor(i / c / places), Math.floor(i / c) % places, i % c];
    const sx = unnormalise(grid[(image * places + place) * 2], w);
    const sy = unnormalise(grid[(image * places + place) * 2 + 1], h);
    const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
    for (const [dy, dx] of [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]) {
      const [iy, ix] = [y0 + dy, x0 + dx];
      if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
      const v = x[((image * h + iy) * w + ix) * c + channel];
      value[i] += v * (dy ? sy - y0 : 1 - (sy - y0)) * (dx ? sx - x0 : 1 - (sx - x0));
      // The place itself is rounded at the size of the image.
      magnitude[i] += Math.abs(v) * (2 + h + w);
    }
    // A place next to the border may fall on its other side, with a weight as small as its rounding.
    magnitude[i] += h + w;
  }
  return { value, magnitude };
}

describe('gridSample', () => {
  it.each([
    [[2, 7, 9, 3], [6, 5], 1.3],
    [[2, 7, 9, 8], [6, 5], 1.3],
    [[1, 1, 1, 2], [3, 4], 1],
    [[1, 20, 30, 4], [10, 10], 3],
    [[1, 5, 4, 4], [8, 8], 1e6],
  ])('%j at %j places, spread %d', async (shape, size, spread) => {
    const r = random(1);
    const x = r.array(sizeOf(shape));
    const places = sizeOf(size);
    const grid = Float32Array.from({ length: shape[0] * places * 2 }, () => (r.uniform() * 2 - 1) * spread);
    const { outputs } = await runOp('gridSample', [
      { data: x, shape },
      { data: grid, shape: [shape[0], ...size, 2] },
    ]);
    expect(outputs[0].shape).toEqual([shape[0], ...size, shape[3]]);
    const tolerance = { depth: 2 };
    expectClose(outputs[0].data, sampled(x, shape, grid, places), tolerance);
    if (spread < 4 && shape[1] > 1) expectFar(outputs[0].data, sampled(x, shape, grid, places, true), tolerance);
  });

  it('reads windows and writes into one', async () => {
    const r = random(2);
    const shape = [2, 5, 6, 4];
    const x = r.array(sizeOf(shape));
    const grid = r.array(2 * 9 * 2, 0.7);
    for (const left of [4, 1]) {
      const options = { inputWindows: { 0: { left, right: 4 }, 1: { left: 1, right: 1 } }, outputWindow: { left: 4, right: left } };
      const { outputs } = await runOp(
        'gridSample',
        [
          { data: x, shape },
          { data: grid, shape: [2, 3, 3, 2] },
        ],
        {},
        options,
      );
      expectClose(outputs[0].data, sampled(x, shape, grid, 9), { depth: 2 });
    }
  });

  it('refuses a grid of another batch', async () => {
    const of = (...shape: number[]) => ({ data: new Float32Array(sizeOf(shape)), shape });
    await expect(runOp('gridSample', [of(2, 3, 3, 1), of(1, 2, 2, 2)])).rejects.toThrow(/gridSample: \[2, 3, 3, 1\] at \[1, 2, 2, 2\]/);
  });
});
