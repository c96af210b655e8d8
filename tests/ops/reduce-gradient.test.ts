import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

type Kind = 'sum' | 'mean' | 'max' | 'min' | 'var' | 'l2';

const average = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;

const reductions: Record<Kind, (x: number[]) => number> = {
  sum: (x) => x.reduce((a, b) => a + b, 0),
  mean: average,
  max: (x) => Math.max(...x),
  min: (x) => Math.min(...x),
  var: (x) => x.reduce((a, v) => a + (v - average(x)) ** 2, 0) / Math.max(x.length - 1, 1),
  l2: (x) => Math.hypot(...x),
};
const kinds = Object.keys(reductions) as Kind[];

/** Elements with the same key are reduced together, in the order of the keys. */
const by =
  (key: (i: number) => number, f: (x: number[]) => number): Forward =>
  ([x]) => {
    const lines: number[][] = [];
    x.forEach((v, i) => {
      lines[key(i)] ??= [];
      lines[key(i)].push(v);
    });
    return [Float64Array.from(lines, f)];
  };

describe.each(kinds)('%s', (kind) => {
  it.each([[[2, 3, 5]], [[1, 70, 4]], [[2, 2, 2, 8]], [[3, 1, 1]]])('%j', async (shape) => {
    const columns = shape.at(-1)!;
    const [n, rows] = [shape[0], sizeOf(shape) / shape[0] / columns];
    const inputs = [{ data: random(61).array(sizeOf(shape)), shape }];
    const given = { inputs, attributes: { kind }, wanted: [0], distance: 1e-5, depth: 60, floor: 2e-6 };
    const perRow = by((i) => Math.floor(i / columns), reductions[kind]);
    await expectGradients({ ...given, op: 'reduceColumns', outputs: [[...shape.slice(0, -1), 1]], forward: perRow });
    const perColumn = by((i) => Math.floor(i / columns / rows) * columns + (i % columns), reductions[kind]);
    await expectGradients({ ...given, op: 'reduceRows', outputs: [[n, 1, columns]], forward: perColumn });
    const all = by(() => 0, reductions[kind]);
    await expectGradients({ ...given, op: 'reduceAll', outputs: [[1]], forward: all });
  });
});

it('equal extremes: the first one gets everything', async () => {
  const inputs = [{ data: Float32Array.of(1, 3, 3, 2, 2, 2), shape: [1, 2, 3] }];
  const given = { inputs, attributes: { kind: 'max' }, wanted: [0], forward: () => [new Float64Array(6)], depth: 1 };
  const seed = random(900).array(3);
  const columns = await gradientsOf({ ...given, op: 'reduceColumns', outputs: [[1, 2, 1]] });
  expect([...columns.ours[0]]).toEqual([0, seed[0], 0, seed[1], 0, 0]);
  const rows = await gradientsOf({ ...given, op: 'reduceRows', outputs: [[1, 1, 3]] });
  expect([...rows.ours[0]]).toEqual([0, seed[1], seed[2], seed[0], 0, 0]);
});

it('the length of zeros has no gradient', async () => {
  const inputs = [{ data: new Float32Array(4), shape: [1, 4] }];
  const given = { op: 'reduceColumns', inputs, attributes: { kind: 'l2' }, outputs: [[1, 1]], wanted: [0], depth: 1 };
  expect([...(await gradientsOf({ ...given, forward: () => [new Float64Array(1)] })).ours[0]]).toEqual([0, 0, 0, 0]);
});

it('moments', async () => {
  const groupOf = (i: number) => Math.floor(i / 30) * 6 + (i % 6);
  const forward: Forward = (inputs) =>
    [average, (x: number[]) => average(x.map((v) => (v - average(x)) ** 2))].map((f) => Float64Array.from(by(groupOf, f)(inputs)[0]));
  const inputs = [{ data: random(62).array(60), shape: [2, 5, 6] }];
  const outputs = [0, 1].map(() => [2, 1, 6]);
  await expectGradients({ op: 'moments', inputs, outputs, wanted: [0], forward, depth: 60 });
});
