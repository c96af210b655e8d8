import { it } from 'vitest';
import { expectGradients, type Forward } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

type Mode = 'nearest' | 'half pixels' | 'corners';

const resized =
  ([n, h, w, c]: number[], [oh, ow]: number[], mode: Mode): Forward =>
  ([x]) => {
    const lines = (at: number, input: number, output: number): [number, number][] => {
      if (mode === 'nearest') return [[Math.min(Math.floor((at * input) / output), input - 1), 1]];
      const half = Math.max(((at + 0.5) * input) / output - 0.5, 0);
      const place = mode === 'corners' ? (output > 1 ? (at * (input - 1)) / (output - 1) : 0) : half;
      const low = Math.min(Math.floor(place), input - 1);
      return [
        [low, 1 - (place - low)],
        [Math.min(low + 1, input - 1), place - low],
      ];
    };
    return [
      Float64Array.from({ length: n * oh * ow * c }, (_, i) => {
        const [image, oy, ox] = [Math.floor(i / c / ow / oh), Math.floor(i / c / ow) % oh, Math.floor(i / c) % ow];
        let sum = 0;
        for (const [y, a] of lines(oy, h, oh)) {
          for (const [xx, b] of lines(ox, w, ow)) sum += a * b * x[((image * h + y) * w + xx) * c + (i % c)];
        }
        return sum;
      }),
    ];
  };

const sizes: [number[], number[]][] = [
  [
    [2, 3, 5, 4],
    [6, 10],
  ],
  [
    [1, 7, 4, 3],
    [3, 3],
  ],
  [
    [1, 4, 3, 2],
    [13, 1],
  ],
  [
    [1, 1, 1, 4],
    [3, 2],
  ],
  [
    [1, 10, 12, 1],
    [7, 9],
  ],
  [
    [1, 5, 2, 4],
    [1, 7],
  ],
];

it.each((['nearest', 'half pixels', 'corners'] as const).flatMap((mode) => sizes.map(([shape, size]) => [mode, shape, size] as const)))(
  '%s %j to %j',
  async (mode, shape, size) => {
    const inputs = [{ data: random(41).array(sizeOf(shape)), shape }];
    const given = {
      op: mode === 'nearest' ? 'resizeNearest' : 'resizeBilinear',
      inputs,
      attributes: { size, ...(mode === 'corners' && { alignCorners: true }) },
      outputs: [[shape[0], ...size, shape[3]]],
      wanted: [0],
      forward: resized([...shape], [...size], mode),
      depth: 60,
    };
    await expectGradients(given);
  },
);

it('reads windows', async () => {
  const inputs = [{ data: random(42).array(24), shape: [1, 2, 3, 4] }];
  const given = { op: 'resizeBilinear', inputs, attributes: { scale: 2 }, outputs: [[1, 4, 6, 4]], wanted: [0], depth: 60 };
  for (const margin of [3, 4])
    await expectGradients({ ...given, forward: resized([1, 2, 3, 4], [4, 6], 'half pixels'), margins: { 0: margin, seed: margin } });
});
