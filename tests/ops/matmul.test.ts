import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runGraph, runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

interface Options {
  transposeA?: boolean;
  transposeB?: boolean;
}

/** torch.matmul in float64. */
function product(
  a: Float32Array,
  shapeA: readonly number[],
  b: Float32Array,
  shapeB: readonly number[],
  options: Options = {},
): Reference & { shape: number[] } {
  const batchOf = (shape: readonly number[]) => [1, 1, ...shape.slice(0, -2)].slice(-2);
  const view = (shape: readonly number[], transposed = false) => {
    const [rows, columns] = shape.slice(-2);
    const batch = batchOf(shape);
    const at = (o: number, i: number, r: number, c: number) => {
      const matrix = (batch[0] > 1 ? o : 0) * batch[1] + (batch[1] > 1 ? i : 0);
      return matrix * rows * columns + (transposed ? c * columns + r : r * columns + c);
    };
    return { batch, at, rows: transposed ? columns : rows, columns: transposed ? rows : columns };
  };
  const [p, q] = [view(shapeA, options.transposeA), view(shapeB, options.transposeB)];
  const batch = p.batch.map((n, i) => Math.max(n, q.batch[i]));
  const rank = Math.max(shapeA.length, shapeB.length) - 2;
  const shape = [...batch.slice(2 - rank), p.rows, q.columns];
  const value = new Float64Array(sizeOf(shape));
  const magnitude = new Float64Array(value.length);
  for (let index = 0; index < value.length; index++) {
    const [c, r, matrix] = [index % q.columns, Math.floor(index / q.columns) % p.rows, Math.floor(index / q.columns / p.rows)];
    const [o, i] = [Math.floor(matrix / batch[1]), matrix % batch[1]];
    for (let k = 0; k < p.columns; k++) {
      const term = a[p.at(o, i, r, k)] * b[q.at(o, i, k, c)];
      value[index] += term;
      magnitude[index] += Math.abs(term);
    }
  }
  return { value, magnitude, shape };
}

/** Partial sums of at most 256 products, which are then added. */
const depthOf = (k: number) => 2 + Math.min(k, 256) + Math.ceil(k / 64);

async function check(shapeA: readonly number[], shapeB: readonly number[], options: Options = {}, run = {}) {
  const r = random(sizeOf(shapeA) + sizeOf(shapeB));
  const [a, b] = [r.array(sizeOf(shapeA)), r.array(sizeOf(shapeB))];
  const result = await runOp(
    'matmul',
    [
      { data: a, shape: shapeA },
      { data: b, shape: shapeB },
    ],
    options,
    run,
  );
  const expected = product(a, shapeA, b, shapeB, options);
  const k = options.transposeA ? shapeA[shapeA.length - 2] : shapeA[shapeA.length - 1];
  const tolerance = { depth: depthOf(k) };
  expect(result.outputs[0].shape).toEqual(expected.shape);
  expectClose(result.outputs[0].data, expected, tolerance);
  expect(result.statistics.dispatches).toBe(1);
  const { data } = result.outputs[0];
  // The last step of the sum left out; two elements swapped.
  const dropped = product(
    a.map((v, i) => (i === a.length - 1 ? 0 : v)),
    shapeA,
    b,
    shapeB,
    options,
  );
  expectFar(data, dropped, tolerance);
  if (data.length > 1) {
    const swapped = Float64Array.from(expected.value);
    [swapped[0], swapped[data.length - 1]] = [swapped[data.length - 1], swapped[0]];
    expectFar(data, { value: swapped, magnitude: expected.magnitude }, tolerance);
  }
  return result;
}

describe('matmul', () => {
  it.each<[number[], number[], Options]>([
    [[13, 27], [27, 19], {}],
    [[64, 64], [64, 64], {}],
    [[300, 256], [256, 128], {}],
    [[1, 5], [5, 1], {}],
    [[6, 1], [1, 9], {}],
    [[4, 1500], [1500, 5], {}],
    [[3, 10, 17], [3, 17, 6], {}],
    [[2, 4, 11, 8], [2, 4, 13, 8], { transposeB: true }],
    [[2, 3, 9, 7], [2, 3, 9, 5], { transposeA: true }],
    [[2, 3, 9, 7], [2, 3, 5, 9], { transposeA: true, transposeB: true }],
    [[2, 3, 5, 7], [7, 4], {}],
    [[2, 3, 5, 8], [8, 16], {}],
    [[5, 7], [3, 7, 2], {}],
    [[2, 3, 5, 7], [3, 7, 4], {}],
    [[2, 1, 5, 7], [1, 3, 7, 4], {}],
    [[7, 5], [7, 4], { transposeA: true }],
    [[2, 40, 33], [2, 33, 65], {}],
  ])('%j x %j %j', async (a, b, options) => {
    await check(a, b, options);
  });

  it('takes the tile kernels where b is a dense matrix', async () => {
    const { kernels } = await check([40, 64], [64, 32]);
    expect(kernels[0]).toMatch(/^gemm\//);
  });

  it('reads windows and writes into one', async () => {
    const windows = { left: 3, right: 2, top: 1, bottom: 4 };
    await check([2, 5, 7], [2, 7, 4], {}, { inputWindows: { 0: windows, 1: windows } });
    await check([5, 8], [8, 4], {}, { inputWindows: { 1: { left: 4 } } });
    await check([2, 9, 5], [2, 9, 6], { transposeA: true }, { inputWindows: { 0: windows, 1: windows } });
  });

  it('writes into a window', async () => {
    const r = random(3);
    const [a, b] = [r.array(70), r.array(56)];
    for (const outputWindow of [
      { left: 1, right: 2 },
      { top: 2, bottom: 1 },
    ]) {
      const { outputs } = await runOp(
        'matmul',
        [
          { data: a, shape: [2, 5, 7] },
          { data: b, shape: [2, 7, 4] },
        ],
        {},
        { outputWindow },
      );
      expectClose(outputs[0].data, product(a, [2, 5, 7], b, [2, 7, 4]), { depth: depthOf(7) });
    }
  });

  it('takes what follows into its store, and b stays whole when it is concatenated', async () => {
    const r = random(4);
    const given = { a: [2, 3, 5, 8], b: [2, 3, 8, 4], c: [2, 3, 5, 4], w: [8, 4] };
    const inputs = Object.fromEntries(Object.entries(given).map(([name, shape]) => [name, { data: r.array(sizeOf(shape)), shape }]));
    const graph = (fused: boolean) => ({
      inputs,
      steps: [
        { op: 'matmul', inputs: ['a', 'b'], outputs: ['p'] },
        { op: 'pointwise', attributes: { row: 'add' }, inputs: ['p', 'c'], outputs: ['s'] },
        { op: 'pointwise', attributes: { row: 'relu' }, inputs: ['s'], outputs: ['y'] },
        { op: 'pointwise', attributes: { row: 'tanh' }, inputs: ['w'], outputs: ['t'] },
        { op: 'pointwise', attributes: { row: 'exp' }, inputs: ['w'], outputs: ['e'] },
        { op: 'concatColumns', inputs: ['e', 't'], outputs: ['et'] },
        { op: 'matmul', inputs: ['y', 'b'], outputs: ['unused'], attributes: { transposeB: true } },
        { op: 'matmul', inputs: ['a', 't'], outputs: ['z'] },
      ],
      outputs: ['y', 'z', 'et'],
      options: { fuse: { pointwise: fused, concat: fused } },
    });
    const [fused, plain] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(fused.statistics.dispatches).toBeLessThan(plain.statistics.dispatches);
    expect(fused.outputs.y.data).toEqual(plain.outputs.y.data);
    const t = plain.outputs.et.data as Float32Array;
    const tanh = Float32Array.from({ length: 32 }, (_, i) => t[Math.floor(i / 4) * 8 + 4 + (i % 4)]);
    expectClose(fused.outputs.z.data, product(inputs.a.data, given.a, tanh, given.w), { depth: depthOf(8) });
  });

  it('any shape', async () => {
    const size = fc.integer({ min: 1, max: 40 });
    const batch = fc.integer({ min: 1, max: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(batch, batch),
        size,
        size,
        size,
        fc.boolean(),
        fc.boolean(),
        async ([o, i], m, k, n, transposeA, transposeB) => {
          await check([o, i, ...(transposeA ? [k, m] : [m, k])], [1, i, ...(transposeB ? [n, k] : [k, n])], { transposeA, transposeB });
        },
      ),
      { numRuns: 10, seed: 8 },
    );
  });

  it('refuses shapes that do not fit', async () => {
    const of = (...shape: number[]) => ({ data: new Float32Array(sizeOf(shape)), shape });
    await expect(runOp('matmul', [of(2, 3), of(4, 5)])).rejects.toThrow(/matmul: \[2, 3\] times \[4, 5\]: 3 columns meet 4 rows/);
    await expect(runOp('matmul', [of(2, 2, 3), of(3, 3, 5)])).rejects.toThrow(/batches do not broadcast/);
    await expect(runOp('matmul', [of(3), of(3, 5)])).rejects.toThrow(/two to four dimensions/);
  });
});
