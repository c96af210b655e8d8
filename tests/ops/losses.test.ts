/** Boxes and losses against float64, over sizes that are no multiples of anything. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { type Random, random } from '../setup/random.ts';
import { expectClose, expectFar } from '../setup/tolerance.ts';

type Box = [number, number, number, number];

/** Boxes cx, cy, w, h inside the unit square, no side below 0.05. */
function boxes(r: Random, count: number): Float32Array {
  return Float32Array.from({ length: count * 4 }, (_, i) => (i % 4 < 2 ? 0.2 + 0.6 * r.uniform() : 0.05 + 0.3 * r.uniform()));
}

const at = (all: Float32Array, i: number): Box => [...all.subarray(4 * i, 4 * i + 4)] as Box;
const corners = ([cx, cy, w, h]: Box): Box => [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2];

function overlap(a: Box, b: Box): { iou: number; union: number; giou: number } {
  const [p, q] = [corners(a), corners(b)];
  const side = (i: number) => Math.max(0, Math.min(p[i + 2], q[i + 2]) - Math.max(p[i], q[i]));
  const hull = (i: number) => Math.max(p[i + 2], q[i + 2]) - Math.min(p[i], q[i]);
  const inside = side(0) * side(1);
  const union = a[2] * a[3] + b[2] * b[3] - inside;
  const area = hull(0) * hull(1);
  return { iou: inside / union, union, giou: inside / union - (area - union) / area };
}

/** Differences of coordinates up to 1 enter areas of at least 0.0025, which quotients divide by. */
const tolerance = { depth: 8, floor: 8 * 2 ** -24 };
const quotients = { depth: 8, floor: 8 * (2 ** -24 / 0.0025) };

const pairs = (n: number, m: number) => Array.from({ length: n * m }, (_, k) => [Math.floor(k / m), k % m]);

async function asCorners(data: Float32Array, shape: readonly number[]) {
  return (await runOp('boxesToCorners', [{ data, shape }])).outputs[0].data as Float32Array;
}

describe('boxes', () => {
  it('turn into corners and back', async () => {
    const data = boxes(random(1), 7);
    const found = await asCorners(data, [7, 4]);
    expectClose(found, { value: [0, 1, 2, 3, 4, 5, 6].flatMap((i) => corners(at(data, i))), magnitude: found.map(() => 1) }, tolerance);
    const [back] = (await runOp('cornersToBoxes', [{ data: found, shape: [7, 4] }])).outputs;
    expectClose(back.data, { value: data, magnitude: data.map(() => 1) }, tolerance);
  });

  it('a last dimension that is not 4 is refused', async () => {
    await expect(asCorners(new Float32Array(6), [2, 3])).rejects.toThrow(/\[2, 3\] is not \[\.\.\., 4\]/);
  });

  it('tables of IoU, union and GIoU for any two counts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.nat(1000), async (n, m, seed) => {
        const r = random(seed);
        const [a, b] = [boxes(r, n), boxes(r, m)];
        const inputs = [
          { data: await asCorners(a, [1, n, 4]), shape: [1, n, 4] },
          { data: await asCorners(b, [1, m, 4]), shape: [1, m, 4] },
        ];
        const { outputs } = await runOp('tableOverlap', inputs, {}, { outputs: 3 });
        const wanted = pairs(n, m).map(([i, j]) => overlap(at(a, i), at(b, j)));
        expect(outputs[0].shape).toEqual([1, n, m]);
        const ones = wanted.map(() => 1);
        expectClose(outputs[0].data, { value: wanted.map(({ iou }) => iou), magnitude: ones }, quotients);
        expectClose(outputs[1].data, { value: wanted.map(({ union }) => union), magnitude: ones }, tolerance);
        expectClose(outputs[2].data, { value: wanted.map(({ giou }) => giou), magnitude: ones }, quotients);
      }),
      { numRuns: 8 },
    );
  });

  it('pairs, and a mistake is noticed', async () => {
    const r = random(4);
    const [a, b] = [boxes(r, 6), boxes(r, 6)];
    const shape = [1, 6, 4];
    const [loss] = (
      await runOp('giouLoss', [
        { data: a, shape },
        { data: b, shape },
      ])
    ).outputs;
    const value = [0, 1, 2, 3, 4, 5].map((i) => 1 - overlap(at(a, i), at(b, i)).giou);
    expectClose(loss.data, { value, magnitude: value.map(() => 1) }, quotients);
    const wrong = [0, 1, 2, 3, 4, 5].map((i) => 1 - overlap(at(a, i), at(b, i)).iou);
    expectFar(loss.data, { value: wrong, magnitude: value.map(() => 1) }, quotients);
  });

  it('tables of distances', async () => {
    const r = random(5);
    const [a, b] = [boxes(r, 5), boxes(r, 3)];
    const [table] = (
      await runOp('tableDistance', [
        { data: a, shape: [1, 5, 4] },
        { data: b, shape: [1, 3, 4] },
      ])
    ).outputs;
    const value = pairs(5, 3).map(([i, j]) => at(a, i).reduce((sum, v, k) => sum + Math.abs(v - at(b, j)[k]), 0));
    expect(table.shape).toEqual([1, 5, 3]);
    expectClose(table.data, { value, magnitude: value.map(() => 4) }, tolerance);
  });
});

describe('losses', () => {
  const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const bce = (x: number, y: number) => softplus(x) - x * y;
  const r = random(11);
  const count = 67;
  const x = r.array(count, 6);
  const y = Float32Array.from({ length: count }, () => r.uniform());
  const o = Float32Array.from({ length: count }, () => r.integer(2));
  const shape = [count];
  /** exp in WGSL is off by up to 3 + 2 |x| units in the last place; |x| stays below 24. */
  const loose = { depth: 60, floor: 1e-7 };

  const reference: Record<string, { inputs: Float32Array[]; constants: number[]; value: (i: number) => number }> = {
    bceWithLogits: { inputs: [x, y], constants: [], value: (i) => bce(x[i], y[i]) },
    sigmoidFocal: {
      inputs: [x, y],
      constants: [0.25, 2],
      value: (i) => {
        const p = sigmoid(x[i]);
        const wrong = p * (1 - y[i]) + (1 - p) * y[i];
        return (0.25 * y[i] + 0.75 * (1 - y[i])) * wrong ** 2 * bce(x[i], y[i]);
      },
    },
    varifocal: {
      inputs: [x, x, y, o],
      constants: [0.75, 1.5],
      value: (i) => (0.75 * sigmoid(x[i]) ** 1.5 * (1 - o[i]) + y[i]) * bce(x[i], y[i]),
    },
    focalCost: {
      inputs: [x],
      constants: [0.25, 2],
      value: (i) => {
        const [p, q] = [sigmoid(x[i]), sigmoid(-x[i])];
        return 0.25 * q ** 2 * -Math.log(p + 1e-8) - 0.75 * p ** 2 * -Math.log(q + 1e-8);
      },
    },
  };

  it.each(Object.entries(reference))('%s', async (row, { inputs, constants, value }) => {
    const tensors = inputs.map((data) => ({ data, shape }));
    const [found] = (await runOp('pointwise', tensors, { row, constants })).outputs;
    const wanted = Float64Array.from(x, (_, i) => value(i));
    // A cost is a difference of two terms of the size of log(p).
    const magnitude = wanted.map((v, i) => Math.abs(v) + (row === 'focalCost' ? Math.abs(x[i]) : 0));
    expectClose(found.data, { value: wanted, magnitude }, loose);
    expectFar(found.data, { value: wanted.map((v) => v * 1.001), magnitude }, loose);
  });

  it("cross-entropy is torch's weighted mean", async () => {
    const [n, classes] = [9, 5];
    const logits = r.array(n * classes, 2);
    const weights = [1, 1, 2, 0.5, 0.1];
    const labels = Array.from({ length: n }, () => r.integer(classes));
    const targets = Float32Array.from({ length: n * classes }, (_, i) =>
      i % classes === labels[Math.floor(i / classes)] ? weights[i % classes] : 0,
    );
    let [sum, total] = [0, 0];
    labels.forEach((label, i) => {
      const row = [...logits.subarray(i * classes, (i + 1) * classes)];
      sum -= weights[label] * (row[label] - Math.log(row.reduce((s, v) => s + Math.exp(v), 0)));
      total += Math.fround(weights[label]);
    });
    const at2 = [1, n, classes];
    const [loss] = (
      await runOp('crossEntropy', [
        { data: logits, shape: at2 },
        { data: targets, shape: at2 },
      ])
    ).outputs;
    expectClose(loss.data, { value: [sum / total] }, { depth: 30 });
  });

  it("the sum of absolute differences, and the matcher's cost", async () => {
    const [a, b] = [boxes(r, 11), boxes(r, 4)];
    const [sum] = (
      await runOp('l1Loss', [
        { data: a, shape: [11, 4] },
        { data: boxes(random(3), 11), shape: [11, 4] },
      ])
    ).outputs;
    const other = boxes(random(3), 11);
    expectClose(sum.data, { value: [a.reduce((s, v, i) => s + Math.abs(v - other[i]), 0)] }, { depth: 16 });

    const logits = r.array(11 * 3, 2);
    const labels = Uint32Array.from([2, 0, 1, 2]);
    const weights = { classes: 2, boxes: 5, giou: 2, alpha: 0.25, gamma: 2 };
    const [cost] = (
      await runOp(
        'matcherCost',
        [
          { data: logits, shape: [1, 11, 3] },
          { data: a, shape: [1, 11, 4] },
          { data: labels, shape: [1, 4, 1] },
          { data: b, shape: [1, 4, 4] },
        ],
        weights,
      )
    ).outputs;
    const value = pairs(11, 4).map(([i, j]) => {
      const logit = logits[i * 3 + labels[j]];
      const [p, q] = [sigmoid(logit), sigmoid(-logit)];
      const focal = 0.25 * q ** 2 * -Math.log(p + 1e-8) - 0.75 * p ** 2 * -Math.log(q + 1e-8);
      const distance = at(a, i).reduce((s, v, k) => s + Math.abs(v - at(b, j)[k]), 0);
      return 5 * distance + 2 * focal - 2 * overlap(at(a, i), at(b, j)).giou;
    });
    expect(cost.shape).toEqual([1, 11, 4]);
    expectClose(cost.data, { value, magnitude: value.map(() => 16) }, quotients);
  });
});
