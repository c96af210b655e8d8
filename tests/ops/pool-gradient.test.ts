import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

interface Pooling {
  kernel: [number, number];
  stride: [number, number];
  padding: [number, number];
  ceilMode?: boolean;
  countIncludePad?: boolean;
}

/** [output height, output width], as torch counts them. */
function sizes([, h, w]: number[], { kernel, stride, padding, ceilMode = false }: Pooling): number[] {
  return [h, w].map((input, i) => {
    const steps = (input + 2 * padding[i] - kernel[i]) / stride[i];
    const size = (ceilMode ? Math.ceil(steps) : Math.floor(steps)) + 1;
    return ceilMode && (size - 1) * stride[i] >= input + padding[i] ? size - 1 : size;
  });
}

const pooled =
  (shape: number[], average: boolean, p: Pooling): Forward =>
  ([x]) => {
    const [n, h, w, c] = shape;
    const { kernel, stride, padding, countIncludePad = true } = p;
    const [oh, ow] = sizes(shape, p);
    return [
      Float64Array.from({ length: n * oh * ow * c }, (_, i) => {
        const [image, oy, ox] = [Math.floor(i / c / ow / oh), Math.floor(i / c / ow) % oh, Math.floor(i / c) % ow];
        const values: number[] = [];
        let padded = 0;
        for (let k = 0; k < kernel[0] * kernel[1]; k++) {
          const iy = oy * stride[0] - padding[0] + Math.floor(k / kernel[1]);
          const ix = ox * stride[1] - padding[1] + (k % kernel[1]);
          if (iy < h + padding[0] && ix < w + padding[1]) padded += 1;
          if (iy >= 0 && ix >= 0 && iy < h && ix < w) values.push(x[((image * h + iy) * w + ix) * c + (i % c)]);
        }
        const total = values.reduce((a, b) => a + b, 0);
        return average ? total / (countIncludePad ? padded : values.length) : Math.max(...values);
      }),
    ];
  };

const cases: [number[], Pooling][] = [
  [[2, 7, 9, 4], { kernel: [3, 3], stride: [2, 2], padding: [1, 1] }],
  [[1, 6, 5, 3], { kernel: [2, 2], stride: [2, 2], padding: [0, 0], ceilMode: true }],
  [[2, 5, 4, 2], { kernel: [3, 2], stride: [1, 3], padding: [1, 0], countIncludePad: false }],
  [[1, 1, 1, 1], { kernel: [3, 3], stride: [2, 2], padding: [1, 1] }],
  [[1, 8, 8, 5], { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceilMode: true }],
];

describe.each([false, true])('average %s', (average) => {
  it.each(cases)('%j %j', async (shape, options) => {
    const inputs = [{ data: random(31).array(sizeOf(shape)), shape }];
    const outputs = [[shape[0], ...sizes(shape, options), shape[3]]];
    const op = average ? 'avgPool2d' : 'maxPool2d';
    const given = { op, inputs, attributes: options, outputs, wanted: [0], forward: pooled(shape, average, options), depth: 12 };
    await expectGradients({ ...given, distance: 1e-6, floor: 1e-6 });
    if (shape[3] === 4)
      for (const margin of [3, 4]) await expectGradients({ ...given, distance: 1e-6, floor: 1e-6, margins: { 0: margin } });
  });
});

it('of equal cells the first in row-major order gets the whole gradient', async () => {
  const shape = [1, 4, 4, 4];
  // Pairs of rows alike: each window of 2x2 has equal cells.
  const data = Float32Array.from({ length: 64 }, (_, i) => [1, 1, 0, 2][Math.floor(i / 4) % 4]);
  const forward: Forward = () => [new Float64Array(16)];
  const options = { kernel: [2, 2], stride: [2, 2], padding: [0, 0] };
  const given = {
    op: 'maxPool2d',
    inputs: [{ data, shape }],
    attributes: options,
    outputs: [[1, 2, 2, 4]],
    wanted: [0],
    forward,
    depth: 1,
  };
  const { ours } = await gradientsOf(given);
  const seed = random(900).array(16);
  const expected = new Float32Array(64);
  for (const [window, cell] of [
    [0, 0],
    [1, 3],
    [2, 8],
    [3, 11],
  ]) {
    for (let c = 0; c < 4; c++) expected[cell * 4 + c] = seed[window * 4 + c];
  }
  expect([...ours[0]]).toEqual([...expected]);
});

it('globalAvgPool', async () => {
  const shape = [2, 5, 3, 4];
  const all: Pooling = { kernel: [5, 3], stride: [1, 1], padding: [0, 0] };
  const inputs = [{ data: random(32).array(sizeOf(shape)), shape }];
  await expectGradients({ op: 'globalAvgPool', inputs, outputs: [[2, 1, 1, 4]], wanted: [0], forward: pooled(shape, true, all), depth: 8 });
});
