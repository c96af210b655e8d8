import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectFar } from '../setup/tolerance.ts';

type Shapes = [number, number][];

interface Options {
  heads: number;
  shapes: Shapes;
  points: number[];
  method?: 'discrete';
  offsetScale?: number;
}

interface Sizes {
  n: number;
  queries: number;
  /** Of a head. */
  channels: number;
  /** Columns of the reference. */
  reference: number;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

/** The definition, point by point. `given`: locations and weights as they are. */
const deformable =
  ({ heads, shapes, points, method, offsetScale = 0.5 }: Options, { n, queries, channels, reference: r }: Sizes, given: boolean): Forward =>
  ([value, offsets, logits, reference]) => {
    const cells = sum(shapes.map(([h, w]) => h * w));
    const all = sum(points);
    const numbers = r === 4 || r === 4 * shapes.length ? 4 : 2;
    const y = new Float64Array(n * queries * heads * channels);
    for (let at = 0; at < n * queries * heads; at++) {
      const [image, head] = [Math.floor(at / heads / queries), at % heads];
      const raw = logits.subarray(at * all, (at + 1) * all);
      const total = given ? 1 : raw.reduce((a, v) => a + Math.exp(v), 0);
      let [first, p] = [0, 0];
      shapes.forEach(([h, w], l) => {
        const box = reference?.subarray(Math.floor(at / heads) * r + (r > numbers ? l * numbers : 0)) ?? [];
        for (let k = 0; k < points[l]; k++, p++) {
          const offset = [0, 1].map((i) => offsets[(at * all + p) * 2 + i]);
          const location = offset.map((o, i) => {
            if (given) return o;
            return numbers === 4 ? box[i] + (o / points[l]) * box[2 + i] * offsetScale : box[i] + o / [w, h][i];
          });
          const weight = given ? raw[p] : Math.exp(raw[p]) / total;
          const read = (cx: number, cy: number, share: number) => {
            if (cx < 0 || cy < 0 || cx >= w || cy >= h) return;
            const cell = ((image * cells + first + cy * w + cx) * heads + head) * channels;
            for (let c = 0; c < channels; c++) y[at * channels + c] += weight * share * value[cell + c];
          };
          if (method === 'discrete') {
            const clamped = [location[0] * w, location[1] * h].map((v) => Math.min(Math.max(Math.trunc(v + 0.5), 0), h - 1));
            read(clamped[0], clamped[1], 1);
            continue;
          }
          const [px, py] = [location[0] * w - 0.5, location[1] * h - 0.5];
          const [x, yy] = [Math.floor(px), Math.floor(py)];
          const [fx, fy] = [px - x, py - yy];
          read(x, yy, (1 - fx) * (1 - fy));
          read(x + 1, yy, fx * (1 - fy));
          read(x, yy + 1, (1 - fx) * fy);
          read(x + 1, yy + 1, fx * fy);
        }
        first += h * w;
      });
    }
    return [y];
  };

function given(options: Options, sizes: Sizes, seed: number, locations = false) {
  const { n, queries, channels, reference } = sizes;
  const { heads, shapes, points } = options;
  const r = random(seed);
  const all = sum(points);
  const array = (shape: number[], make: () => number) => ({ data: Float32Array.from({ length: sizeOf(shape) }, make), shape });
  const inputs = [
    array([n, sum(shapes.map(([h, w]) => h * w)), heads * channels], r.normal),
    // Some locations lie beyond the maps.
    array([n, queries, heads * all * 2], () => (locations ? r.uniform() * 1.6 - 0.3 : r.normal() * 2)),
    array([n, queries, heads * all], r.normal),
    ...(locations ? [] : [array([n, queries, reference], () => 0.2 + 0.6 * r.uniform())]),
  ];
  return {
    op: locations ? 'deformableSample' : 'deformableAttention',
    inputs,
    attributes: options,
    outputs: [[n, queries, heads * channels]],
    forward: deformable(options, sizes, locations),
    // Near a cell's border the slope changes: the stencil must not reach over it.
    distance: 2e-6,
    depth: 60,
    floor: 2e-6,
  };
}

const three: Shapes = [
  [6, 5],
  [3, 3],
  [1, 2],
];

describe('deformableAttention', () => {
  it.each<[string, Options, Sizes]>([
    ['boxes', { heads: 2, shapes: three, points: [2, 2, 2] }, { n: 2, queries: 5, channels: 4, reference: 4 }],
    ['boxes for each level', { heads: 3, shapes: three, points: [1, 2, 3] }, { n: 1, queries: 3, channels: 3, reference: 12 }],
    ['points', { heads: 1, shapes: three, points: [2, 1, 1] }, { n: 2, queries: 2, channels: 8, reference: 2 }],
    ['points for each level', { heads: 2, shapes: three, points: [2, 1, 2] }, { n: 1, queries: 4, channels: 1, reference: 6 }],
    ['one of everything', { heads: 1, shapes: [[1, 1]], points: [1] }, { n: 1, queries: 1, channels: 1, reference: 4 }],
    ['another scale', { heads: 2, shapes: [[4, 7]], points: [3], offsetScale: 0.8 }, { n: 1, queries: 6, channels: 4, reference: 4 }],
  ])('%s', async (_name, options, sizes) => {
    await expectGradients({ ...given(options, sizes, 3), wanted: [0, 1, 2, 3] });
  });

  it('many queries on few cells: every bucket is long, and its order fixed', async () => {
    const options: Options = { heads: 2, shapes: [[2, 2]], points: [4] };
    const sizes: Sizes = { n: 1, queries: 40, channels: 4, reference: 4 };
    const { reference, ours } = await expectGradients({ ...given(options, sizes, 5), wanted: [0] });
    // Without one query's records it is another gradient.
    const fewer = await gradientsOf({ ...given(options, { ...sizes, queries: 39 }, 5), wanted: [0] });
    const largest = Math.max(...reference[0].map(Math.abs));
    expectFar(ours[0], { value: fewer.reference[0], magnitude: reference[0].map(() => largest) }, { depth: 60 });
  });

  it('only what is wanted is computed', async () => {
    const options: Options = { heads: 1, shapes: [[3, 3]], points: [2] };
    const all = given(options, { n: 1, queries: 2, channels: 4, reference: 4 }, 6);
    expect((await gradientsOf({ ...all, wanted: [0] })).kernels).not.toContain('deformable/dots');
    expect((await gradientsOf({ ...all, wanted: [1, 2] })).kernels).not.toContain('deformable/sum');
  });

  it('reads windows', async () => {
    const options: Options = { heads: 2, shapes: [[3, 4]], points: [2] };
    const all = given(options, { n: 2, queries: 3, channels: 4, reference: 4 }, 7);
    for (const margin of [3, 4])
      await expectGradients({ ...all, wanted: [0, 1, 2, 3], margins: { 0: margin, 1: margin, 2: margin, 3: margin, seed: margin } });
  });
});

describe('deformableSample', () => {
  it('locations, some far out, and weights', async () => {
    const options: Options = { heads: 2, shapes: three, points: [2, 3, 1] };
    await expectGradients({ ...given(options, { n: 2, queries: 5, channels: 4, reference: 0 }, 8, true), wanted: [0, 1, 2] });
  });

  it('discrete: value and weights, and locations have no gradient', async () => {
    const options: Options = { heads: 2, shapes: three.slice(0, 2), points: [2, 3], method: 'discrete' };
    const all = given(options, { n: 2, queries: 5, channels: 4, reference: 0 }, 9, true);
    await expectGradients({ ...all, wanted: [0, 2] });
    await expect(gradientsOf({ ...all, wanted: [1] })).rejects.toThrow(/no gradient/);
  });
});

describe('gridSample', () => {
  it.each<[number[], number[]]>([
    [
      [2, 5, 7, 3],
      [2, 3, 4, 2],
    ],
    [
      [1, 1, 1, 4],
      [1, 2, 3, 2],
    ],
  ])('%j at %j', async (shape, places) => {
    const r = random(11);
    const [n, h, w, channels] = shape;
    const [, gh, gw] = places;
    const inputs = [
      { data: r.array(sizeOf(shape)), shape },
      { data: Float32Array.from({ length: sizeOf(places) }, () => r.uniform() * 2.6 - 1.3), shape: places },
    ];
    const sizes: Sizes = { n, queries: gh * gw, channels, reference: 0 };
    const sample = deformable({ heads: 1, shapes: [[h, w]], points: [1] }, sizes, true);
    const forward: Forward = ([x, grid]) => sample([x, grid.map((v) => (v + 1) / 2), new Float64Array(n * gh * gw).fill(1)]);
    await expectGradients({
      ...{ op: 'gridSample', inputs, outputs: [[n, gh, gw, channels]], wanted: [0, 1], forward },
      ...{ distance: 2e-6, depth: 60, floor: 2e-6 },
    });
  });
});
