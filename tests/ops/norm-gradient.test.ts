import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward } from '../setup/gpu-gradients.ts';
import type { GraphInput } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';

const mean = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + b, 0) / x.length;

/** Rows of `columns` elements, each changed by itself. */
const byRow =
  (columns: number, f: (row: Float64Array, inputs: readonly Float64Array[]) => Float64Array): Forward =>
  (inputs) => {
    const y = new Float64Array(inputs[0].length);
    for (let at = 0; at < y.length; at += columns) y.set(f(inputs[0].subarray(at, at + columns), inputs), at);
    return [y];
  };

const softmaxOf = (log: boolean, columns: number) =>
  byRow(columns, (row) => {
    const peak = Math.max(...row);
    const sum = row.reduce((a, v) => a + Math.exp(v - peak), 0);
    return row.map((v) => (log ? v - peak - Math.log(sum) : Math.exp(v - peak) / sum));
  });

describe('softmax', () => {
  it.each([[[2, 5, 12]], [[4, 33]], [[7, 1]], [[2, 3, 5, 4]]])('%j', async (shape) => {
    const columns = shape.at(-1)!;
    const inputs = [{ data: random(1).array(sizeOf(shape), 2), shape }];
    for (const log of [false, true]) {
      const given = { inputs, outputs: [shape], wanted: [0], forward: softmaxOf(log, columns), depth: 12 + columns / 4, floor: 1e-6 };
      await expectGradients({ ...given, op: log ? 'logSoftmax' : 'softmax' });
    }
  });

  it('reads windows', async () => {
    const inputs = [{ data: random(2).array(2 * 3 * 8), shape: [2, 3, 8] }];
    const given = { op: 'softmax', inputs, outputs: [[2, 3, 8]], wanted: [0], forward: softmaxOf(false, 8), depth: 20 };
    for (const margin of [3, 4]) await expectGradients({ ...given, margins: { 0: margin, seed: margin } });
  });
});

const layerNormOf = (columns: number) =>
  byRow(columns, (row, [, weight, bias]) => {
    const middle = mean(row);
    const scale = 1 / Math.sqrt(mean(row.map((v) => (v - middle) ** 2)) + 1e-5);
    return row.map((v, c) => (v - middle) * scale * weight[c] + bias[c]);
  });

function withWeights(shape: readonly number[], seed: number, offset = 0): GraphInput[] {
  const r = random(seed);
  const columns = shape[shape.length - 1];
  const vector = () => ({ data: r.array(columns, 1, 0.5), shape: [columns], parameter: true });
  return [{ data: r.array(sizeOf(shape), 1, offset), shape }, vector(), vector()];
}

describe('layerNorm', () => {
  it.each([[[2, 5, 36]], [[3, 7]], [[2, 2, 3, 8]], [[1, 90, 4]], [[1, 100]]])('%j', async (shape) => {
    const columns = shape.at(-1)!;
    const given = { op: 'layerNorm', inputs: withWeights(shape, 3), outputs: [shape], wanted: [0, 1, 2], forward: layerNormOf(columns) };
    const { kernels } = await expectGradients({ ...given, depth: 40 });
    expect(kernels.filter((k) => k.startsWith('norm/')).length).toBeLessThanOrEqual(2);
  });

  it('one column has no gradient to its input', async () => {
    const given = { op: 'layerNorm', inputs: withWeights([4, 1], 4), outputs: [[4, 1]], wanted: [0, 1, 2], forward: layerNormOf(1) };
    await expectGradients({ ...given, depth: 20, floor: 1e-6 });
  });

  it('reads windows, and leaves the weights out where only the input is wanted', async () => {
    const given = { op: 'layerNorm', inputs: withWeights([2, 3, 12], 5), outputs: [[2, 3, 12]], forward: layerNormOf(12), depth: 40 };
    for (const margin of [3, 4]) await expectGradients({ ...given, wanted: [0, 1, 2], margins: { 0: margin, seed: margin } });
    const { kernels } = await expectGradients({ ...given, wanted: [0] });
    expect(kernels).not.toContain('reduce/parts');
  });
});

/** Statistics over rows, of groups of `width` columns, of one image or all. */
const standardised =
  ([, ...rest]: readonly number[], width: number, joined: boolean): Forward =>
  ([x, weight, bias]) => {
    const columns = rest.at(-1)!;
    const size = rest.reduce((a, b) => a * b, 1);
    const keyOf = (i: number) => (joined ? 0 : Math.floor(i / size) * columns) + Math.floor((i % columns) / width);
    const groups = new Map<number, number[]>();
    x.forEach((v, i) => {
      groups.set(keyOf(i), [...(groups.get(keyOf(i)) ?? []), v]);
    });
    const statistics = new Map(
      [...groups].map(([key, values]) => [key, { middle: mean(values), variance: mean(values.map((v) => (v - mean(values)) ** 2)) }]),
    );
    return [
      x.map((v, i) => {
        const { middle, variance } = statistics.get(keyOf(i))!;
        return ((v - middle) / Math.sqrt(variance + 1e-5)) * weight[i % columns] + bias[i % columns];
      }),
    ];
  };

describe.each(['whole', 'chunks'])('batchNormTrain, %s', (batchNorm) => {
  const options = { variants: { batchNorm } };
  const made = batchNorm === 'whole' ? ['norm/batch-norm-gradient'] : ['sums', 'shares', 'gradient'].map((s) => `norm/standardise-${s}`);

  it.each([[[2, 3, 5, 7]], [[4, 1, 1, 8]], [[1, 9, 9, 4]], [[2, 4]], [[1, 2, 3, 20]]])('%j', async (shape) => {
    const forward = standardised(shape, 1, true);
    const given = { op: 'batchNormTrain', inputs: withWeights(shape, 6), outputs: [shape], wanted: [0, 1, 2], forward, depth: 60, options };
    // Of two values the normalised ones are nearly -1 and 1 whatever they are: the gradient is what is left of terms of size 1.
    if (shape.at(-1) === 4 && shape.length === 2) Object.assign(given, { floor: 4e-6 });
    const { kernels } = await expectGradients(given);
    expect(kernels.filter((k) => /gradient|sums|shares/.test(k))).toEqual(made);
  });

  it('with a common offset', async () => {
    const shape = [2, 4, 3, 8];
    const given = { op: 'batchNormTrain', inputs: withWeights(shape, 7, 20), outputs: [shape], wanted: [0, 1, 2] };
    await expectGradients({ ...given, forward: standardised(shape, 1, true), depth: 400, options });
  });

  it('goes through the activation and to the residual', async () => {
    for (const columns of [8, 3]) {
      const shape = [2, 3, 3, columns];
      const residual = { data: random(8).array(18 * columns), shape };
      const silu: Forward = ([x, weight, bias, behind]) => [
        Float64Array.from(standardised(shape, 1, true)([x, weight, bias])[0], (v, i) => {
          const sum = v + (behind?.[i] ?? 0);
          return sum / (1 + Math.exp(-sum));
        }),
      ];
      const given = { op: 'batchNormTrain', attributes: { activation: 'silu' }, outputs: [shape], forward: silu, depth: 80, options };
      await expectGradients({ ...given, inputs: withWeights(shape, 9), wanted: [0, 1, 2] });
      await expectGradients({ ...given, inputs: [...withWeights(shape, 9), residual], wanted: [0, 1, 2, 3] });
      const added: Forward = ([x, weight, bias, behind]) => [
        Float64Array.from(standardised(shape, 1, true)([x, weight, bias])[0], (v, i) => v + behind[i]),
      ];
      await expectGradients({
        ...given,
        attributes: {},
        forward: added,
        inputs: [...withWeights(shape, 9), residual],
        wanted: [0, 1, 2, 3],
      });
    }
  });

  it('reads windows', async () => {
    const shape = [2, 3, 4, 8];
    const given = { op: 'batchNormTrain', inputs: withWeights(shape, 10), outputs: [shape], wanted: [0, 1, 2], depth: 60, options };
    for (const margin of [3, 4])
      await expectGradients({ ...given, forward: standardised(shape, 1, true), margins: { 0: margin, seed: margin } });
  });
});

describe('groupNorm', () => {
  it.each<[number[], number]>([
    [[2, 3, 2, 12], 4],
    [[1, 5, 1, 6], 2],
    [[3, 2, 2, 4], 1],
    [[2, 2, 3, 8], 2],
  ])('%j in %i groups', async (shape, groups) => {
    const inputs = withWeights(shape, 8);
    const forward = standardised(shape, shape.at(-1)! / groups, false);
    await expectGradients({ op: 'groupNorm', inputs, attributes: { groups }, outputs: [shape], wanted: [0, 1, 2], forward, depth: 60 });
  });
});
