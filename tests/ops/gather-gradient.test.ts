import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward, gradientsOf } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

/** x [images, rows, columns] by indices [images or 1, count]. */
const gathered =
  ([xn, rows, columns]: number[], [n, count]: number[], skip = -1, fixed?: Float64Array): Forward =>
  ([x, indices]) => {
    const images = Math.max(xn, n);
    return [
      Float64Array.from({ length: images * count * columns }, (_, i) => {
        const [image, k] = [Math.floor(i / columns / count), Math.floor(i / columns) % count];
        const row = indices[(n === 1 ? 0 : image) * count + k];
        const at = ((xn === 1 ? 0 : image) * rows + row) * columns + (i % columns);
        // A row without gradient is a constant.
        return row === skip ? fixed![at] : x[at];
      }),
    ];
  };

describe('gatherRows', () => {
  it.each<[number[], number[]]>([
    [
      [2, 9, 4],
      [2, 5],
    ],
    [
      [2, 3, 5],
      [2, 20],
    ],
    [
      [1, 7, 3],
      [3, 2],
    ],
    [
      [1, 3, 8],
      [2, 6],
    ],
    [
      [3, 6, 4],
      [1, 4],
    ],
    [
      [1, 1, 1],
      [1, 1],
    ],
  ])('%j by %j', async (shape, picks) => {
    const r = random(51);
    const inputs = [
      { data: r.array(sizeOf(shape)), shape },
      { data: r.indices(sizeOf(picks), shape[1]), shape: [...picks, 1] },
    ];
    const outputs = [[Math.max(shape[0], picks[0]), picks[1], shape[2]]];
    const given = { op: 'gatherRows', inputs, outputs, wanted: [0], forward: gathered(shape, picks), depth: 30 };
    const { kernels } = await expectGradients(given);
    const sources = shape[0] === 1 ? sizeOf(picks) : picks[1];
    expect(kernels.includes('copy/clear')).toBe(sources < shape[1]);
  });
});

it.each([20, 4])('embedding: the padding row has no gradient, of %i entries', async (entries) => {
  const r = random(52);
  const weight = { data: r.array(entries * 5), shape: [entries, 5], parameter: true };
  const indices = { data: Uint32Array.from({ length: 14 }, (_, i) => (i % 3 === 0 ? 2 : r.integer(entries))), shape: [2, 7, 1] };
  const forward = gathered([1, entries, 5], [2, 7], 2, Float64Array.from(weight.data));
  const given = { op: 'embedding', inputs: [weight, indices], outputs: [[2, 7, 5]], wanted: [0], forward, depth: 20 };
  const { ours } = await expectGradients({ ...given, attributes: { padding: 2 } });
  expect([...ours[0].subarray(10, 15)]).toEqual([0, 0, 0, 0, 0]);
  const without = await gradientsOf(given);
  expect([...without.ours[0].subarray(10, 15)]).not.toContain(0);
});

it.each([1, 3])('scatterAdd with %i indices a row', async (width) => {
  const r = random(53);
  const inputs = [
    { data: r.array(2 * 4 * 3), shape: [2, 4, 3] },
    { data: r.array(2 * 6 * 3), shape: [2, 6, 3] },
    { data: r.indices(2 * 6 * width, 4), shape: [2, 6, width] },
  ];
  const forward: Forward = ([x, source, indices]) => {
    const y = Float64Array.from(x);
    source.forEach((v, i) => {
      const row = indices[width === 1 ? Math.floor(i / 3) : i];
      y[(Math.floor(i / 18) * 4 + row) * 3 + (i % 3)] += v;
    });
    return [y];
  };
  await expectGradients({ op: 'scatterAdd', inputs, outputs: [[2, 4, 3]], wanted: [0, 1], forward, depth: 8 });
});

it.each([[[2, 9]], [[2, 9, 1]]])('topk of %j: the chosen scores get the gradients', async (shape) => {
  const inputs = [{ data: random(54).array(18), shape }];
  const forward: Forward = ([x]) => [
    Float64Array.from([0, 1].flatMap((n) => [...x.subarray(n * 9, n * 9 + 9)].sort((a, b) => b - a).slice(0, 4))),
  ];
  await expectGradients({
    op: 'topk',
    inputs,
    attributes: { k: 4 },
    outputs: [[2, 4, 1]],
    wanted: [0],
    forward,
    distance: 1e-6,
    depth: 8,
    floor: 1e-6,
  });
});

it('unfold', async () => {
  const [n, h, w, c] = [2, 5, 4, 3];
  const [oh, ow] = [3, 3];
  const attributes = { kernel: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 1] };
  const forward: Forward = ([x]) => [
    Float64Array.from({ length: n * oh * ow * 6 * c }, (_, i) => {
      const [tap, at] = [Math.floor(i / c) % 6, Math.floor(i / c / 6)];
      const [iy, ix] = [(Math.floor(at / ow) % oh) * 2 - 1 + Math.floor(tap / 2), (at % ow) + (tap % 2)];
      return iy < 0 || iy >= h || ix >= w ? 0 : x[((Math.floor(at / ow / oh) * h + iy) * w + ix) * c + (i % c)];
    }),
  ];
  const inputs = [{ data: random(55).array(n * h * w * c), shape: [n, h, w, c] }];
  await expectGradients({ op: 'unfold', inputs, attributes, outputs: [[n, oh, ow, 6 * c]], wanted: [0], forward, depth: 12 });
});
