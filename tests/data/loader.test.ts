import { describe, expect, it } from 'vitest';
import { rtDetrAugmentation } from '../../src/data/augment/augment.ts';
import { imageFrame } from '../../src/data/augment/frame.ts';
import { resample } from '../../src/data/augment/resample.ts';
import type { ImageRecord } from '../../src/data/dataset.ts';
import { page } from '../setup/gpu.ts';
import { picture } from './augment/picture.ts';
import { digest } from './digest.ts';
import type { LoadAnswer, LoadRequest } from './loader.page.ts';

const records: ImageRecord[] = Array.from({ length: 7 }, (_, i) => {
  const [width, height] = [40 + 3 * i, 60 - 4 * i];
  const annotation = { id: i, label: i % 3, area: 100, crowd: false };
  return {
    id: 100 + i,
    file: `images/${i}.png`,
    width,
    height,
    annotations: [
      { ...annotation, box: [2, 3, 20, 10] },
      { ...annotation, id: 50 + i, box: [width - 8, height - 9, 40, 40] },
      { ...annotation, id: 90 + i, crowd: true, box: [0, 0, width, height] },
    ],
  };
});
const training = { batch: 2, size: [32, 48], augmentation: rtDetrAugmentation, seed: 5, shuffle: true, dropLast: true } as const;
const evaluation = { batch: 3, size: [32, 48], augmentation: null, seed: 0, shuffle: false } as const;

const load = (request: Omit<LoadRequest, 'records'>, images = records) =>
  page.call<LoadAnswer>('load batches', { records: images, ...request });
const digested = (batches: LoadAnswer['batches']) => batches.map((batch) => ({ ...batch, image: digest(batch.image) }));
const ids = ({ batches }: LoadAnswer) => batches.map((batch) => batch.records.map(({ id }) => id));

describe('a loader for evaluation', () => {
  it("gives every image once, in order, with detect's pixels and the targets that are to be found", async () => {
    const answer = await load({ options: evaluation, take: [[0, 0]] });
    expect(ids(answer)).toEqual([[100, 101, 102], [103, 104, 105], [106]]);
    for (const { image, targets, records: of, height, width } of answer.batches) {
      expect([height, width, image.length]).toEqual([32, 48, of.length * 32 * 48 * 3]);
      of.forEach((record, i) => {
        const size = { resized: [32, 48], output: [32, 48] } as const;
        const expected = resample(picture(record.width, record.height), imageFrame(record.width, record.height), size);
        expect(digest(image.subarray(i * expected.length, (i + 1) * expected.length))).toBe(digest(expected));
        const { width: w, height: h } = record;
        const boxes = [12 / w, 8 / h, 20 / w, 10 / h, 1 - 4 / w, 1 - 4.5 / h, 8 / w, 9 / h];
        // Sums and quotients of float64, then one rounding to float32.
        boxes.forEach((v, k) => {
          expect(Math.abs(v - targets[i].boxes[k])).toBeLessThan(2 ** -23);
        });
        expect([...targets[i].labels]).toEqual([(record.id - 100) % 3, (record.id - 100) % 3]);
      });
    }
    expect(answer.stats).toMatchObject({ batches: 3, images: 7 });
  });
});

describe('a loader for training', () => {
  it('shuffles each epoch by the seed, and leaves out what does not fill a batch', async () => {
    const [first, second] = [
      await load({
        options: training,
        take: [
          [0, 0],
          [1, 0],
        ],
      }),
      await load({ options: training, take: [[1, 0]] }),
    ];
    const epochs = [ids(first).slice(0, 3).flat(), ids(first).slice(3).flat()];
    for (const epoch of epochs) expect(new Set(epoch).size).toBe(6);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(digested(second.batches)).toEqual(digested(first.batches.slice(3)));
    const other = await load({ options: { ...training, seed: 6 }, take: [[0, 0]] });
    expect(ids(other).flat()).not.toEqual(epochs[0]);
  });

  it('goes on in the middle of an epoch with the batches that would have come', async () => {
    const whole = await load({ options: training, take: [[3, 0]] });
    const rest = await load({ options: training, take: [[3, 1]] });
    const interrupted = await load({
      options: { ...training, lookAhead: 0 },
      take: [
        [3, 0, 1],
        [3, 1],
      ],
    });
    expect(digested(rest.batches)).toEqual(digested(whole.batches.slice(1)));
    expect(digested(interrupted.batches)).toEqual(digested(whole.batches));
  });

  it('decodes an image once as long as there is room for it', async () => {
    const options = { ...training, lookAhead: 0 };
    const kept = await load({
      options,
      take: [
        [0, 0],
        [1, 0],
        [2, 0],
      ],
    });
    expect(new Set(kept.read).size).toBe(kept.read.length);
    const none = await load({
      options: { ...options, cacheBytes: 0 },
      take: [
        [0, 0],
        [1, 0],
        [2, 0],
      ],
    });
    expect(none.read.length).toBe(18);
    expect(digested(none.batches)).toEqual(digested(kept.batches));
  });
});

describe('multi-scale', () => {
  const size = { base: [64, 64], sizes: [32, 64, 96], stopEpoch: 1 } as const;
  const options = { ...training, batch: 1, size };

  it('draws a size for each batch, and none from the stop epoch on', async () => {
    const { batches } = await load({
      options,
      take: [
        [0, 0],
        [1, 0],
      ],
    });
    for (const { height, width, image } of batches) expect([height, image.length]).toEqual([width, 3 * width * width]);
    expect(new Set(batches.slice(0, 7).map(({ width }) => width)).size).toBeGreaterThan(1);
    expect(new Set(batches.slice(7).map(({ width }) => width))).toEqual(new Set([64]));
    const later = await load({ options, take: [[0, 5]] });
    expect(digested(later.batches)).toEqual(digested(batches.slice(5, 7)));
  });

  it('changes the pixels of a batch, not its boxes', async () => {
    const scaled = await load({ options: { ...options, size: { ...size, sizes: [96] } }, take: [[0, 0, 1]] });
    const fixed = await load({ options: { ...options, size: [64, 64] }, take: [[0, 0, 1]] });
    expect(scaled.batches[0].targets).toEqual(fixed.batches[0].targets);
    expect(new Set(scaled.batches[0].image)).toEqual(new Set(fixed.batches[0].image));
  });
});

describe('workers', () => {
  it.each([1, 2, 3])('%i give the batches that the page gives', async (workers) => {
    const take: LoadRequest['take'] = [
      [0, 1],
      [1, 0],
      [2, 0, 2],
    ];
    const alone = await load({ options: training, take });
    const together = await load({ options: { ...training, lookAhead: 1 + workers }, workers, take });
    expect(digested(together.batches)).toEqual(digested(alone.batches));
    expect(together.stats.decodeMs).toBeGreaterThan(0);
  });

  it('are not sent the file of an image that they keep', async () => {
    const take: LoadRequest['take'] = [
      [0, 0],
      [1, 0],
      [2, 0],
    ];
    const options = { ...training, lookAhead: 0 };
    const kept = await load({ options, workers: 2, take });
    expect(new Set(kept.read).size).toBe(kept.read.length);
    const none = await load({ options: { ...options, cacheBytes: 0 }, workers: 2, take });
    expect(none.read.length).toBe(18);
    expect(digested(none.batches)).toEqual(digested(kept.batches));
  });

  it('whose script is not there give E_DATA', async () => {
    const error = await load({ options: training, workers: 2, script: 'no-such-worker.js', take: [[0, 0]] }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(/A worker that loads images stopped/) });
  });
});

it.each([0, 2])('a loader with %i workers that is closed gives E_INPUT to who waits and who comes', async (workers) => {
  const [waiting, later] = await page.call<string[]>('close loader', { records, options: evaluation, workers });
  expect(waiting).toBe('E_INPUT The loader of images is closed.');
  expect(later).toBe(waiting);
});

it.each([
  ['no images', { ...evaluation }, [], /0 images make no batch of 3/],
  ['fewer images than a batch', { ...training, batch: 8 }, records, /7 images make no batch of 8/],
  ['a batch of 1.5', { ...training, batch: 1.5 }, records, /images of a batch is 1.5/],
  ['a height of 0', { ...training, size: [0, 32] as const }, records, /height of a batch is 0/],
  [
    'no sizes',
    { ...training, size: { base: [32, 32], sizes: [], stopEpoch: null } as const },
    records,
    /sizes of multi-scale training are \[\]/,
  ],
  ['a negative seed', { ...training, seed: -1 }, records, /seed is -1/],
  [
    'an augmentation out of range',
    { ...training, augmentation: { ...rtDetrAugmentation, horizontalFlip: 2 } },
    records,
    /horizontalFlip is 2/,
  ],
  ['a look-ahead of NaN', { ...training, lookAhead: Number.NaN }, records, /lookAhead is NaN/],
])('%s gives E_INPUT', async (_, options, images, message) => {
  const error = await page.call('construct loader', { records: images, options }).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(message) });
});

describe('a file', () => {
  it.each([
    ['that is gone', { missing: ['images/4.png'] }, /images\/4\.png: there is no such file/],
    ['that is cut off', { damaged: ['images/4.png'] }, /images\/4\.png: .*damaged/],
  ])('%s gives E_DATA with its name, after the batches before it', async (_, files, message) => {
    for (const workers of [0, 2]) {
      const error = await load({ options: evaluation, workers, take: [[0, 0]], ...files }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(message), details: { file: 'images/4.png' } });
      expect(ids(await load({ options: evaluation, take: [[0, 0, 1]], ...files }))).toEqual([[100, 101, 102]]);
    }
  });

  it.each([0, 2])('of another size than its labels tell gives E_DATA (%i workers)', async (workers) => {
    const wrong = records.map((record) => (record.id === 104 ? { ...record, width: record.width + 1 } : record));
    const files = records.map(({ file, width, height }) => ({ file, width, height }));
    const error = await load({ options: evaluation, workers, take: [[0, 0]], files }, wrong).catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: 'E_DATA',
      message: expect.stringMatching(/images\/4\.png: the picture has 52 x 44 pixels, its labels are for 53 x 44/),
      details: { file: 'images/4.png' },
    });
  });

  it('of more than 100 megapixels is not decoded', async () => {
    const huge = [{ ...records[0], width: 20_000, height: 20_000 }];
    const files = [records[0]];
    const error = await load({ options: evaluation, take: [[0, 0]], files }, huge).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(/more than 100 megapixels/) });
  });

  it('turned by EXIF is decoded upright, with the pixels that detect sees', async () => {
    const jpeg = await page.call<Uint8Array>('make picture', { type: 'image/jpeg', width: 64, height: 32 });
    // 6: to be turned by 90 degrees clockwise.
    const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];
    const exif = [0xff, 0xe1, 0, tiff.length + 8, 0x45, 0x78, 0x69, 0x66, 0, 0, ...tiff];
    const file = new Uint8Array([0xff, 0xd8, ...exif, ...jpeg.subarray(2)]);
    const decoded = await page.call('decode twice', { file, width: 32, height: 64 });
    expect(decoded).toEqual({ loader: [32, 64], detect: [32, 64], same: true });
    const error = await page.call('decode twice', { file, width: 64, height: 32 }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(/has 32 x 64 pixels, its labels are for 64 x 32/) });
  });
});
