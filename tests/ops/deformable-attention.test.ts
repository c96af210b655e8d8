import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

interface Case {
  batch: number;
  queries: number;
  heads: number;
  channels: number;
  shapes: [number, number][];
  points: number[];
  method?: 'bilinear' | 'discrete';
  offsetScale?: number;
  /** Numbers of a reference point. */
  size?: 2 | 4;
  perLevel?: boolean;
  /** Locations and weights are given. */
  given?: boolean;
}

interface Arrays {
  value: Float32Array;
  offsets: Float32Array;
  logits: Float32Array;
  reference: Float32Array;
}

const total = ({ points }: Case) => points.reduce((a, b) => a + b, 0);
const cells = ({ shapes }: Case) => shapes.reduce((a, [h, w]) => a + h * w, 0);
const referenceColumns = ({ size = 4, perLevel, shapes }: Case) => (perLevel ? size * shapes.length : size);

function arrays(c: Case, seed: number): Arrays {
  const r = random(seed);
  const samples = c.batch * c.queries * c.heads * total(c);
  return {
    value: r.array(c.batch * cells(c) * c.heads * c.channels),
    // A quarter or so of the points fall outside the maps.
    offsets: c.given ? r.array(samples * 2, 0.5, 0.5) : r.array(samples * 2, 3),
    logits: c.given ? r.array(samples, 0.3, 0.2) : r.array(samples, 2),
    reference: Float32Array.from({ length: c.batch * c.queries * referenceColumns(c) }, () => r.uniform()),
  };
}

/** Wrong on purpose, for the mutation checks. */
type Mutation = 'swapped' | 'dropped' | 'undivided' | 'corner' | 'clamped';

/**
 * float64. The magnitude is the error bound over u: every term of the sum with its roundings, the weights' exp (3 + 2|x| ulp),
 * and what the rounding of a location moves: the change of a bilinear sample over one cell is at most the sum of its corners.
 */
function reference(c: Case, { value, offsets, logits, reference: refs }: Arrays, mutation?: Mutation): Reference {
  const { batch, queries, heads, channels, shapes, points, method = 'bilinear', offsetScale = 0.5, size = 4 } = c;
  const P = total(c);
  const S = cells(c);
  const out = new Float64Array(batch * queries * heads * channels);
  const magnitude = new Float64Array(out.length);
  for (let n = 0; n < batch; n++) {
    for (let q = 0; q < queries; q++) {
      for (let h = 0; h < heads; h++) {
        const at = ((n * queries + q) * heads + h) * P;
        const raw = Array.from(logits.subarray(at, at + P));
        const top = Math.max(...raw);
        const sum = raw.reduce((a, l) => a + Math.exp(l - top), 0);
        const weights = raw.map((l) => (c.given ? l : Math.exp(l - top) / sum));
        const spread = Math.max(...raw.map((l) => top - l));
        let p = 0;
        let first = 0;
        shapes.forEach(([H, W], l) => {
          for (let i = 0; i < points[l]; i++, p++) {
            if (mutation === 'dropped' && p === P - 1) continue;
            const o = [offsets[(at + p) * 2], offsets[(at + p) * 2 + 1]];
            if (mutation === 'swapped') o.reverse();
            const r0 = (n * queries + q) * referenceColumns(c) + (c.perLevel ? l * size : 0);
            const extent = [W, H];
            const location = [0, 1].map((d) => {
              if (c.given) return { at: o[d], terms: Math.abs(o[d]) };
              const divisor = mutation === 'undivided' ? 4 : points[l];
              const shift = size === 4 ? (o[d] / divisor) * refs[r0 + 2 + d] * offsetScale : o[d] / extent[d];
              return { at: refs[r0 + d] + shift, terms: Math.abs(refs[r0 + d]) + 3 * Math.abs(shift) };
            });
            const corners: { x: number; y: number; w: number }[] = [];
            let moved = 0;
            if (method === 'discrete') {
              const limit = H - 1;
              const cell = location.map((v, d) => {
                const high = mutation === 'clamped' && d === 0 ? W - 1 : limit;
                return Math.min(Math.max(Math.trunc(v.at * extent[d] + 0.5), 0), high);
              });
              corners.push({ x: cell[0], y: cell[1], w: 1 });
            } else {
              const half = mutation === 'corner' ? 0 : 0.5;
              const [x, y] = location.map((v, d) => v.at * extent[d] - half);
              moved = location.reduce((a, v, d) => a + 2 * v.terms * extent[d] + 1, 0);
              const [x0, y0] = [Math.floor(x), Math.floor(y)];
              for (const dy of [0, 1])
                for (const dx of [0, 1])
                  corners.push({ x: x0 + dx, y: y0 + dy, w: (dx ? x - x0 : 1 - x + x0) * (dy ? y - y0 : 1 - y + y0) });
            }
            for (const { x, y, w } of corners) {
              if (x < 0 || y < 0 || x >= W || y >= H) continue;
              for (let k = 0; k < channels; k++) {
                const v = value[((n * S + first + y * W + x) * heads + h) * channels + k] * weights[p];
                const to = ((n * queries + q) * heads + h) * channels + k;
                out[to] += v * w;
                magnitude[to] += Math.abs(v) * (w * (2 * P + 14 + 2 * spread) + moved);
              }
            }
          }
          first += H * W;
        });
      }
    }
  }
  return { value: out, magnitude };
}

const tolerance = { depth: 1, c: 1, floor: 1e-30 };

async function run(c: Case, a: Arrays, options: Parameters<typeof runOp>[3] = {}) {
  const { batch, queries, heads, channels, shapes, points } = c;
  const inputs = [
    { data: a.value, shape: [batch, cells(c), heads * channels] },
    { data: a.offsets, shape: [batch, queries, heads * total(c) * 2] },
    { data: a.logits, shape: [batch, queries, heads * total(c)] },
  ];
  if (!c.given) inputs.push({ data: a.reference, shape: [batch, queries, referenceColumns(c)] });
  const { method, offsetScale } = c;
  const attributes = { heads, shapes, points, ...(method && { method }), ...(offsetScale && { offsetScale }) };
  return runOp(c.given ? 'deformableSample' : 'deformableAttention', inputs, attributes, options);
}

const main: Case = {
  batch: 2,
  queries: 9,
  heads: 4,
  channels: 8,
  shapes: [
    [8, 8],
    [4, 4],
    [2, 2],
  ],
  points: [4, 4, 4],
};
const odd: Case = {
  batch: 2,
  queries: 7,
  heads: 3,
  channels: 12,
  shapes: [
    [6, 10],
    [3, 5],
    [2, 3],
  ],
  points: [2, 4, 3],
};

describe('deformable attention', () => {
  const cases: [string, Case][] = [
    ['equal points', main],
    ['points per level, non-square maps', odd],
    ['heads of 5', { ...odd, channels: 5 }],
    ['one of everything', { batch: 1, queries: 1, heads: 1, channels: 1, shapes: [[1, 1]], points: [1] }],
    ['one level', { ...main, shapes: [[9, 7]], points: [5], queries: 3 }],
    ['references of two numbers', { ...odd, size: 2 }],
    ['references of two numbers a level', { ...odd, size: 2, perLevel: true }],
    ['boxes a level, another offset scale', { ...odd, perLevel: true, offsetScale: 0.25 }],
    ['more threads than one row of workgroups takes', { ...main, batch: 1, queries: 530, heads: 1, channels: 4 }],
    ['discrete', { ...main, method: 'discrete' }],
    [
      'discrete on wide maps',
      {
        ...odd,
        method: 'discrete',
        channels: 3,
        shapes: [
          [4, 7],
          [3, 5],
        ],
        points: [2, 3],
      },
    ],
    ['locations and weights given', { ...odd, given: true }],
    ['given, discrete, heads of 3', { ...odd, given: true, method: 'discrete', channels: 3 }],
  ];
  it.each(cases)('%s', async (_, c) => {
    const a = arrays(c, 1);
    const { outputs, kernels } = await run(c, a);
    expect(kernels).toEqual(['deformable/deformable']);
    expect(outputs[0].shape).toEqual([c.batch, c.queries, c.heads * c.channels]);
    expectClose(outputs[0].data, reference(c, a), tolerance);
  });

  it('scalars do what vectors do', async () => {
    const a = arrays(odd, 2);
    const { outputs } = await run(odd, a, { variants: { deformable: 'scalars' } });
    expectClose(outputs[0].data, reference(odd, a), tolerance);
  });

  it.each([
    [odd, { left: 4, right: 8 }],
    [
      { ...odd, channels: 5 },
      { left: 3, right: 2 },
    ],
  ])('reads windows of wider arrays and writes into one', async (c, margins) => {
    const a = arrays(c, 3);
    const inputWindows = { 0: { ...margins, top: 2, bottom: 1 }, 1: { left: 5, right: 1 }, 2: { left: 1, right: 3 }, 3: { right: 2 } };
    const { outputs } = await run(c, a, { inputWindows, outputWindow: margins });
    expectClose(outputs[0].data, reference(c, a), tolerance);
  });

  it('points far outside give zero, logits far apart no infinities', async () => {
    const a = arrays(main, 4);
    for (let i = 0; i < a.offsets.length; i += 2) a.offsets[i] = (i % 4 ? 1 : -1) * 1e9;
    const far = await run(main, a);
    expect(far.outputs[0].data.every((v) => v === 0)).toBe(true);
    const b = arrays(main, 5);
    for (let i = 0; i < b.logits.length; i++) b.logits[i] *= 1e4;
    const { outputs } = await run(main, b);
    expectClose(outputs[0].data, reference(main, b), { ...tolerance, floor: 1e-6 });
  });

  it('the tolerance rejects small mistakes', async () => {
    const a = arrays(odd, 6);
    const { outputs } = await run(odd, a);
    for (const mutation of ['swapped', 'dropped', 'undivided', 'corner'] as const)
      expectFar(outputs[0].data, reference(odd, a, mutation), tolerance);
    const wide: Case = { ...odd, method: 'discrete' };
    const discrete = await run(wide, a);
    expectFar(discrete.outputs[0].data, reference(wide, a, 'clamped'), tolerance);
  });

  it('refuses shapes that do not fit together', async () => {
    const a = arrays(odd, 7);
    const inputs = [
      { data: a.value, shape: [2, 81, 36] },
      { data: a.offsets, shape: [2, 7, 54] },
      { data: a.logits, shape: [2, 7, 27] },
      { data: a.reference, shape: [2, 7] },
    ];
    const attributes = { heads: 3, shapes: odd.shapes, points: [2, 4, 4] };
    await expect(runOp('deformableAttention', inputs, attributes)).rejects.toThrow(/offsets are \[2, 7, 54\].*need 60 columns/);
    const small = { ...attributes, shapes: [[6, 10]], points: [9] };
    await expect(runOp('deformableAttention', inputs, small)).rejects.toThrow(
      /value is \[2, 81, 36\], the maps .* need \[2, 60, channels\]/,
    );
    await expect(runOp('deformableAttention', inputs, { ...attributes, points: [9] })).rejects.toThrow(/3 levels with points \[9\]/);
    await expect(runOp('deformableAttention', inputs, { ...attributes, heads: 5 })).rejects.toThrow(/36 columns.*5 heads/);
  });
});
