import { expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

it.each([
  [2, 3, 4, 6, 3],
  [1, 1, 1, 4, 5],
  [2, 5, 2, 8, 4],
])('channelAttention: batch %i, %i x %i, %i channels, %i hidden', async (n, h, w, c, r) => {
  const g = random(71);
  const inputs = [
    { data: g.array(n * h * w * c, 1, 0.3), shape: [n, h, w, c] },
    { data: g.array(c * r), shape: [1, c, r], parameter: true },
    { data: g.array(c * r), shape: [1, r, c], parameter: true },
  ];
  const forward: Forward = ([x, fc1, fc2]) => [
    Float64Array.from({ length: n * c }, (_, i) => {
      const image = Math.floor(i / c);
      const mean = Array.from({ length: c }, (_unused, k) => {
        let sum = 0;
        for (let p = 0; p < h * w; p++) sum += x[(image * h * w + p) * c + k];
        return sum / h / w;
      });
      const hidden = Array.from({ length: r }, (_unused, k) =>
        Math.max(
          mean.reduce((sum, v, m) => sum + v * fc1[m * r + k], 0),
          0,
        ),
      );
      return sigmoid(hidden.reduce((sum, v, k) => sum + v * fc2[k * c + (i % c)], 0));
    }),
  ];
  await expectGradients({
    op: 'channelAttention',
    inputs,
    outputs: [[n, 1, c]],
    wanted: [0, 1, 2],
    forward,
    distance: 1e-5,
    depth: 60,
    floor: 1e-6,
  });
});

type Sizes = [n: number, h: number, w: number, side: number, c: number];

const statisticsOf =
  ([n, h, w, side, c]: Sizes): Forward =>
  ([g]) => {
    const y = new Float64Array(n * h * w * side * side * 2);
    for (let i = 0; i < n * h * w * side * side; i++) {
      const [cell, tap] = [Math.floor(i / side / side), i % (side * side)];
      const part = Array.from(g.subarray(i * c, (i + 1) * c));
      const row = Math.floor(cell / w) * side + Math.floor(tap / side);
      const to = (row * w * side + (cell % w) * side + (tap % side)) * 2;
      y[to] = Math.max(...part);
      y[to + 1] = part.reduce((a, b) => a + b, 0) / c;
    }
    return [y];
  };

const spatialOf =
  (n: number, height: number, width: number): Forward =>
  ([x, weight]) => [
    Float64Array.from({ length: n * height * width }, (_, i) => {
      const [image, row, column] = [Math.floor(i / width / height), Math.floor(i / width) % height, i % width];
      let sum = 0;
      for (let k = 0; k < 18; k++) {
        const [iy, ix] = [row + Math.floor(k / 6) - 1, column + (Math.floor(k / 2) % 3) - 1];
        if (iy >= 0 && ix >= 0 && iy < height && ix < width) sum += weight[k] * x[((image * height + iy) * width + ix) * 2 + (k % 2)];
      }
      return sigmoid(sum);
    }),
  ];

const all: Sizes[] = [
  [2, 3, 2, 3, 4],
  [1, 2, 3, 2, 3],
  [1, 1, 1, 1, 1],
  [1, 4, 3, 3, 8],
];

it.each(all)('rfStatistics: batch %i, %i x %i, side %i, %i channels', async (...sizes) => {
  const [n, h, w, side, c] = sizes;
  const shape = [n, h, w, side * side * c];
  const given = { op: 'rfStatistics', inputs: [{ data: random(72).array(sizeOf(shape)), shape }], attributes: { channels: c } };
  const outputs = [[n, h * side, w * side, 2]];
  await expectGradients({ ...given, outputs, wanted: [0], forward: statisticsOf(sizes), distance: 1e-6, depth: 12, floor: 1e-6 });
});

it('rfStatistics: of equal channels the lowest gets the gradient of the maximum', async () => {
  const inputs = [{ data: Float32Array.of(1, 5, 5, 5), shape: [1, 1, 1, 4] }];
  const given = { op: 'rfStatistics', inputs, attributes: { channels: 4 }, outputs: [[1, 1, 1, 2]], wanted: [0], depth: 1 };
  const { ours } = await gradientsOf({ ...given, forward: () => [new Float64Array(2)] });
  const [max, mean] = random(900).array(2);
  expect([...ours[0]]).toEqual([0, 1, 0, 0].map((first) => Math.fround(mean / 4 + first * max)));
});

it.each([
  [2, 4, 5],
  [1, 1, 1],
  [1, 9, 12],
])('rfSpatial: batch %i, %i x %i', async (n, height, width) => {
  const r = random(73);
  const inputs = [
    { data: r.array(n * height * width * 2), shape: [n, height, width, 2] },
    { data: r.array(18, 0.5), shape: [9, 2, 1], parameter: true },
  ];
  const outputs = [[n, height, width, 1]];
  await expectGradients({ op: 'rfSpatial', inputs, outputs, wanted: [0, 1], forward: spatialOf(n, height, width), depth: 60 });
});

it.each(all)('rfFuse: batch %i, %i x %i, side %i, %i channels', async (...sizes) => {
  const [n, h, w, side, c] = sizes;
  const taps = side * side;
  const out = 5;
  const r = random(74);
  const array = (shape: number[], parameter = false) => ({ data: r.array(sizeOf(shape), 0.7), shape, parameter });
  const inputs = [
    array([n, h, w, taps * c]),
    array([n, 1, c]),
    array([n, h * side, w * side, 2]),
    array([9, 2, 1], true),
    array([taps, c, out], true),
    array([out], true),
  ];
  const forward: Forward = ([g, ca, statistics, kernel, weight, bias]) => {
    const [sa] = spatialOf(n, h * side, w * side)([statistics, kernel]);
    return [
      Float64Array.from({ length: n * h * w * out }, (_, i) => {
        const [cell, o] = [Math.floor(i / out), i % out];
        let sum = bias[o];
        for (let k = 0; k < taps * c; k++) {
          const [tap, channel] = [Math.floor(k / c), k % c];
          const pixel = (Math.floor(cell / w) * side + Math.floor(tap / side)) * w * side + (cell % w) * side + (tap % side);
          sum += g[cell * taps * c + k] * ca[Math.floor(cell / h / w) * c + channel] * sa[pixel] * weight[k * out + o];
        }
        return sum;
      }),
    ];
  };
  const given = { op: 'rfSpatialFuse', inputs, outputs: [[n, h, w, out]], wanted: [0, 1, 2, 3, 4, 5], forward, depth: 80, floor: 1e-6 };
  await expectGradients(given);
});
