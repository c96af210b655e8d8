import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GraphInput, runGraph, runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

const VARIANTS = ['scalar', 'rows', 'workgroup'];

/** Rounding of d = x - mean reaches y through 1 / deviation, so |x| / deviation belongs to the magnitude. */
function layerNorm(x: Float32Array, weight: Float32Array, bias: Float32Array, eps = 1e-5): Reference {
  const columns = weight.length;
  const value = new Float64Array(x.length);
  const magnitude = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    const row = Float64Array.from(x.subarray(first, first + columns));
    const mean = row.reduce((a, b) => a + b, 0) / columns;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / columns;
    const scale = 1 / Math.sqrt(variance + eps);
    row.forEach((v, c) => {
      value[first + c] = (v - mean) * scale * weight[c] + bias[c];
      magnitude[first + c] =
        Math.abs((v - mean) * scale * weight[c]) + Math.abs(bias[c]) + (Math.abs(mean) * scale * Math.abs(weight[c])) / columns;
    });
  }
  return { value, magnitude };
}

function inputsOf(shape: readonly number[], seed: number, scale = 1, offset = 0): GraphInput[] {
  const r = random(seed);
  const columns = shape[shape.length - 1];
  return [
    { data: r.array(sizeOf(shape), scale, offset), shape },
    { data: r.array(columns), shape: [columns], parameter: true },
    { data: r.array(columns), shape: [columns], parameter: true },
  ];
}

const f32 = (input: GraphInput) => input.data as Float32Array;
const reference = (inputs: GraphInput[]) => layerNorm(f32(inputs[0]), f32(inputs[1]), f32(inputs[2]));
/** Means are sums of up to `columns` terms, in chains of a quarter of that at most. */
const depthOf = (columns: number) => 8 + columns / 4;

describe('layerNorm', () => {
  const shapes = [
    [2, 5, 256],
    [1, 400, 32],
    [3, 7, 36],
    [2, 3, 5, 20],
    [4, 1],
    [1, 3],
    [5, 13],
    [2, 2, 1028],
  ];
  it.each(VARIANTS.flatMap((variant) => shapes.map((shape) => [variant, shape] as const)))('%s %j', async (variant, shape) => {
    const inputs = inputsOf(shape, 1);
    const { outputs } = await runOp('layerNorm', inputs, {}, { variants: { norm: variant } });
    const expected = reference(inputs);
    const tolerance = { depth: depthOf(shape[shape.length - 1]), floor: 1e-7 };
    expectClose(outputs[0].data, expected, tolerance);
    if (shape[shape.length - 1] < 2) return;
    const swapped = layerNorm(f32(inputs[0]), f32(inputs[2]), f32(inputs[1]));
    expectFar(outputs[0].data, swapped, tolerance);
    expectFar(outputs[0].data, layerNorm(f32(inputs[0]), f32(inputs[1]), f32(inputs[2]), 1e-2), tolerance);
  });

  it.each(VARIANTS)('%s: a common offset of 100 costs no digits', async (variant) => {
    const inputs = inputsOf([3, 64], 2, 1, 100);
    const { outputs } = await runOp('layerNorm', inputs, {}, { variants: { norm: variant } });
    expectClose(outputs[0].data, reference(inputs), { depth: depthOf(64), floor: 1e-7 });
  });

  it.each(VARIANTS)('%s: constant rows become the bias', async (variant) => {
    const inputs = inputsOf([4, 32], 3);
    f32(inputs[0]).forEach((_, i, x) => {
      x[i] = 10 ** (i >> 5) / 3;
    });
    const { outputs } = await runOp('layerNorm', inputs, {}, { variants: { norm: variant } });
    const bias = f32(inputs[2]);
    expectClose(outputs[0].data, { value: Float64Array.from({ length: 128 }, (_, i) => bias[i % 32]) }, { depth: 1, floor: 1e-6 });
  });

  it.each(VARIANTS)('%s: reads a window and writes into one', async (variant) => {
    const shape = [2, 7, 24];
    const inputs = inputsOf(shape, 4);
    const inputWindows = { 0: { left: 4, right: 8, top: 2, bottom: 1 }, 1: { left: 4 }, 2: { left: 8, right: 4 } };
    const options = { variants: { norm: variant }, inputWindows };
    for (const outputWindow of [
      { left: 8, right: 4 },
      { left: 3, right: 2 },
      { top: 2, bottom: 3 },
    ]) {
      const { outputs } = await runOp('layerNorm', inputs, {}, { ...options, outputWindow });
      expectClose(outputs[0].data, reference(inputs), { depth: depthOf(24), floor: 1e-7 });
    }
  });

  it.each(VARIANTS)('%s: takes a residual and an activation into its store', async (variant) => {
    const inputs = inputsOf([2, 9, 16], 5);
    const residual = { data: random(6).array(2 * 9 * 16), shape: [2, 9, 16] };
    const graph = (pointwise: boolean) => ({
      inputs: { x: inputs[0], w: inputs[1], b: inputs[2], residual },
      steps: [
        { op: 'layerNorm', inputs: ['x', 'w', 'b'], outputs: ['n'] },
        { op: 'pointwise', attributes: { row: 'add' }, inputs: ['residual', 'n'], outputs: ['s'] },
        { op: 'pointwise', attributes: { row: 'silu' }, inputs: ['s'], outputs: ['y'] },
      ],
      outputs: ['y'],
      options: { variants: { norm: variant }, fuse: { pointwise } },
    });
    const [fused, plain] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(fused.statistics.dispatches).toBe(1);
    expect(plain.statistics.dispatches).toBe(3);
    expect(fused.outputs.y.data).toEqual(plain.outputs.y.data);
  });

  it('any shape', async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.constantFrom(...VARIANTS), async (shape, variant) => {
        const inputs = inputsOf(shape, 7);
        const { outputs } = await runOp('layerNorm', inputs, {}, { variants: { norm: variant } });
        // One or two columns may nearly agree, and then eps alone decides the scale.
        expectClose(outputs[0].data, reference(inputs), { depth: 16, floor: 1e-5 });
      }),
      { numRuns: 15, seed: 2 },
    );
  });

  it('refuses a weight of another width', async () => {
    const inputs = [...inputsOf([2, 4], 8).slice(0, 2), { data: new Float32Array(3), shape: [3] }];
    await expect(runOp('layerNorm', inputs)).rejects.toThrow(/layerNorm: input \[2, 4\] with weight \[4\] and bias \[3\]/);
  });
});

/** e^(x - max) carries an error of 3 + 2 |x - max| units (WGSL's bound for exp), and the sum of them another. */
function softmax(x: Float32Array, columns: number, log: boolean): Reference {
  const value = new Float64Array(x.length);
  const magnitude = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += columns) {
    const row = Float64Array.from(x.subarray(first, first + columns));
    const peak = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((a, b) => a + Math.exp(b - peak), 0);
    row.forEach((v, c) => {
      const distance = Math.abs(v - peak) + Math.abs(v) + Math.abs(peak);
      value[first + c] = log ? v - peak - Math.log(sum) : Math.exp(v - peak) / sum;
      magnitude[first + c] = log ? distance + Math.log(sum) + 1 : value[first + c] * (1 + Math.abs(v - peak));
    });
  }
  return { value, magnitude };
}

describe.each([
  ['softmax', false],
  ['logSoftmax', true],
])('%s', (op, log) => {
  const shapes = [
    [2, 5, 3, 12],
    [4, 300],
    [7, 1],
    [2, 1025],
    [3, 33],
    [8, 10, 400],
  ];
  it.each(VARIANTS.flatMap((variant) => shapes.map((shape) => [variant, shape] as const)))('%s %j', async (variant, shape) => {
    const columns = shape[shape.length - 1];
    const x = random(9).array(sizeOf(shape), 3);
    const { outputs } = await runOp(op, [{ data: x, shape }], {}, { variants: { norm: variant } });
    const tolerance = { depth: 4 + columns / 16, floor: 1e-38 };
    expectClose(outputs[0].data, softmax(x, columns, log), tolerance);
    if (columns < 2) return;
    const dropped = softmax(x, columns, log);
    const without = softmax(
      x.map((v, i) => (i % columns === columns - 1 ? -1e30 : v)),
      columns,
      log,
    );
    expectFar(outputs[0].data, { value: without.value, magnitude: dropped.magnitude }, tolerance);
  });

  it.each(VARIANTS)('%s: neither large values nor a common offset overflow', async (variant) => {
    const shape = [3, 36];
    const x = random(10).array(sizeOf(shape), 1, 1000);
    x[5] = 3e38;
    x[40] = -3e38;
    const { outputs } = await runOp(op, [{ data: x, shape }], {}, { variants: { norm: variant } });
    expectClose(outputs[0].data, softmax(x, 36, log), { depth: 8, floor: 1e-38 });
  });

  it.each(VARIANTS)('%s: reads a window and writes into one', async (variant) => {
    const shape = [2, 7, 24];
    const x = random(11).array(sizeOf(shape));
    const options = {
      variants: { norm: variant },
      inputWindows: { 0: { left: 4, right: 8, top: 2 } },
      outputWindow: { left: 4, right: 4 },
    };
    const { outputs } = await runOp(op, [{ data: x, shape }], {}, options);
    expectClose(outputs[0].data, softmax(x, 24, log), { depth: 6, floor: 1e-38 });
  });
});

/** Statistics over all rows of all images (or each image's), of groups of `width` adjacent columns. */
function standardised(
  x: Float32Array,
  images: number,
  columns: number,
  width: number,
  join: boolean,
  weight: Float32Array,
  bias: Float32Array,
) {
  const value = new Float64Array(x.length);
  const magnitude = new Float64Array(x.length);
  const means: number[] = [];
  const variances: number[] = [];
  const perImage = x.length / images;
  const owner = (i: number) => [join ? 0 : Math.floor(i / perImage), Math.floor((i % columns) / width)].join();
  const groups = new Map<string, number[]>();
  x.forEach((v, i) => {
    const key = owner(i);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key)!.push(v);
  });
  const statistics = new Map(
    [...groups].map(([key, members]) => {
      const mean = members.reduce((a, b) => a + b, 0) / members.length;
      const variance = members.reduce((a, b) => a + (b - mean) ** 2, 0) / members.length;
      means.push(mean);
      variances.push(variance);
      return [key, { mean, scale: 1 / Math.sqrt(variance + 1e-5) }];
    }),
  );
  x.forEach((v, i) => {
    const { mean, scale } = statistics.get(owner(i))!;
    const c = i % columns;
    value[i] = (v - mean) * scale * weight[c] + bias[c];
    magnitude[i] = (Math.abs(v) + Math.abs(mean)) * scale * Math.abs(weight[c]) + Math.abs(bias[c]);
  });
  return { value, magnitude, means, variances, count: x.length / statistics.size };
}

describe('groupNorm', () => {
  it.each([
    [[2, 5, 3, 12], 4],
    [[1, 9, 7, 32], 32],
    [[2, 1, 1, 6], 1],
    [[3, 20, 20, 5], 5],
  ])('%j in %d groups', async (shape, groups) => {
    const inputs = inputsOf(shape, 12, 2, 1);
    const { outputs } = await runOp('groupNorm', inputs, { groups });
    const columns = shape[3];
    const of = (width: number) => standardised(f32(inputs[0]), shape[0], columns, width, false, f32(inputs[1]), f32(inputs[2]));
    const tolerance = { depth: 12, floor: 1e-7 };
    expectClose(outputs[0].data, of(columns / groups), tolerance);
    if (groups > 1 && groups < columns) expectFar(outputs[0].data, of(columns), tolerance);
  });

  it('refuses groups that do not divide the channels', async () => {
    await expect(runOp('groupNorm', inputsOf([1, 2, 2, 6], 1), { groups: 4 })).rejects.toThrow(/groupNorm: .* 6 channels/);
  });
});

describe.each(['whole', 'chunks'])('batchNormTrain, %s', (batchNorm) => {
  const options = { variants: { batchNorm } };
  const cases: [number[], number][] = [
    [[2, 5, 9, 7], 0],
    [[4, 1, 1, 16], 0],
    [[2, 40, 40, 3], 0],
    [[2, 8, 8, 4], 100],
    [[2, 1, 1, 5], 0],
    [[3, 33, 31, 8], -20],
    [[1, 3, 3, 44], 1],
  ];
  it.each(cases)('%j offset %d', async (shape, offset) => {
    const columns = shape[3];
    const inputs = inputsOf(shape, 13, 1, offset);
    const { outputs, kernels } = await runOp('batchNormTrain', inputs, {}, { outputs: 3, ...options });
    expect(kernels.length).toBe(batchNorm === 'whole' ? 1 : 3);
    const x = f32(inputs[0]);
    const of = (values: Float32Array) => standardised(values, shape[0], columns, 1, true, f32(inputs[1]), f32(inputs[2]));
    const expected = of(x);
    // The statistics carry the rounding of a few additions of x itself, whatever the number of rows: chunks and lanes are centred.
    const tolerance = { depth: 4, floor: 1e-6 };
    expectClose(outputs[0].data, expected, tolerance);
    const terms = x.reduce((sum, v) => sum + Math.abs(v), 0) / x.length;
    const batch = (now: number[], factor: number) => ({
      value: now.map((v) => v * factor),
      magnitude: now.map((v) => Math.abs(v) + terms),
    });
    const unbiased = expected.count / (expected.count - 1);
    expectClose(outputs[1].data, batch(expected.means, 1), { depth: 4 });
    expectClose(outputs[2].data, batch(expected.variances, unbiased), { depth: 6 });
    if (expected.count < 100) expectFar(outputs[2].data, batch(expected.variances, 1), { depth: 6 });
    const shifted = x.map((v, i) => (i === 0 ? v + 1 : v));
    expectFar(outputs[0].data, of(shifted), tolerance);
  });

  it('a residual and an activation come behind it, in the same launch', async () => {
    for (const columns of [8, 5]) {
      const shape = [2, 4, 3, columns];
      const inputs = inputsOf(shape, 15);
      const residual = { data: random(16).array(2 * 12 * columns), shape };
      const { outputs, kernels } = await runOp('batchNormTrain', [...inputs, residual], { activation: 'silu' }, { outputs: 3, ...options });
      expect(kernels.length).toBe(batchNorm === 'whole' ? 1 : 3);
      const { value } = standardised(f32(inputs[0]), 2, columns, 1, true, f32(inputs[1]), f32(inputs[2]));
      const sums = Array.from(value, (v, i) => v + residual.data[i]);
      const expected = { value: sums.map((v) => v / (1 + Math.exp(-v))), magnitude: sums.map((v) => Math.abs(v) + 2) };
      expectClose(outputs[0].data, expected, { depth: 8 });
      expectFar(outputs[0].data, { ...expected, value: Array.from(value, (v) => v / (1 + Math.exp(-v))) }, { depth: 8 });
    }
  });

  it('reads and writes windows', async () => {
    const shape = [2, 5, 4, 8];
    const inputs = inputsOf(shape, 17);
    const expected = standardised(f32(inputs[0]), 2, 8, 1, true, f32(inputs[1]), f32(inputs[2]));
    for (const margin of [3, 4]) {
      const sides = { left: margin, right: margin };
      const { outputs } = await runOp('batchNormTrain', inputs, {}, { inputWindows: { 0: sides }, outputWindow: sides, ...options });
      expectClose(outputs[0].data, expected, { depth: 4, floor: 1e-6 });
    }
  });
});

describe('batchNormTrain', () => {
  it('takes the launch of its own where columns are short', async () => {
    const { kernels } = await runOp('batchNormTrain', inputsOf([1, 128, 128, 4], 18), {}, { outputs: 3 });
    expect(kernels).toEqual(['norm/batch-norm']);
    const long = await runOp('batchNormTrain', inputsOf([1, 129, 128, 4], 18), {}, { outputs: 3 });
    expect(long.kernels).toEqual(['reduce/moments', 'norm/standardise-table', 'norm/standardise']);
  });

  it('refuses one value a channel, and a residual of another shape', async () => {
    const inputs = inputsOf([1, 1, 1, 4], 1);
    await expect(runOp('batchNormTrain', inputs)).rejects.toThrow(/one value a channel/);
    const residual = { data: new Float32Array(8), shape: [1, 1, 2, 4] };
    await expect(runOp('batchNormTrain', [...inputsOf([1, 2, 2, 4], 1), residual])).rejects.toThrow(/residual/);
  });
});
