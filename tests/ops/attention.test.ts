import { describe, expect, it } from 'vitest';
import { type OpOptions, runOp } from '../setup/gpu-ops.ts';
import { random } from '../setup/random.ts';
import { expectClose, expectFar } from '../setup/tolerance.ts';
import { type AttentionArrays, type AttentionSizes, attentionReference } from './attention-reference.ts';

const tolerance = { depth: 1, c: 1, floor: 1e-30 };

type MaskKind = 'shared' | 'keys' | 'heads';

function arrays({ batch, queries, keys, heads, d }: AttentionSizes, seed: number): AttentionArrays {
  const r = random(seed);
  const width = heads * d;
  return { q: r.array(batch * queries * width), k: r.array(batch * keys * width), v: r.array(batch * keys * width) };
}

function maskOf(s: AttentionSizes, kind: MaskKind, seed: number): { data: Float32Array; shape: number[] } {
  const { batch, queries, keys, heads } = s;
  const shape = { shared: [queries, keys], keys: [batch, 1, keys], heads: [batch * heads, queries, keys] }[kind];
  const r = random(seed);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (r.uniform() < 0.3 ? -1e9 : r.normal()));
  for (let at = 0; at < data.length; at += keys) data[at] = 0; // a key that every query may see
  return { data, shape };
}

const at =
  ({ queries, keys, heads }: AttentionSizes, kind: MaskKind) =>
  (n: number, h: number, i: number, j: number) => {
    if (kind === 'shared') return i * keys + j;
    return kind === 'keys' ? n * keys + j : ((n * heads + h) * queries + i) * keys + j;
  };

async function run(
  s: AttentionSizes,
  a: AttentionArrays,
  mask?: { data: Float32Array; shape: number[] },
  attributes: object = {},
  options: OpOptions = {},
) {
  const width = s.heads * s.d;
  const inputs = [
    { data: a.q, shape: [s.batch, s.queries, width] },
    { data: a.k, shape: [s.batch, s.keys, width] },
    { data: a.v, shape: [s.batch, s.keys, width] },
  ];
  return runOp('attention', mask ? [...inputs, mask] : inputs, { heads: s.heads, ...attributes }, options);
}

const variants = ['quads', 'workgroup', 'scalar'] as const;
const cases: [string, AttentionSizes][] = [
  ['a decoder layer in small', { batch: 2, queries: 37, keys: 37, heads: 4, d: 32 }],
  ['more queries than a workgroup takes, other keys', { batch: 1, queries: 133, keys: 70, heads: 2, d: 8 }],
  ['one query, one key', { batch: 1, queries: 1, keys: 1, heads: 1, d: 4 }],
  ['eight keys exactly', { batch: 2, queries: 4, keys: 8, heads: 3, d: 4 }],
  ['heads of 12', { batch: 2, queries: 21, keys: 13, heads: 3, d: 12 }],
  ['heads of 20', { batch: 1, queries: 17, keys: 33, heads: 2, d: 20 }],
  ['heads of 36, two unequal chunks', { batch: 1, queries: 9, keys: 40, heads: 2, d: 36 }],
  ['heads of 64', { batch: 1, queries: 18, keys: 31, heads: 2, d: 64 }],
];

describe.each(variants)('attention, %s', (variant) => {
  const options = { variants: { attention: variant } };
  it.each(cases)('%s', async (_, s) => {
    const a = arrays(s, 1);
    const { outputs, kernels } = await run(s, a, undefined, {}, options);
    expect(kernels).toEqual([`attention/${variant}`]);
    expect(outputs[0].shape).toEqual([s.batch, s.queries, s.heads * s.d]);
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
  });

  it.each(['shared', 'keys', 'heads'] as const)('a mask for %s', async (kind) => {
    const s = { batch: 2, queries: 19, keys: 21, heads: 3, d: 8 };
    const a = arrays(s, 2);
    const mask = maskOf(s, kind, 3);
    const bias = (n: number, h: number, i: number, j: number) => mask.data[at(s, kind)(n, h, i, j)];
    const { outputs } = await run(s, a, mask, {}, options);
    expectClose(outputs[0].data, attentionReference(s, a, { bias }), tolerance);
    expectFar(outputs[0].data, attentionReference(s, a), tolerance);
    const turned = (n: number, h: number, i: number, j: number) => bias(n, h, i, s.keys - 1 - j);
    expectFar(outputs[0].data, attentionReference(s, a, { bias: turned }), tolerance);
  });

  it('reads columns of one packed projection and writes into a wider array', async () => {
    const s = { batch: 2, queries: 11, keys: 11, heads: 2, d: 12 };
    const a = arrays(s, 4);
    const inputWindows = { 0: { right: 48 }, 1: { left: 24, right: 24, top: 1 }, 2: { left: 48, bottom: 3 } };
    const { outputs } = await run(s, a, undefined, {}, { ...options, inputWindows, outputWindow: { left: 8, right: 4 } });
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
    const rows = await run(s, a, undefined, {}, { ...options, outputWindow: { top: 2, bottom: 3 } });
    expect(rows.outputs[0].data).toEqual(outputs[0].data);
  });

  it('large scores overflow nothing, masked queries stay finite', async () => {
    const s = { batch: 1, queries: 5, keys: 50, heads: 2, d: 4 };
    const a = arrays(s, 5);
    for (let i = 0; i < a.q.length; i++) a.q[i] *= 300;
    const { outputs } = await run(s, a, undefined, {}, options);
    expectClose(outputs[0].data, attentionReference(s, a), { ...tolerance, floor: 1e-6 });
    const mask = { data: new Float32Array(250).fill(-1e9), shape: [5, 50] };
    const hidden = await run(s, a, mask, {}, options);
    expect(hidden.outputs[0].data.every((v) => Number.isFinite(v) && Math.abs(v) < 10)).toBe(true);
  });

  it('the tolerance rejects small mistakes', async () => {
    const s = { batch: 2, queries: 13, keys: 29, heads: 2, d: 16 };
    const a = arrays(s, 6);
    const { outputs } = await run(s, a, undefined, {}, options);
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
    for (const mutation of ['last key', 'last channel', 'heads', 'images'] as const)
      expectFar(outputs[0].data, attentionReference(s, a, { mutation }), tolerance);
    expectFar(outputs[0].data, attentionReference(s, a, { scale: 0.2501 }), tolerance);
    const scaled = await run(s, a, undefined, { scale: 0.3 }, options);
    expectClose(scaled.outputs[0].data, attentionReference(s, a, { scale: 0.3 }), tolerance);
  });
});

describe('attention', () => {
  it.each([1, 3, 5])('heads of %i go to the scalar kernel', async (d) => {
    const s = { batch: 2, queries: 7, keys: 6, heads: 4, d };
    const a = arrays(s, 7);
    const { outputs, kernels } = await run(s, a);
    expect(kernels).toEqual(['attention/scalar']);
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
  });

  it('so do windows that start between two vectors', async () => {
    const s = { batch: 1, queries: 7, keys: 6, heads: 2, d: 4 };
    const a = arrays(s, 8);
    const { outputs, kernels } = await run(s, a, undefined, {}, { inputWindows: { 1: { left: 1, right: 3 } } });
    expect(kernels).toEqual(['attention/scalar']);
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
  });

  it('heads of 96, in three column chunks', async () => {
    const s = { batch: 1, queries: 3, keys: 5, heads: 1, d: 96 };
    const a = arrays(s, 9);
    const { outputs, kernels } = await run(s, a, undefined, {}, { variants: { attention: 'quads' } });
    expect(kernels).toEqual(['attention/quads']);
    expectClose(outputs[0].data, attentionReference(s, a), tolerance);
  });

  it('refuses shapes that do not fit together', async () => {
    const s = { batch: 2, queries: 7, keys: 6, heads: 2, d: 4 };
    const a = arrays(s, 10);
    const mask = { data: new Float32Array(42), shape: [6, 7] };
    await expect(run(s, a, mask)).rejects.toThrow(/mask is \[6, 7\], expected \[7, 6\], \[2, 1, 6\] or \[4, 7, 6\]/);
    await expect(run(s, a, undefined, { heads: 3 })).rejects.toThrow(/8 columns do not divide into 3 heads/);
    const inputs = [a.q, a.k, a.v].map((data, i) => ({ data, shape: [2, i === 0 ? 7 : 6, 8] }));
    await expect(runOp('attention', [inputs[0], inputs[1], inputs[0]], { heads: 2 })).rejects.toThrow(/values \[2, 7, 8\]/);
  });
});
