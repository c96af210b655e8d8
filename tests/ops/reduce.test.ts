import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';
import { expectClose, expectFar, type Reference } from '../setup/tolerance.ts';

const KINDS = ['sum', 'mean', 'max', 'min', 'var', 'l2'] as const;
type Kind = (typeof KINDS)[number];

function reduced(terms: number[], kind: Kind): { value: number; magnitude: number } {
  const n = terms.length;
  const sum = terms.reduce((a, b) => a + b, 0);
  const size = terms.reduce((a, b) => a + Math.abs(b), 0);
  if (kind === 'sum') return { value: sum, magnitude: size };
  if (kind === 'mean') return { value: sum / n, magnitude: size / n };
  if (kind === 'max') return { value: Math.max(...terms), magnitude: 0 };
  if (kind === 'min') return { value: Math.min(...terms), magnitude: 0 };
  if (kind === 'l2') {
    const value = Math.sqrt(terms.reduce((a, b) => a + b * b, 0));
    return { value, magnitude: value };
  }
  const value = terms.reduce((a, b) => a + (b - sum / n) ** 2, 0) / Math.max(n - 1, 1);
  // x - mean is rounded at the size of x only once, since the mean's own error is taken off again.
  return { value, magnitude: value + (Math.sqrt(value) * size) / n };
}

/** One result for each way to choose the kept dimensions; `along` tells which of [images, rows, columns] are reduced. */
function reference(x: Float32Array, [, rows, columns]: number[], kind: Kind, along: 'columns' | 'rows' | 'all'): Reference {
  const groups = new Map<number, number[]>();
  x.forEach((v, i) => {
    const [n, r, c] = [Math.floor(i / columns / rows), Math.floor(i / columns) % rows, i % columns];
    const key = along === 'all' ? 0 : along === 'columns' ? n * rows + r : n * columns + c;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key)!.push(v);
  });
  const results = [...groups].sort(([a], [b]) => a - b).map(([, terms]) => reduced(terms, kind));
  return { value: results.map((r) => r.value), magnitude: results.map((r) => r.magnitude) };
}

/** Chains: chunks of at most the square root of the length, and as many chunks. */
const depthOf = (length: number) => 6 + 2 * Math.ceil(Math.sqrt(length));

describe.each(KINDS)('%s', (kind) => {
  const shapes = [
    [3, 5, 17],
    [1, 1, 1],
    [2, 7, 80],
    [1, 300, 1],
    [2, 3, 1026],
    [1, 65, 4],
    [2, 1000, 8],
    [1, 6400, 3],
  ];
  it.each(shapes.map((shape) => [shape]))('over columns and rows of %j', async (shape) => {
    const plain = random(1).array(sizeOf(shape));
    for (const along of ['columns', 'rows'] as const) {
      const length = along === 'columns' ? shape[2] : shape[1];
      // The last element of each reduction, made the extreme one, so that it counts for every kind.
      const isLast = (i: number) =>
        along === 'columns' ? i % shape[2] === shape[2] - 1 : Math.floor(i / shape[2]) % shape[1] === shape[1] - 1;
      const x = plain.map((v, i) => (isLast(i) ? (kind === 'min' ? -9 : 9) : v));
      const { outputs } = await runOp(along === 'columns' ? 'reduceColumns' : 'reduceRows', [{ data: x, shape }], { kind });
      expect(outputs[0].shape).toEqual(along === 'columns' ? [shape[0], shape[1], 1] : [shape[0], 1, shape[2]]);
      const tolerance = { depth: depthOf(length) };
      expectClose(outputs[0].data, reference(x, shape, kind, along), tolerance);
      const dropped = x.map((v, i) => (isLast(i) ? 0 : v));
      if (length > 1) expectFar(outputs[0].data, reference(dropped, shape, kind, along), tolerance);
    }
  });

  it.each([[[65537]], [[40, 16, 32]], [[1]], [[7, 3]], [[2, 100, 20]]])('over all of %j', async (shape) => {
    const x = random(2).array(sizeOf(shape));
    const { outputs } = await runOp('reduceAll', [{ data: x, shape }], { kind });
    expect(outputs[0].shape).toEqual([1]);
    expectClose(outputs[0].data, reference(x, [1, 1, x.length], kind, 'all'), { depth: depthOf(x.length) });
  });

  it('stays accurate far from zero', async () => {
    const x = random(3).array(40000, 1, 100);
    const { outputs } = await runOp('reduceAll', [{ data: x, shape: [40000] }], { kind });
    expectClose(outputs[0].data, reference(x, [1, 1, 40000], kind, 'all'), { depth: 4 });
    const map = await runOp('reduceRows', [{ data: x, shape: [2, 5000, 4] }], { kind });
    expectClose(map.outputs[0].data, reference(x, [2, 5000, 4], kind, 'rows'), { depth: 4 });
    const lines = await runOp('reduceColumns', [{ data: x, shape: [8, 5000] }], { kind });
    expectClose(lines.outputs[0].data, reference(x, [1, 8, 5000], kind, 'columns'), { depth: 4 });
  });

  it('reads a window', async () => {
    const shape = [2, 30, 8];
    const x = random(4).array(sizeOf(shape));
    for (const left of [4, 1]) {
      const options = { inputWindows: { 0: { left, right: 4, top: 2, bottom: 1 } } };
      const tolerance = { depth: depthOf(240) };
      for (const [op, along] of [
        ['reduceColumns', 'columns'],
        ['reduceRows', 'rows'],
        ['reduceAll', 'all'],
      ] as const) {
        const { outputs } = await runOp(op, [{ data: x, shape }], { kind }, options);
        expectClose(outputs[0].data, reference(x, shape, kind, along), tolerance);
      }
    }
  });
});

describe('reductions', () => {
  it('write into windows', async () => {
    const shape = [2, 30, 8];
    const x = random(5).array(sizeOf(shape));
    const columns = await runOp('reduceColumns', [{ data: x, shape }], { kind: 'max' }, { outputWindow: { left: 1, right: 2 } });
    expectClose(columns.outputs[0].data, reference(x, shape, 'max', 'columns'), { depth: 1 });
    const rows = await runOp('reduceRows', [{ data: x, shape }], { kind: 'sum' }, { outputWindow: { left: 4, right: 4 } });
    expectClose(rows.outputs[0].data, reference(x, shape, 'sum', 'rows'), { depth: 30 });
  });

  it('max and min are elements', async () => {
    const x = random(6)
      .array(2 * 500 * 12)
      .map((v) => -Math.abs(v) - 1e30);
    for (const kind of ['max', 'min'] as const) {
      const { outputs } = await runOp('reduceRows', [{ data: x, shape: [2, 500, 12] }], { kind });
      expect([...outputs[0].data]).toEqual([...(reference(x, [2, 500, 12], kind, 'rows').value as number[])]);
    }
  });

  it('any shape', async () => {
    const size = fc.integer({ min: 1, max: 90 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3 }), size, size, fc.constantFrom(...KINDS), async (images, rows, columns, kind) => {
        const shape = [images, rows, columns];
        const x = random(rows).array(sizeOf(shape));
        for (const [op, along] of [
          ['reduceColumns', 'columns'],
          ['reduceRows', 'rows'],
          ['reduceAll', 'all'],
        ] as const) {
          const { outputs } = await runOp(op, [{ data: x, shape }], { kind });
          expectClose(outputs[0].data, reference(x, shape, kind, along), { depth: depthOf(x.length) });
        }
      }),
      { numRuns: 8, seed: 7 },
    );
  });
});
