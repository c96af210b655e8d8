import { describe, expect, it } from 'vitest';
import { rtDetrAugmentation } from '../../src/data/augment/augment.ts';
import { imageFrame } from '../../src/data/augment/frame.ts';
import { resample } from '../../src/data/augment/resample.ts';
import type { ImageRecord } from '../../src/data/dataset.ts';
import { page } from '../setup/gpu.ts';
import { picture } from './augment/picture.ts';
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
        expect(image.subarray(i * expected.length, (i + 1) * expected.length)).toEqual(expected);
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
    expect(second.batches).toEqual(first.batches.slice(3));
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
    expect(rest.batches).toEqual(whole.batches.slice(1));
    expect(interrupted.batches).toEqual(whole.batches);
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
    expect(none.batches).toEqual(kept.batches);
  });
});

describe('a file', () => {
  it.each([
    ['that is gone', { missing: ['images/4.png'] }, /images\/4\.png: there is no such file/],
    ['that is cut off', { damaged: ['images/4.png'] }, /images\/4\.png: .*damaged/],
  ])('%s gives E_DATA with its name, after the batches before it', async (_, files, message) => {
    const error = await load({ options: evaluation, take: [[0, 0]], ...files }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(message), details: { file: 'images/4.png' } });
    expect(ids(await load({ options: evaluation, take: [[0, 0, 1]], ...files }))).toEqual([[100, 101, 102]]);
  });
});
