import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differences } from '../setup/gpu-gradients.ts';
import { type GraphInput, type GraphResult, type GraphStep, type Margins, type RunOptions, runGraph } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar } from '../setup/tolerance.ts';

interface Case {
  /** [batch, height, width, channels] */
  x: readonly [number, number, number, number];
  /** Output channels. */
  out: number;
  kernel: readonly [number, number];
  stride?: readonly [number, number];
  padding?: readonly [number, number];
  dilation?: readonly [number, number];
  groups?: number;
}

/** Calls back for every product of the convolution: indices of the input, the weight and the output that it joins. */
function products(c: Case, visit: (x: number, w: number, y: number) => void): number[] {
  const { x, out, kernel, stride = [1, 1], padding = [0, 0], dilation = [1, 1], groups = 1 } = c;
  const [n, h, wide, channels] = x;
  const [oh, ow] = [h, wide].map((size, i) => Math.floor((size + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1);
  const [inGroup, outGroup] = [channels / groups, out / groups];
  const depthwise = groups > 1 && groups === channels;
  for (let y = 0; y < n * oh * ow * out; y++) {
    const [k, ox, oy, image] = [y % out, Math.floor(y / out) % ow, Math.floor(y / out / ow) % oh, Math.floor(y / out / ow / oh)];
    // A depthwise convolution's output channels are ordered [multiplier, channels].
    const first = depthwise ? k % channels : Math.floor(k / outGroup) * inGroup;
    for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
      const iy = oy * stride[0] + Math.floor(tap / kernel[1]) * dilation[0] - padding[0];
      const ix = ox * stride[1] + (tap % kernel[1]) * dilation[1] - padding[1];
      if (iy < 0 || iy >= h || ix < 0 || ix >= wide) continue;
      for (let i = 0; i < inGroup; i++) visit(((image * h + iy) * wide + ix) * channels + first + i, (tap * inGroup + i) * out + k, y);
    }
  }
  return [n, oh, ow, out];
}

const weightShape = ({ x, out, kernel, groups = 1 }: Case): number[] =>
  groups > 1 && groups === x[3] ? [kernel[0] * kernel[1], out / groups, groups] : [kernel[0] * kernel[1], x[3] / groups, out];

interface Exact {
  value: Float64Array;
  magnitude: Float64Array;
}

type Gradients = Record<'x' | 'w' | 'b', Exact>;

/** Gradients of <conv2d(x, w) + b, g> in float64, by the definition. */
function reference(c: Case, x: ArrayLike<number>, w: ArrayLike<number>, g: ArrayLike<number>): Gradients {
  const of = (length: number) => ({ value: new Float64Array(length), magnitude: new Float64Array(length) });
  const [dx, dw, db] = [of(x.length), of(w.length), of(c.out)];
  const add = (to: typeof dx, at: number, term: number) => {
    to.value[at] += term;
    to.magnitude[at] += Math.abs(term);
  };
  products(c, (i, j, y) => {
    add(dx, i, w[j] * g[y]);
    add(dw, j, x[i] * g[y]);
  });
  for (let y = 0; y < g.length; y++) add(db, y % c.out, g[y]);
  return { x: dx, w: dw, b: db };
}

/** Sums run over at most 512 products, then over those. */
const depthOf = (terms: number) => 8 + Math.min(terms, 512) + terms / 64;

interface Run extends RunOptions {
  /** Gives x and g as windows of larger arrays, and lets the gradient of x fill a window of a concatenation. */
  window?: Pick<Margins, 'left' | 'right'>;
}

interface Checked {
  result: GraphResult;
  expected: Gradients;
  tolerances: { x: { depth: number }; w: { depth: number }; b: { depth: number } };
}

async function check(c: Case, { window, ...options }: Run = {}): Promise<Checked> {
  const r = random(sizeOf(c.x) * 31 + c.out);
  const shapes = { x: c.x, w: weightShape(c), b: [c.out] };
  const [x, w, b] = [r.array(sizeOf(c.x)), r.array(sizeOf(shapes.w)), r.array(c.out)];
  const outputShape = products(c, () => {});
  const g = r.array(sizeOf(outputShape));
  const steps: GraphStep[] = [];
  const inputs: Record<string, GraphInput> = { w: { data: w, shape: shapes.w }, b: { data: b, shape: shapes.b } };
  const enter = (name: string, data: Float32Array, shape: readonly number[]): void => {
    const { left = 0, right = 0 } = window ?? {};
    const columns = shape[shape.length - 1];
    const wide = left + columns + right;
    const all = new Float32Array((data.length / columns) * wide).fill(1e30);
    for (let row = 0; row * columns < data.length; row++) all.set(data.subarray(row * columns, (row + 1) * columns), row * wide + left);
    inputs[`${name}_wide`] = { data: all, shape: [...shape.slice(0, -1), wide] };
    steps.push({ op: 'columnsFrom', inputs: [`${name}_wide`], outputs: [name], attributes: { start: left, length: columns } });
  };
  enter('x', x, c.x);
  enter('g', g, outputShape);
  const { x: _, out, ...attributes } = c;
  steps.push({ op: 'conv2d', inputs: ['x', 'w', 'b'], outputs: ['y'], attributes });
  steps.push({ op: 'gradients', inputs: ['y', 'g', 'x_wide', 'w', 'b'], outputs: ['dx_wide', 'dw', 'db'], attributes: { outputs: 1 } });
  steps.push({ op: 'columnsFrom', inputs: ['dx_wide'], outputs: ['cut'], attributes: { start: window?.left ?? 0, length: c.x[3] } });
  steps.push({ op: 'pointwise', inputs: ['cut'], outputs: ['dx'], attributes: { row: 'identity' } });
  const result = await runGraph({ inputs, steps, outputs: ['dx', 'dw', 'db'], options });
  const expected = reference(c, x, w, g);
  const pixels = g.length / out;
  const perInput = ((w.length / (weightShape(c)[1] * (c.groups ?? 1))) * out) / Math.max(1, out / (c.groups ?? 1));
  const tolerances = {
    x: { depth: depthOf(Math.max(perInput, (c.kernel[0] * c.kernel[1] * out) / (c.groups ?? 1))) },
    w: { depth: depthOf(pixels) },
    b: { depth: depthOf(pixels) },
  };
  expectClose(result.outputs.dx.data, expected.x, tolerances.x);
  expectClose(result.outputs.dw.data, expected.w, tolerances.w);
  expectClose(result.outputs.db.data, expected.b, tolerances.b);
  // A mutation that changes nothing (a tap that never meets the image) proves nothing.
  const refuse = (name: 'dx' | 'dw', wrong: Exact): void => {
    const right = name === 'dx' ? expected.x : expected.w;
    if (right.value.some((v, i) => v !== wrong.value[i]))
      expectFar(result.outputs[name].data, wrong, name === 'dx' ? tolerances.x : tolerances.w);
  };
  // Mutations: a sign, and two weights exchanged (a swapped tap where there are several).
  expectFar(result.outputs.dx.data, { ...expected.x, value: Float64Array.from(expected.x.value, (v) => -v) }, tolerances.x);
  const swapped = Float32Array.from(w);
  [swapped[0], swapped[w.length - 1]] = [w[w.length - 1], w[0]];
  refuse('dx', reference(c, x, swapped, g).x);
  const exchanged = Float64Array.from(expected.w.value);
  [exchanged[0], exchanged[w.length - 1]] = [exchanged[w.length - 1], exchanged[0]];
  refuse('dw', { ...expected.w, value: exchanged });
  // Weights one row further: an input channel or a tap mistaken for the next.
  refuse('dw', { ...expected.w, value: expected.w.value.map((_, i, all) => all[(i + out) % all.length]) });
  // The last output pixel left out.
  const dropped = g.map((v, i) => (i >= g.length - out ? 0 : v));
  const without = reference(c, x, w, dropped);
  refuse('dw', without.w);
  expectFar(result.outputs.db.data, without.b, tolerances.b);
  return { result, expected, tolerances };
}

const of = (x: Case['x'], out: number, size: number, rest: Partial<Case> = {}): Case => ({ x, out, kernel: [size, size], ...rest });

const cases: [string, Case][] = [
  ['3x3', of([2, 9, 11, 8], 12, 3, { padding: [1, 1] })],
  ['3x3 of many channels', of([1, 6, 7, 48], 80, 3, { padding: [1, 1] })],
  ['3x3 of three channels', of([2, 13, 9, 3], 8, 3, { stride: [2, 2], padding: [1, 1] })],
  ['3x3 of odd channels', of([2, 9, 11, 7], 13, 3, { padding: [1, 1] })],
  ['3x3 stride 2, even', of([2, 16, 12, 8], 12, 3, { stride: [2, 2], padding: [1, 1] })],
  ['3x3 stride 2, odd', of([2, 15, 13, 20], 8, 3, { stride: [2, 2], padding: [1, 1] })],
  ['3x3 stride 2, odd channels', of([2, 15, 13, 5], 6, 3, { stride: [2, 2], padding: [1, 1] })],
  ['3x3 stride 2 without padding', of([1, 12, 12, 4], 4, 3, { stride: [2, 2] })],
  ['1x1', of([2, 7, 9, 12], 20, 1)],
  ['1x1 stride 2: three phases meet no tap', of([1, 9, 8, 12], 20, 1, { stride: [2, 2] })],
  ['1x1 of one line', of([1, 1, 70, 36], 68, 1)],
  ['7x7 stride 2', of([1, 21, 19, 4], 8, 7, { stride: [2, 2], padding: [3, 3] })],
  ['5x5', of([1, 9, 9, 4], 8, 5, { padding: [2, 2] })],
  ['1x3', { ...of([1, 6, 8, 4], 8, 1, { padding: [0, 1] }), kernel: [1, 3] }],
  ['3x1 with strides 1 and 2', { ...of([2, 6, 9, 4], 8, 1, { stride: [1, 2], padding: [1, 0] }), kernel: [3, 1] }],
  ['2x2 stride 2', of([1, 8, 8, 4], 4, 2, { stride: [2, 2] })],
  ['3x3 stride 3', of([1, 12, 9, 4], 8, 3, { stride: [3, 3] })],
  ['3x3 stride 5 leaves pixels unread', of([1, 13, 14, 4], 8, 3, { stride: [5, 5], padding: [1, 1] })],
  ['dilation 2', of([1, 13, 11, 8], 8, 3, { padding: [2, 2], dilation: [2, 2] })],
  ['dilation 3 and stride 2', of([1, 16, 15, 4], 4, 3, { stride: [2, 2], padding: [3, 3], dilation: [3, 3] })],
  ['padding larger than the kernel', of([1, 3, 4, 4], 4, 3, { stride: [2, 2], padding: [4, 5] })],
  ['3x3 on one pixel', of([2, 1, 1, 8], 4, 3, { padding: [1, 1] })],
  ['one channel to one', of([3, 6, 5, 1], 1, 3, { padding: [1, 1] })],
  ['4 groups', of([2, 8, 8, 16], 24, 3, { padding: [1, 1], groups: 4 })],
  ['4 groups to vectors', of([2, 7, 8, 16], 32, 3, { padding: [1, 1], stride: [2, 2], groups: 4 })],
  ['depthwise', of([2, 9, 7, 12], 12, 3, { padding: [1, 1], groups: 12 })],
  ['depthwise stride 2', of([1, 10, 11, 8], 8, 3, { stride: [2, 2], padding: [1, 1], groups: 8 })],
  ['depthwise, odd', of([2, 9, 7, 10], 10, 3, { padding: [1, 1], groups: 10 })],
  ['depthwise, multiplier 9', of([2, 8, 6, 8], 72, 3, { padding: [1, 1], groups: 8 })],
  ['depthwise, odd, multiplier 3', of([2, 8, 6, 5], 15, 3, { padding: [1, 1], groups: 5 })],
  ['many pixels', of([2, 48, 48, 4], 4, 3, { padding: [1, 1] })],
  // How weight gradients pack threads: taps that share a quad or a workgroup, tiles cut by the last tap, parts that end in mid-line.
  ['12 channels to 12', of([2, 13, 21, 12], 12, 3, { padding: [1, 1] })],
  ['24 channels to 28, stride 2', of([2, 15, 19, 24], 28, 3, { stride: [2, 2], padding: [1, 1] })],
  ['8 channels to 96', of([1, 9, 10, 8], 96, 3, { padding: [1, 1] })],
  ['1x1 of few channels in many parts', of([1, 23, 31, 4], 12, 1)],
];

describe.each([
  ['quads', 'subgroup'],
  ['registers', 'registers'],
  ['direct', 'direct'],
])('gradients of conv2d, %s', (_, gemm) => {
  it.each(cases)('%s', async (_, c) => {
    await check(c, { variants: { gemm } });
  });

  it.each([
    [4, 8],
    [3, 2],
  ])('reads and writes windows %j', async (left, right) => {
    for (const name of ['3x3', '3x3 stride 2, odd', '4 groups', 'depthwise, multiplier 9', '1x1'])
      await check(new Map(cases).get(name)!, { variants: { gemm }, window: { left, right } });
  });
});

describe('gradients of conv2d', () => {
  it('the reference agrees with finite differences', () => {
    const chosen = [
      of([1, 6, 5, 2], 3, 3, { stride: [2, 2], padding: [1, 1] }),
      of([2, 4, 4, 4], 6, 3, { padding: [1, 1], groups: 2 }),
      of([1, 5, 4, 3], 6, 3, { padding: [1, 1], groups: 3 }),
      of([1, 8, 7, 2], 2, 3, { stride: [2, 1], padding: [3, 2], dilation: [3, 2] }),
    ];
    for (const c of chosen) {
      const r = random(3);
      const [x, w] = [r.array(sizeOf(c.x)), r.array(sizeOf(weightShape(c)))].map((a) => Float64Array.from(a));
      const size = sizeOf(products(c, () => {}));
      const g = r.array(size);
      const forward = ([a, b]: readonly Float64Array[]) => {
        const y = new Float64Array(size);
        products(c, (i, j, at) => {
          y[at] += a[i] * b[j];
        });
        return [y];
      };
      const expected = reference(c, x, w, g);
      const small = (values: ArrayLike<number>, found: Float64Array) => found.every((v, i) => Math.abs(v - values[i]) < 1e-8);
      expect(small(expected.w.value, differences(forward, [x, w], [g], 1))).toBe(true);
      expect(small(expected.x.value, differences(forward, [x, w], [g], 0))).toBe(true);
    }
  });

  it('the gradient to the input is one dispatch, with a stride too; those to weights and bias are two', async () => {
    for (const name of ['3x3', '3x3 stride 2, even']) {
      const { result } = await check(new Map(cases).get(name)!);
      const names = result.kernels.filter((k) => k.startsWith('conv2d-gradient/'));
      expect(names.filter((k) => k.includes('/data-'))).toHaveLength(1);
      expect(names.filter((k) => k.includes('/weight-'))).toHaveLength(1);
      expect(result.kernels.filter((k) => k.startsWith('reduce/'))).toEqual(['reduce/parts']);
    }
  });

  it('fuses what comes before and after', async () => {
    const c = new Map(cases).get('3x3 stride 2, odd')!;
    const r = random(5);
    const shapes = { x: c.x, w: weightShape(c), g: products(c, () => {}) };
    const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { data: r.array(sizeOf(shape)), shape }]));
    const { x: _, out: __, ...attributes } = c;
    const graph = (pointwise: boolean) => ({
      inputs,
      steps: [
        { op: 'pointwise', attributes: { row: 'relu' }, inputs: ['x'], outputs: ['r'] },
        { op: 'conv2d', inputs: ['r', 'w'], outputs: ['y'], attributes },
        { op: 'pointwise', attributes: { row: 'relu' }, inputs: ['y'], outputs: ['z'] },
        { op: 'gradients', inputs: ['z', 'g', 'x', 'w'], outputs: ['dx', 'dw'], attributes: { outputs: 1 } },
      ],
      outputs: ['dx', 'dw'],
      options: { fuse: { pointwise } },
    });
    const [fused, plain] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(fused.statistics.dispatches).toBeLessThan(plain.statistics.dispatches);
    expect(fused.outputs.dx.data).toEqual(plain.outputs.dx.data);
    expect(fused.outputs.dw.data).toEqual(plain.outputs.dw.data);
  });

  it('any shape', async () => {
    const size = fc.integer({ min: 1, max: 9 });
    const small = fc.integer({ min: 1, max: 3 });
    const pair = <T>(one: fc.Arbitrary<T>) => fc.tuple(one, one);
    await fc.assert(
      fc.asyncProperty(
        ...([
          pair(size),
          fc.integer({ min: 1, max: 3 }),
          pair(fc.integer({ min: 1, max: 5 })),
          pair(small),
          pair(small),
          pair(small),
          fc.boolean(),
          pair(fc.nat(3)),
        ] as const),
        async ([h, w], batch, [c, out], kernel, stride, dilation, vectors, padding) => {
          const unit = vectors ? 4 : 1;
          const least = kernel.map((k, i) => dilation[i] * (k - 1) + 1 - 2 * padding[i]);
          await check({
            x: [batch, Math.max(h, least[0]), Math.max(w, least[1]), c * unit],
            out: out * unit,
            ...{ kernel, stride, dilation, padding },
          });
        },
      ),
      { numRuns: 12, seed: 4 },
    );
  });
});

describe('gradients of linear', () => {
  const cases: [number[], number][] = [
    [[2, 21, 36], 52],
    [[17, 33], 29],
    [[5, 1], 7],
    [[2, 9, 24], 1],
    [[1, 64], 64],
    [[3, 2048], 12],
    [[1, 1050, 16], 24],
    [[2, 3, 5, 8], 8],
  ];
  it.each(cases)('%j to %i', async (shape, out) => {
    const features = shape[shape.length - 1];
    const rows = sizeOf(shape) / features;
    const r = random(sizeOf(shape));
    const [x, w, b, g] = [sizeOf(shape), features * out, out, rows * out].map((size) => r.array(size));
    const c: Case = { x: [1, 1, rows, features], out, kernel: [1, 1] };
    for (const gemm of ['subgroup', 'registers', 'direct']) {
      const { outputs } = await runGraph({
        inputs: {
          x: { data: x, shape },
          w: { data: w, shape: [1, features, out] },
          b: { data: b, shape: [out] },
          g: { data: g, shape: [...shape.slice(0, -1), out] },
        },
        steps: [
          { op: 'linear', inputs: ['x', 'w', 'b'], outputs: ['y'] },
          { op: 'gradients', inputs: ['y', 'g', 'x', 'w', 'b'], outputs: ['dx', 'dw', 'db'], attributes: { outputs: 1 } },
        ],
        outputs: ['dx', 'dw', 'db'],
        options: { variants: { gemm } },
      });
      const expected = reference(c, x, w, g);
      expect(outputs.dx.shape).toEqual(shape);
      expectClose(outputs.dx.data, expected.x, { depth: depthOf(out) });
      expectClose(outputs.dw.data, expected.w, { depth: depthOf(rows) });
      expectClose(outputs.db.data, expected.b, { depth: depthOf(rows) });
    }
  });
});
