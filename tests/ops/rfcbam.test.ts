import { describe, expect, it } from 'vitest';
import { type GraphCase, type GraphStep, runGraph, runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** The bounds below are absolute, in units of u. */
const absolute = { depth: 1, c: 1, floor: 1e-30 };

describe('channelAttention', () => {
  function reference(x: Float32Array, fc1: Float32Array, fc2: Float32Array, [n, pixels, c, r]: number[], skip = 0): Reference {
    const value = new Float64Array(n * c);
    const magnitude = new Float64Array(n * c);
    for (let image = 0; image < n; image++) {
      const mean = new Float64Array(c);
      const size = new Float64Array(c);
      for (let p = 0; p < pixels - skip; p++) {
        for (let i = 0; i < c; i++) {
          const v = x[(image * pixels + p) * c + i];
          mean[i] += v / pixels;
          size[i] += Math.abs(v) / pixels;
        }
      }
      // Sums over chunks and then over the chunks' sums; then c products, then r.
      const depth = 2 * Math.max(32, Math.ceil(Math.sqrt(pixels))) + 2 * c;
      for (let k = 0; k < c; k++) {
        let [sum, bound] = [0, 0];
        for (let h = 0; h < r; h++) {
          let [unit, all] = [0, 0];
          for (let i = 0; i < c; i++) {
            unit += fc1[i * r + h] * mean[i];
            all += Math.abs(fc1[i * r + h]) * size[i];
          }
          sum += fc2[h * c + k] * Math.max(unit, 0);
          bound += Math.abs(fc2[h * c + k]) * all;
        }
        value[image * c + k] = sigmoid(sum);
        // The sigmoid's slope is at most 1/4; its own arithmetic errs by a few u.
        magnitude[image * c + k] = ((depth + 2 * r) * bound) / 4 + 12 + Math.abs(sum);
      }
    }
    return { value, magnitude };
  }

  it.each([
    [2, 6, 8, 6, 3],
    [2, 7, 5, 5, 2],
    [1, 1, 1, 4, 7],
    [1, 40, 40, 20, 8],
    [3, 1, 9, 9, 1],
    [1, 3, 3, 68, 70],
  ])('batch %i, %i x %i, %i channels, %i hidden', async (n, h, w, c, r) => {
    const g = random(1);
    const x = g.array(n * h * w * c, 1, 0.3);
    const [fc1, fc2] = [g.array(c * r), g.array(c * r)];
    const inputs = [
      { data: x, shape: [n, h, w, c] },
      { data: fc1, shape: [1, c, r] },
      { data: fc2, shape: [1, r, c] },
    ];
    const { outputs, kernels } = await runOp('channelAttention', inputs);
    expect(kernels).toEqual(['reduce/rows', 'rfcbam/channel-attention']);
    expect(outputs[0].shape).toEqual([n, 1, c]);
    const sizes = [n, h * w, c, r];
    expectClose(outputs[0].data, reference(x, fc1, fc2, sizes), absolute);
    expectFar(outputs[0].data, reference(x, fc2, fc1, sizes), absolute);
    expectFar(outputs[0].data, reference(x, fc1, fc2, sizes, 1), absolute);
    const wider = await runOp('channelAttention', inputs, {}, { inputWindows: { 0: { left: 3, right: 2 } } });
    expectClose(wider.outputs[0].data, reference(x, fc1, fc2, sizes), absolute);
  });
});

/** Maximum and mean of each tap, shuffled into a map: [n, h * k, w * k, 2]. */
function statistics(g: Float32Array, [n, h, w, k, c]: number[]): Reference {
  const value = new Float64Array(n * h * w * k * k * 2);
  const magnitude = new Float64Array(value.length);
  for (let cell = 0; cell < n * h * w; cell++) {
    const [image, y, x] = [Math.floor(cell / h / w), Math.floor(cell / w) % h, cell % w];
    for (let tap = 0; tap < k * k; tap++) {
      const part = Array.from(g.subarray((cell * k * k + tap) * c, (cell * k * k + tap + 1) * c));
      const to = ((image * h * k + y * k + Math.floor(tap / k)) * w * k + x * k + (tap % k)) * 2;
      value[to] = Math.max(...part);
      value[to + 1] = part.reduce((a, b) => a + b, 0) / c;
      magnitude[to + 1] = ((Math.min(c, 64) + Math.ceil(c / 64) + 4) * part.reduce((a, b) => a + Math.abs(b), 0)) / c;
    }
  }
  return { value, magnitude };
}

const sizes = [
  [2, 3, 4, 3, 8],
  [1, 1, 1, 3, 4],
  [2, 5, 2, 3, 9],
  [1, 2, 3, 3, 300],
  [1, 3, 2, 1, 5],
  [1, 2, 2, 5, 4],
];

describe('rfStatistics', () => {
  it.each(sizes)('batch %i, %i x %i cells of side %i, %i channels', async (n, h, w, k, c) => {
    const g = random(2).array(n * h * w * k * k * c);
    const { outputs, kernels } = await runOp('rfStatistics', [{ data: g, shape: [n, h, w, k * k * c] }], { channels: c });
    expect(kernels).toEqual(['rfcbam/statistics']);
    expect(outputs[0].shape).toEqual([n, h * k, w * k, 2]);
    expectClose(outputs[0].data, statistics(g, [n, h, w, k, c]), absolute);
    // Square maps, and those of one tap, look the same with height and width exchanged.
    if (w !== h && k > 1) expectFar(outputs[0].data, statistics(g, [n, w, h, k, c]), absolute);
  });

  it('refuses what is no square of taps', async () => {
    const g = { data: new Float32Array(40), shape: [1, 1, 1, 40] };
    await expect(runOp('rfStatistics', [g], { channels: 5 })).rejects.toThrow(/square number of taps/);
  });
});

/** sigmoid of the 3x3 convolution of [n, rows, columns, 2]. */
function spatial(x: ArrayLike<number>, weight: ArrayLike<number>, [n, rows, columns]: number[], swapped = false): Reference {
  const value = new Float64Array(n * rows * columns);
  const magnitude = new Float64Array(value.length);
  for (let i = 0; i < value.length; i++) {
    const [image, y, q] = [Math.floor(i / rows / columns), Math.floor(i / columns) % rows, i % columns];
    let [sum, size] = [0, 0];
    for (let tap = 0; tap < 9; tap++) {
      const [yy, xx] = [y + Math.floor(tap / 3) - 1, q + (tap % 3) - 1];
      if (yy < 0 || xx < 0 || yy >= rows || xx >= columns) continue;
      for (let s = 0; s < 2; s++) {
        const term = weight[tap * 2 + (swapped ? 1 - s : s)] * x[((image * rows + yy) * columns + xx) * 2 + s];
        sum += term;
        size += Math.abs(term);
      }
    }
    value[i] = sigmoid(sum);
    magnitude[i] = (20 * size) / 4 + 12 + Math.abs(sum);
  }
  return { value, magnitude };
}

describe('rfSpatial', () => {
  it.each([
    [2, 6, 9],
    [1, 3, 3],
    [1, 1, 1],
    [1, 10, 5],
  ])('batch %i, %i x %i', async (n, rows, columns) => {
    const r = random(3);
    const [x, weight] = [r.array(n * rows * columns * 2), r.array(18)];
    const inputs = [
      { data: x, shape: [n, rows, columns, 2] },
      { data: weight, shape: [9, 2, 1] },
    ];
    const { outputs } = await runOp('rfSpatial', inputs);
    expect(outputs[0].shape).toEqual([n, rows, columns, 1]);
    expectClose(outputs[0].data, spatial(x, weight, [n, rows, columns]), absolute);
    expectFar(outputs[0].data, spatial(x, weight, [n, rows, columns], true), absolute);
  });
});

/** fuse over g * ca * sa, sa being the spatial attention's map. */
function fuse(
  { g, ca, weight, bias }: Record<'g' | 'ca' | 'weight' | 'bias', Float32Array>,
  sa: Reference,
  [n, h, w, k, c, o]: number[],
  mutation?: 'last tap' | 'no channels' | 'taps transposed',
): Reference {
  const value = new Float64Array(n * h * w * o);
  const magnitude = new Float64Array(value.length);
  const taps = k * k;
  for (let cell = 0; cell < n * h * w; cell++) {
    const [image, y, x] = [Math.floor(cell / h / w), Math.floor(cell / w) % h, cell % w];
    for (let tap = 0; tap < taps - (mutation === 'last tap' ? 1 : 0); tap++) {
      const [i, j] = mutation === 'taps transposed' ? [tap % k, Math.floor(tap / k)] : [Math.floor(tap / k), tap % k];
      const at = (image * h * k + y * k + i) * w * k + x * k + j;
      for (let channel = 0; channel < c; channel++) {
        const attention = mutation === 'no channels' ? 1 : ca[image * c + channel];
        const a = g[(cell * taps + tap) * c + channel] * attention;
        for (let q = 0; q < o; q++) {
          const term = a * weight[(tap * c + channel) * o + q];
          value[cell * o + q] += term * sa.value[at];
          magnitude[cell * o + q] += Math.abs(term) * (sa.value[at] * (taps * c + 6) + sa.magnitude![at]);
        }
      }
    }
    for (let q = 0; q < o; q++) {
      value[cell * o + q] += bias[q];
      magnitude[cell * o + q] += 4 * Math.abs(bias[q]);
    }
  }
  return { value, magnitude };
}

describe('rfFuse', () => {
  interface Options {
    withBias?: boolean;
    relu?: boolean;
    variant?: string;
  }

  async function run([n, h, w, k, c, o]: number[], { withBias = true, relu = false, variant }: Options = {}) {
    const r = random(4);
    const rows = n * h * k * w * k;
    const arrays = {
      g: r.array(n * h * w * k * k * c),
      ca: r.array(n * c, 0.3, 0.6),
      weight: r.array(k * k * c * o),
      bias: withBias ? r.array(o) : new Float32Array(o),
    };
    const [map, kernel] = [r.array(rows * 2), r.array(18)];
    const step = (op: string, inputs: string[], output: string, attributes: object = {}): GraphStep => ({
      op,
      inputs,
      outputs: [output],
      attributes,
    });
    const steps = [
      step('rfSpatial', ['map', 'kernel'], 'sa'),
      step('rfFuse', ['g', 'ca', 'sa', 'weight', ...(withBias ? ['bias'] : [])], 'fused'),
      ...(relu ? [step('pointwise', ['fused'], 'y', { row: 'relu' })] : []),
    ];
    const shapes: Record<string, [Float32Array, number[]]> = {
      g: [arrays.g, [n, h, w, k * k * c]],
      ca: [arrays.ca, [n, 1, c]],
      weight: [arrays.weight, [k * k, c, o]],
      bias: [arrays.bias, [o]],
      map: [map, [n, h * k, w * k, 2]],
      kernel: [kernel, [9, 2, 1]],
    };
    const inputs: GraphCase['inputs'] = Object.fromEntries(Object.entries(shapes).map(([name, [data, shape]]) => [name, { data, shape }]));
    const y = relu ? 'y' : 'fused';
    const options = variant ? { variants: { gemm: variant } } : {};
    const { outputs, kernels } = await runGraph({ inputs, steps, outputs: [y], options });
    expect(sizeOf(outputs[y].shape)).toBe(n * h * w * o);
    return { y: outputs[y].data, kernels, arrays, sa: spatial(map, kernel, [n, h * k, w * k]) };
  }

  it.each([
    [2, 3, 4, 3, 8, 12],
    [1, 1, 1, 3, 4, 8],
    [2, 5, 2, 3, 9, 6],
    [1, 2, 3, 3, 6, 8],
    [1, 7, 5, 3, 20, 20],
    [1, 3, 2, 1, 5, 3],
    [1, 2, 2, 5, 4, 4],
  ])('batch %i, %i x %i cells of side %i, %i to %i channels', async (...size) => {
    const { y, kernels, arrays, sa } = await run(size);
    expect(kernels[0]).toBe('rfcbam/weigh');
    expect(kernels.length).toBe(2);
    expectClose(y, fuse(arrays, sa, size), absolute);
  });

  it.each(['registers', 'subgroup', 'workgroup', 'direct'])('gemm/%s takes the weighed expansion', async (variant) => {
    const size = [2, 4, 5, 3, 8, 12];
    const { y, kernels, arrays, sa } = await run(size, { variant });
    expect(kernels[1]).toMatch(new RegExp(`/${variant}$`));
    expectClose(y, fuse(arrays, sa, size), absolute);
    for (const mutation of ['last tap', 'no channels', 'taps transposed'] as const)
      expectFar(y, fuse(arrays, sa, size, mutation), absolute);
  });

  it('takes the activation behind it along, and needs no bias', async () => {
    const size = [1, 4, 3, 3, 8, 8];
    const { y, kernels, arrays, sa } = await run(size, { relu: true, withBias: false });
    expect(kernels.length).toBe(2);
    const { value, magnitude } = fuse(arrays, sa, size);
    expectClose(y, { value: Array.from(value, (v) => Math.max(v, 0)), magnitude: magnitude! }, absolute);
  });
});
