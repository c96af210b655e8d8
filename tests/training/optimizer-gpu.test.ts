/** AdamW, clipping, the moving average and their safety, on the GPU, against PyTorch and against float64. */
import { describe, expect, it } from 'vitest';
import type { ArenaTensor } from '../../src/training/arena.ts';
import { averageDecay } from '../../src/training/schedule.ts';
import { page } from '../setup/gpu.ts';
import { random } from '../setup/random.ts';
import { distance, fixture, tolerance } from './fixtures.ts';
import type { OptimizerCase, OptimizerState } from './optimizer.page.ts';

interface Answer {
  states: OptimizerState[];
  dispatches: number;
  segments: number;
  created: number;
}
/** The first tensor whose bits differ, without the difference of twenty thousand numbers being printed. */
function differing(a: Record<string, Float32Array>, b: Record<string, Float32Array>): string | undefined {
  const bits = (v: Float32Array) => new Uint32Array(v.buffer, v.byteOffset, v.length);
  return Object.keys({ ...a, ...b }).find((name) => !a[name] || !b[name] || bits(a[name]).some((word, i) => word !== bits(b[name])[i]));
}
const arenas = ['parameters', 'average', 'first', 'second'] as const;

const run = (given: OptimizerCase) => page.call<Answer>('optimizer', given);
const golden = await fixture('optimizer');
const rowsOf = (name: string): Float32Array[] => {
  const [count, width] = golden.shape(name);
  return Array.from({ length: count }, (_, i) => golden.values(name).slice(i * width, (i + 1) * width));
};

describe('PyTorch', () => {
  it.each(golden.cases.filter(({ op }) => op === 'adamw'))('$name', async (test) => {
    const { name, attrs } = test;
    const p = golden.values(`${name}/in/p`);
    const { states } = await run({
      tensors: [{ name: 'p', size: p.length, kind: 'trained', group: 0 }],
      options: { betas: attrs.betas, eps: attrs.eps },
      initial: { p },
      steps: rowsOf(`${name}/in/grads`).map((g, i) => ({
        parts: [{ p: g }],
        settings: { step: i + 1, groups: [{ rate: attrs.lr, decay: attrs.weight_decay }] },
      })),
    });
    const all = golden.values(`${name}/out/p_after`);
    rowsOf(`${name}/out/p_after`).forEach((expected, i) => {
      expect(distance(states[i].parameters.p, expected)).toBeLessThanOrEqual(tolerance(test, 'out/p_after', all));
      if (i > 0) expect(distance(states[i - 1].parameters.p, expected)).toBeGreaterThan(tolerance(test, 'out/p_after', all));
    });
    for (const [out, moment] of [
      ['exp_avg', 'first'],
      ['exp_avg_sq', 'second'],
    ] as const) {
      const expected = golden.values(`${name}/out/${out}`);
      expect(distance(states[states.length - 1][moment].p, expected)).toBeLessThanOrEqual(tolerance(test, `out/${out}`, expected));
    }
  });

  it.each(golden.cases.filter(({ op }) => op === 'clip_grad_norm'))('$name', async (test) => {
    const tensors = test.inputs.map((input): ArenaTensor => {
      return { name: input, size: golden.values(`${test.name}/in/${input}`).length, kind: 'trained', group: 0 };
    });
    const parts = [Object.fromEntries(test.inputs.map((input) => [input, golden.values(`${test.name}/in/${input}`)]))];
    const { states } = await run({
      tensors,
      options: { maxNorm: test.attrs.max_norm, betas: [0, 0] },
      initial: {},
      steps: [{ parts, settings: { step: 1, groups: [{ rate: 0, decay: 0 }] } }],
    });
    expect(Math.abs(states[0].status.norm / test.total_norm! - 1)).toBeLessThanOrEqual(4e-7);
    // Without momentum the first moment is the clipped gradient.
    for (const output of test.outputs) {
      const expected = golden.values(`${test.name}/out/${output}`);
      expect(distance(states[0].first[output], expected)).toBeLessThanOrEqual(tolerance(test, `out/${output}`, expected));
    }
  });

  it('ema', async () => {
    const [test] = golden.cases.filter(({ op }) => op === 'ema');
    const p = golden.values('ema/in/p0');
    const { states } = await run({
      tensors: [{ name: 'mean', size: p.length, kind: 'statistics' }],
      options: { momentum: 1 },
      initial: { mean: p },
      steps: rowsOf('ema/in/seq').map((mean, i) => ({
        parts: [{ mean }],
        settings: { step: i + 1, groups: [], decay: averageDecay(i + 1, test.attrs) },
      })),
    });
    const all = golden.values('ema/out/ema');
    rowsOf('ema/out/ema').forEach((expected, i) => {
      expect(distance(states[i].average.mean, expected)).toBeLessThanOrEqual(tolerance(test, 'out/ema', all));
      expect(states[i].parameters.mean).toEqual(rowsOf('ema/in/seq')[i]);
    });
  });
});

/** Several groups, sizes beside the alignment, a tensor longer than a chunk, statistics and a watched tensor between them. */
const tensors: ArenaTensor[] = [
  { name: 'a.weight', size: 63, kind: 'trained', group: 1 },
  { name: 'a.running_mean', size: 5, kind: 'statistics' },
  { name: 'b.weight', size: 20011, kind: 'trained', group: 0 },
  { name: 'loss', size: 6, kind: 'watched' },
  { name: 'b.bias', size: 65, kind: 'trained', group: 1 },
  { name: 'c.weight', size: 1, kind: 'trained', group: 2 },
  { name: 'a.running_var', size: 70, kind: 'statistics' },
];
const groups = [
  { rate: 1e-2, decay: 0.1 },
  { rate: 3e-3, decay: 0 },
  { rate: 0, decay: 0.5 },
];
const frozen = groups.map(() => ({ rate: 0, decay: 0 }));
const draw = (seed: number, scale = 1) => {
  const r = random(seed);
  return Object.fromEntries(tensors.map(({ name, size }) => [name, r.array(size, scale)]));
};
const own = (values: Record<string, Float32Array>) => Object.fromEntries(Object.entries(values).filter(([name]) => name !== 'loss'));
const trained = tensors.filter(({ kind }) => kind === 'trained');

describe('arenas', () => {
  it('give every group its rate, whatever the segments, within float32 of a float64 AdamW', async () => {
    const initial = draw(1);
    const parts = [draw(2, 3), draw(3, 0.01), draw(4)];
    const steps = parts.map((g, i) => ({ parts: [g], settings: { step: i + 1, groups, decay: 0.25 } }));
    const given = { tensors, options: { maxNorm: 0.5 }, initial: own(initial), steps };
    const one = await run(given);
    const many = await run({ ...given, segmentBytes: 82000 });
    expect([one.segments, many.segments]).toEqual([1, 2]);
    expect([one.dispatches, many.dispatches]).toEqual([3, 5]);
    expect(one.created).toBe(0);
    const average = Object.fromEntries(tensors.map(({ name }) => [name, Float64Array.from(initial[name])]));
    const values = Object.fromEntries(tensors.map(({ name }) => [name, Float64Array.from(initial[name])]));
    const moments = Object.fromEntries(trained.map(({ name, size }) => [name, [new Float64Array(size), new Float64Array(size)]]));
    parts.forEach((g, i) => {
      const norm = Math.sqrt(trained.reduce((sum, { name }) => sum + g[name].reduce((s, v) => s + v * v, 0), 0));
      const factor = Math.min(1, 0.5 / (norm + 1e-6));
      expect(Math.abs(one.states[i].status.norm / norm - 1)).toBeLessThan(1e-6);
      for (const { name, kind, group = 0 } of tensors) {
        if (kind === 'watched') continue;
        const p = values[name];
        const [m, v] = moments[name] ?? [];
        for (let k = 0; k < p.length; k++) {
          if (kind === 'statistics') p[k] = 0.9 * p[k] + 0.1 * g[name][k];
          else {
            const d = g[name][k] * factor;
            m[k] = 0.9 * m[k] + 0.1 * d;
            v[k] = 0.999 * v[k] + 0.001 * d * d;
            const { rate, decay } = groups[group];
            const update = m[k] / (1 - 0.9 ** (i + 1)) / (Math.sqrt(v[k] / (1 - 0.999 ** (i + 1))) + 1e-8);
            p[k] = p[k] * (1 - rate * decay) - rate * update;
          }
          average[name][k] = 0.25 * average[name][k] + 0.75 * p[k];
        }
        // A parameter near 4 has units of 4.8e-7, and each step rounds it a few times.
        expect(distance(one.states[i].parameters[name], p), name).toBeLessThan(2e-6);
        expect(distance(one.states[i].average[name], average[name]), name).toBeLessThan(3e-6);
        if (kind === 'trained') expect(distance(one.states[i].first[name], m)).toBeLessThan(2e-6);
      }
    });
    // The sum of squares is cut differently, and rounds differently; without clipping, not a bit differs.
    const free = { ...given, options: {} };
    const [whole, cut] = [await run(free), await run({ ...free, segmentBytes: 82000 })];
    const again = await run(given);
    one.states.forEach((state, i) => {
      for (const arena of arenas) expect(differing(again.states[i][arena], state[arena]), arena).toBeUndefined();
      expect(differing(cut.states[i].parameters, whole.states[i].parameters)).toBeUndefined();
    });
  });

  it('keep no average where none is wanted', async () => {
    const steps = [{ parts: [draw(2)], settings: { step: 1, groups, decay: 0.5 } }];
    const [without, withIt] = [
      await run({ tensors, options: { average: false }, initial: own(draw(1)), steps }),
      await run({ tensors, options: {}, initial: own(draw(1)), steps }),
    ];
    expect(without.states[0].average).toEqual({});
    expect(differing(without.states[0].parameters, withIt.states[0].parameters)).toBeUndefined();
  });
});

describe('accumulation', () => {
  it('of whole numbers equals one part with their sum', async () => {
    const whole = (seed: number) => Object.fromEntries(Object.entries(draw(seed, 20)).map(([name, v]) => [name, v.map(Math.round)]));
    const batches = [whole(2), whole(3), whole(4)];
    const sum = (name: string) => batches[0][name].map((v, i) => v + batches[1][name][i] + batches[2][name][i]);
    const settings = { step: 1, groups, decay: 0.5 };
    const initial = own(draw(1));
    const given = { tensors, options: { accumulation: true, maxNorm: 0.1 }, initial };
    const parts = await run({ ...given, steps: [{ parts: batches, settings }] });
    const total = Object.fromEntries(tensors.map(({ name }) => [name, sum(name)]));
    const once = await run({ tensors, options: { maxNorm: 0.1 }, initial, steps: [{ parts: [total], settings }] });
    expect(parts.states[0].status).toEqual(once.states[0].status);
    for (const arena of ['first', 'second'] as const) expect(differing(parts.states[0][arena], once.states[0][arena])).toBeUndefined();
    // A step's sum begins anew.
    const again = await run({
      ...given,
      steps: [
        { parts: [whole(9)], settings: { ...settings, groups: frozen } },
        { parts: batches, settings },
      ],
    });
    expect(again.states[1].status).toEqual(once.states[0].status);
  });

  it('of statistics equals one batch after the other', async () => {
    const r = random(5);
    const [start, ...batches] = Array.from({ length: 4 }, () => r.array(5));
    const parts = batches.map((mean) => ({ mean }));
    const { states } = await run({
      tensors: [{ name: 'mean', size: 5, kind: 'statistics' }],
      options: { accumulation: true },
      initial: { mean: start },
      steps: [{ parts, settings: { step: 1, groups: [] } }],
    });
    const expected = batches.reduce<number[]>((v, b) => v.map((x, i) => 0.9 * x + 0.1 * b[i]), [...start]);
    expect(distance(states[0].parameters.mean, expected)).toBeLessThan(1e-6);
  });
});

describe('a number that is not finite', () => {
  const settings = { step: 1, groups, decay: 0.5 };
  const poison = (changes: [string, number, number][]) => {
    const g = draw(2);
    for (const [name, index, value] of changes) g[name][index] = value;
    return g;
  };

  it.each([
    [[['b.weight', 20010, NaN]], { in: 'gradient', tensor: 'b.weight', index: 20010 }],
    [[['b.weight', 0, Infinity]], { in: 'gradient', tensor: 'b.weight', index: 0 }],
    [
      [
        ['c.weight', 0, -Infinity],
        ['a.weight', 62, NaN],
      ],
      { in: 'gradient', tensor: 'a.weight', index: 62 },
    ],
    [[['a.running_var', 69, NaN]], { in: 'gradient', tensor: 'a.running_var', index: 69 }],
    [
      [
        ['b.weight', 3, NaN],
        ['loss', 4, NaN],
      ],
      { in: 'gradient', tensor: 'loss', index: 4 },
    ],
    [[['b.bias', 64, 3e38]], { in: 'norm' }],
  ] as [[string, number, number][], object][])('%j is named and changes nothing', async (changes, nonFinite) => {
    const initial = own(draw(1));
    const steps = [
      { parts: [draw(3)], settings },
      { parts: [poison(changes)], settings: { ...settings, step: 2 } },
      { parts: [draw(4)], settings: { ...settings, step: 2 } },
    ];
    for (const segmentBytes of [82000, undefined]) {
      const { states } = await run({ tensors, options: { maxNorm: 0.1 }, initial, steps, ...(segmentBytes ? { segmentBytes } : {}) });
      expect(states[0].status.nonFinite).toBeNull();
      expect(states[1].status.nonFinite).toEqual(nonFinite);
      for (const arena of arenas) expect(differing(states[1][arena], states[0][arena]), arena).toBeUndefined();
      expect(states[2].status.nonFinite).toBeNull();
      expect(differing(states[2].parameters, states[1].parameters)).toBeDefined();
    }
  });

  it.each([
    ['b.weight', 20010, NaN],
    ['a.running_var', 69, -Infinity],
  ] as const)('in the parameter %s is named before any gradient', async (tensor, index, value) => {
    const initial = own(draw(1));
    initial[tensor] = initial[tensor].with(index, value);
    const steps = [{ parts: [poison([['c.weight', 0, NaN]])], settings }];
    const { states } = await run({ tensors, options: {}, initial, steps });
    expect(states[0].status.nonFinite).toEqual({ in: 'parameter', tensor, index });
    expect(differing(own(states[0].parameters), initial)).toBeUndefined();
    const zeros = Object.fromEntries(tensors.map(({ name, size }) => [name, new Float32Array(size)]));
    expect(differing(states[0].first, zeros)).toBeUndefined();
  });
});
