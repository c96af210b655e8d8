import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PointwiseRow } from '../../src/graph/pointwise.ts';
import { rows } from '../../src/ops/pointwise.ts';
import { type GraphInput, type GraphStep, runGraph, runOp } from '../setup/gpu-ops.ts';
import { evaluate } from '../setup/oracle.ts';
import { type Random, random, sizeOf } from '../setup/random.ts';

type Name = keyof typeof rows;

const CONSTANTS: Partial<Record<Name, number[]>> = {
  leakyRelu: [0.01],
  pow: [2.5],
  scale: [1.5, -0.25],
  clamp: [-0.5, 0.75],
  inverseSigmoid: [1e-5],
  sigmoidFocal: [0.25, 2],
  varifocal: [0.75, 2],
  focalCost: [0.25, 2],
  repeated: [0.5],
};

const SPECIAL = [0, -0, 1, -1, 0.25, -0.25, 0.945, 2, -4, 9, -12, 30, -60, 88, -100, 1e-3, -1e-6, 1e-20, 1000];
const anything = (r: Random) => (r.integer(3) === 0 ? SPECIAL[r.integer(SPECIAL.length)] : r.normal() * 3);
const positive = (r: Random) => Math.exp(r.normal() * 3);
const unit = (r: Random) => [0, 1, 1e-6, 1 - 2 ** -20, -0.5, 1.5, r.uniform(), r.uniform(), r.uniform()][r.integer(9)];
const score = (r: Random) => [0, 1, r.uniform()][r.integer(3)];
const bit = (r: Random) => r.integer(2);

/** What each operand may be; `anything` where nothing stands here. */
const DOMAINS: Partial<Record<Name, ((r: Random) => number)[]>> = {
  log: [positive],
  sqrt: [positive],
  inverseSqrt: [positive],
  pow: [positive],
  inverseSigmoid: [unit],
  refineBox: [anything, unit],
  exp: [(r) => r.normal() * 20],
  div: [anything, (r) => positive(r) * (r.integer(2) * 2 - 1)],
  where: [bit, anything, anything],
  bceWithLogits: [anything, score],
  sigmoidFocal: [anything, score],
  varifocal: [anything, anything, score, bit],
};

const names = Object.keys(rows) as Name[];

function operandsOf(name: Name, size: number, seed: number): Float32Array[] {
  const r = random(seed);
  return Array.from({ length: rows[name].arity }, (_, i) => Float32Array.from({ length: size }, () => (DOMAINS[name]?.[i] ?? anything)(r)));
}

/** How many elements lie outside what the row's own arithmetic allows, and the first of them. */
function outside(data: ArrayLike<number>, row: PointwiseRow, operands: readonly ArrayLike<number>[], constants: readonly number[] = []) {
  const wrong: string[] = [];
  for (let i = 0; i < data.length; i++) {
    const inputs = operands.map((o) => o[i]);
    const { value, error } = evaluate(row, inputs, constants);
    // An overflow is none of the table's: float64 has room where float32 ends.
    if (Math.abs(value) > 3e38) continue;
    if (!(Math.abs(data[i] - value) <= error)) wrong.push(`${row.name}(${inputs.join(', ')}) = ${data[i]}, expected ${value} +- ${error}`);
  }
  return wrong;
}

const named = (name: Name) => ({ row: name, constants: CONSTANTS[name] ?? [] });

describe('the pointwise table', () => {
  it.each(names)('%s', async (name) => {
    for (const [shape, kernel] of [
      [[3, 7, 8], 'vector'],
      [[2, 11, 9], 'scalar'],
    ] as const) {
      const operands = operandsOf(name, sizeOf(shape), 1);
      const { outputs, kernels } = await runOp(
        'pointwise',
        operands.map((data) => ({ data, shape })),
        named(name),
      );
      expect(outside(outputs[0].data, rows[name], operands, CONSTANTS[name])).toEqual([]);
      expect(kernels).toEqual([kernel === 'vector' ? 'pointwise/vector' : 'pointwise/pointwise']);
      const shifted = Float32Array.from(outputs[0].data, (v, i) => (i === 3 ? v * (1 + 1e-3) + 1e-3 : v));
      expect(outside(shifted, rows[name], operands, CONSTANTS[name])).toHaveLength(1);
    }
  });

  it('tells every row from every other', async () => {
    const unary = names.filter((name) => rows[name].arity === 1 && !DOMAINS[name]);
    const [x] = operandsOf('relu', 128, 2);
    for (const name of unary) {
      const { outputs } = await runOp('pointwise', [{ data: x, shape: [2, 64] }], named(name));
      const matches = unary.filter((other) => outside(outputs[0].data, rows[other], [x], CONSTANTS[other]).length === 0);
      expect(matches).toEqual([name]);
    }
  });

  it.each(['gelu', 'tanh', 'sigmoid', 'silu', 'softplus', 'exp'] as const)('%s on a fine grid', async (name) => {
    const x = Float32Array.from({ length: 16384 }, (_, i) => (i - 8192) / 1024);
    const { outputs } = await runOp('pointwise', [{ data: x, shape: [128, 128] }], named(name));
    expect(outside(outputs[0].data, rows[name], [x])).toEqual([]);
  });
});

describe('broadcasting', () => {
  const shapes = [
    [
      [2, 3, 4, 8],
      [2, 3, 4, 8],
    ],
    [[2, 3, 4, 8], [8]],
    [[8], [2, 3, 4, 8]],
    [
      [2, 12, 8],
      [2, 1, 8],
    ],
    [
      [2, 12, 8],
      [1, 12, 8],
    ],
    [
      [2, 12, 8],
      [1, 1, 8],
    ],
    [
      [2, 12, 8],
      [2, 12, 1],
    ],
    [[2, 12, 8], [1]],
    [
      [2, 12, 5],
      [2, 1, 5],
    ],
    [[2, 12, 5], [5]],
    [
      [1, 6, 1],
      [1, 1, 7],
    ],
  ];
  it.each(shapes)('%j - %j', async (a, b) => {
    const [x, y] = [random(3).array(sizeOf(a)), random(4).array(sizeOf(b))];
    const { outputs } = await runOp(
      'pointwise',
      [
        { data: x, shape: a },
        { data: y, shape: b },
      ],
      { row: 'sub' },
    );
    const three = (shape: number[]) =>
      shape.length < 3 ? [1, 1, ...shape].slice(-3) : [shape[0], sizeOf(shape.slice(1, -1)), shape[shape.length - 1]];
    const [p, q] = [three(a), three(b)];
    const whole = p.map((n, i) => Math.max(n, q[i]));
    const at = (shape: number[], i: number) => {
      const index = [Math.floor(i / whole[2] / whole[1]), Math.floor(i / whole[2]) % whole[1], i % whole[2]];
      return shape.reduce((sum, n, d) => sum * n + (n > 1 ? index[d] : 0), 0);
    };
    const expected = Float32Array.from({ length: sizeOf(whole) }, (_, i) => x[at(p, i)] - y[at(q, i)]);
    expect(outputs[0].data).toEqual(expected);
  });

  it('refuses shapes that do not fit', async () => {
    const of = (...shape: number[]) => ({ data: new Float32Array(sizeOf(shape)), shape });
    await expect(runOp('pointwise', [of(2, 3), of(2, 4)], { row: 'add' })).rejects.toThrow(/add: \[2, 3\] and \[2, 4\] do not broadcast/);
    await expect(runOp('pointwise', [of(2, 3)], { row: 'add' })).rejects.toThrow(/add: takes 2 tensors, got 1/);
  });

  it('reads windows and writes into one', async () => {
    const shape = [2, 5, 8];
    const [x, y] = [random(5).array(80), random(6).array(80)];
    const expected = x.map((v, i) => v + y[i]);
    for (const side of [4, 3]) {
      const options = {
        inputWindows: { 0: { left: side, right: 4, top: 1 }, 1: { right: side, bottom: 2 } },
        outputWindow: { left: 4, right: side },
      };
      const { outputs } = await runOp(
        'pointwise',
        [x, y].map((data) => ({ data, shape })),
        { row: 'add' },
        options,
      );
      expect(outputs[0].data).toEqual(expected);
    }
  });
});

describe('fused chains', () => {
  async function both(inputs: Record<string, GraphInput>, steps: GraphStep[]) {
    const outputs = [steps[steps.length - 1].outputs[0]];
    const run = (pointwise: boolean) => runGraph({ inputs, steps, outputs, options: { fuse: { pointwise } } });
    const [fused, plain] = [await run(true), await run(false)];
    expect(plain.statistics.dispatches).toBe(steps.length);
    return { fused, plain, data: [fused, plain].map((r) => r.outputs[outputs[0]].data) };
  }
  const step = (row: Name, inputs: string[], output: string): GraphStep => ({
    op: 'pointwise',
    attributes: named(row),
    inputs,
    outputs: [output],
  });

  it('give the same bits as one kernel after the other', async () => {
    for (const columns of [8, 7]) {
      const shape = [2, 9, columns];
      const inputs = {
        x: { data: random(7).array(sizeOf(shape)), shape },
        y: { data: random(8).array(sizeOf(shape)), shape },
        row: { data: random(9).array(columns), shape: [columns] },
        line: { data: random(10).array(18), shape: [2, 9, 1], parameter: true, replicated: columns === 8 },
      };
      const { fused, data } = await both(inputs, [
        step('sigmoid', ['x'], 'a'),
        step('max', ['a', 'row'], 'b'),
        step('silu', ['b'], 'c'),
        step('sub', ['y', 'c'], 'd'),
        step('gelu', ['d'], 'e'),
        step('max', ['e', 'e'], 'f'),
        step('min', ['f', 'line'], 'g'),
      ]);
      expect(data[0]).toEqual(data[1]);
      expect(fused.statistics.dispatches).toBeLessThanOrEqual(columns === 8 ? 1 : 2);
    }
  });

  it('keep what something else still reads', async () => {
    const shape = [1, 6, 8];
    const { data } = await both({ x: { data: random(11).array(48), shape } }, [
      step('relu', ['x'], 'a'),
      step('exp', ['a'], 'b'),
      step('tanh', ['a'], 'c'),
      step('max', ['b', 'c'], 'd'),
      step('sub', ['d', 'x'], 'e'),
    ]);
    expect(data[0]).toEqual(data[1]);
  });

  it('any chain', async () => {
    const free: Name[] = ['relu', 'sigmoid', 'tanh', 'abs', 'identity', 'softplus'];
    const pairs: Name[] = ['add', 'sub', 'max', 'min'];
    const link = fc.record({ row: fc.constantFrom(...free, ...pairs), other: fc.nat(20), flip: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(link, { minLength: 1, maxLength: 7 }), fc.integer({ min: 1, max: 9 }), async (links, columns) => {
        const shape = [2, 5, columns];
        const inputs = { x: { data: random(12).array(sizeOf(shape)), shape }, r: { data: random(13).array(columns), shape: [columns] } };
        const known = ['x'];
        const steps = links.map(({ row, other, flip }, i) => {
          const last = known[known.length - 1];
          const second = other % 3 === 0 ? 'r' : known[other % known.length];
          const operands = rows[row].arity === 1 ? [last] : flip ? [second, last] : [last, second];
          known.push(`v${i}`);
          return step(row, operands, `v${i}`);
        });
        const { data } = await both(inputs, steps);
        expect(data[0]).toEqual(data[1]);
      }),
      { numRuns: 12, seed: 9 },
    );
  });
});
