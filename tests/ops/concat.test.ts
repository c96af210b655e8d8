import { describe, expect, it } from 'vitest';
import { type GraphInput, runGraph, runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';

const input = (seed: number, ...shape: number[]): GraphInput => ({ data: random(seed).array(sizeOf(shape)), shape });

function joined(parts: GraphInput[], axis: 'columns' | 'rows'): number[] {
  const split = parts.map(({ data, shape }) => {
    const [images, rows, columns] = [shape[0], sizeOf(shape.slice(1, -1)), shape[shape.length - 1]];
    return {
      images,
      rows,
      columns,
      line: (n: number, r: number) => [...data.subarray((n * rows + r) * columns, (n * rows + r + 1) * columns)],
    };
  });
  const out: number[] = [];
  for (let n = 0; n < split[0].images; n++) {
    if (axis === 'columns') for (let r = 0; r < split[0].rows; r++) for (const part of split) out.push(...part.line(n, r));
    else for (const part of split) for (let r = 0; r < part.rows; r++) out.push(...part.line(n, r));
  }
  return out;
}

describe('concatenation', () => {
  it.each([
    [
      [2, 3, 4, 8],
      [2, 3, 4, 4],
      [2, 3, 4, 12],
    ],
    [
      [2, 5, 3],
      [2, 5, 1],
      [2, 5, 2],
    ],
    [
      [1, 1, 1],
      [1, 1, 1],
      [1, 1, 5],
    ],
  ])('of columns %j %j %j', async (...shapes) => {
    const parts = shapes.map((shape, i) => input(i, ...shape));
    const { outputs } = await runOp('concatColumns', parts);
    expect(outputs[0].shape).toEqual([...shapes[0].slice(0, -1), shapes.reduce((n, s) => n + s[s.length - 1], 0)]);
    expect([...outputs[0].data]).toEqual(joined(parts, 'columns'));
    expect([...outputs[0].data]).not.toEqual(joined([...parts].reverse(), 'columns'));
  });

  it.each([
    [
      [2, 3, 4],
      [2, 7, 4],
    ],
    [
      [2, 2, 3, 5],
      [2, 4, 5],
    ],
  ])('of rows %j %j', async (...shapes) => {
    const parts = shapes.map((shape, i) => input(i, ...shape));
    const { outputs } = await runOp('concatRows', parts);
    expect([...outputs[0].data]).toEqual(joined(parts, 'rows'));
  });

  it.each([
    ['columns', [2, 3, 4, 8, 1, 6, 5, 2, 7]],
    ['rows', [2, 3, 4, 8, 1, 6, 5, 2, 7]],
    ['columns', [4, 8, 12, 4, 16, 8, 4, 20, 8]],
  ] as const)('of more %s than a launch takes: %j', async (axis, lengths) => {
    const parts = lengths.map((n, i) => input(i, ...(axis === 'columns' ? [2, 5, n] : [2, n, 5])));
    const { outputs, kernels } = await runOp(axis === 'columns' ? 'concatColumns' : 'concatRows', parts);
    expect([...outputs[0].data]).toEqual(joined(parts, axis));
    expect(kernels).toEqual(['copy/concat', 'copy/concat', 'copy/concat']);
  });

  it('reads windows and moves u32', async () => {
    const parts = [3, 4].map((columns) => ({ data: random(columns).indices(10 * columns, 2 ** 32), shape: [2, 5, columns] }));
    const { outputs } = await runOp('concatColumns', parts, {}, { inputWindows: { 0: { left: 1, top: 1 }, 1: { right: 3, bottom: 2 } } });
    expect([...outputs[0].data]).toEqual(joined(parts, 'columns'));
  });

  it('costs nothing where its inputs are computed', async () => {
    const parts = { a: input(1, 2, 6, 8), b: input(2, 2, 6, 4) };
    const graph = (concat: boolean) => ({
      inputs: parts,
      steps: [
        { op: 'pointwise', attributes: { row: 'tanh' }, inputs: ['a'], outputs: ['p'] },
        { op: 'pointwise', attributes: { row: 'exp' }, inputs: ['b'], outputs: ['q'] },
        { op: 'concatColumns', inputs: ['p', 'q'], outputs: ['pq'] },
        // A concatenation of a concatenation, along the other axis.
        { op: 'pointwise', attributes: { row: 'abs' }, inputs: ['pq'], outputs: ['r'] },
        { op: 'concatRows', inputs: ['pq', 'r'], outputs: ['all'] },
      ],
      outputs: ['all'],
      options: { fuse: { concat } },
    });
    const [placed, copied] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(placed.outputs.all.data).toEqual(copied.outputs.all.data);
    expect(placed.statistics.dispatches).toBeLessThan(copied.statistics.dispatches);
    expect(placed.statistics.activationBytes).toBeLessThanOrEqual(copied.statistics.activationBytes);
  });

  it('keeps apart what goes into two of them', async () => {
    const graph = (concat: boolean) => ({
      inputs: { a: input(3, 1, 4, 4), b: input(4, 1, 4, 4) },
      steps: [
        { op: 'pointwise', attributes: { row: 'tanh' }, inputs: ['a'], outputs: ['p'] },
        { op: 'pointwise', attributes: { row: 'exp' }, inputs: ['b'], outputs: ['q'] },
        { op: 'concatColumns', inputs: ['p', 'q'], outputs: ['one'] },
        { op: 'concatRows', inputs: ['q', 'p'], outputs: ['two'] },
        { op: 'concatColumns', inputs: ['p', 'p'], outputs: ['three'] },
      ],
      outputs: ['one', 'two', 'three', 'p'],
      options: { fuse: { concat } },
    });
    const [placed, copied] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(placed.outputs).toEqual(copied.outputs);
  });

  it('gives the same bits with and without reuse of memory', async () => {
    const graph = (reuseMemory: boolean) => ({
      inputs: { x: input(5, 2, 8, 12) },
      steps: [
        { op: 'softmax', inputs: ['x'], outputs: ['a'] },
        { op: 'reduceColumns', attributes: { kind: 'max' }, inputs: ['a'], outputs: ['m'] },
        { op: 'pointwise', attributes: { row: 'sub' }, inputs: ['a', 'm'], outputs: ['b'] },
        { op: 'concatColumns', inputs: ['b', 'm'], outputs: ['c'] },
        { op: 'permute', attributes: { order: [0, 2, 1] }, inputs: ['c'], outputs: ['d'] },
        { op: 'softmax', inputs: ['d'], outputs: ['e'] },
        { op: 'permute', attributes: { order: [2, 0, 1] }, inputs: ['e'], outputs: ['f'] },
      ],
      outputs: ['f'],
      options: { reuseMemory },
    });
    const [reused, apart] = [await runGraph(graph(true)), await runGraph(graph(false))];
    expect(reused.outputs.f.data).toEqual(apart.outputs.f.data);
    expect(reused.statistics.activationBytes).toBeLessThan(apart.statistics.activationBytes);
  });

  it('refuses shapes that do not fit', async () => {
    await expect(runOp('concatColumns', [input(1, 2, 3, 4), input(2, 2, 4, 4)])).rejects.toThrow(
      /concat: \[2, 3, 4\], \[2, 4, 4\] along columns/,
    );
    await expect(runOp('concatRows', [input(1, 2, 3, 4), input(2, 2, 3, 5)])).rejects.toThrow(/along rows/);
  });
});
