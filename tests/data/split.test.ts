import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkDataset } from '../../src/data/check.ts';
import type { Dataset, ImageRecord } from '../../src/data/dataset.ts';
import { findDuplicates } from '../../src/data/duplicates.ts';
import { datasetHash } from '../../src/data/hash.ts';
import { openDataset } from '../../src/data/open.ts';
import { splitDataset } from '../../src/data/split.ts';
import { datasetStats } from '../../src/data/stats.ts';
import { type Files, memoryDirectory, png } from './memory.ts';

/** One image for each list of labels. */
const set = (labels: readonly (readonly number[])[], classes = 3): Dataset => ({
  format: 'coco',
  categories: Array.from({ length: classes }, (_, i) => ({ id: i + 1, name: `class ${i}` })),
  splits: new Map([
    [
      'train',
      labels.map(
        (some, i): ImageRecord => ({
          id: i + 1,
          file: `${i}.png`,
          width: 100,
          height: 50,
          annotations: some.map((label, k) => ({
            id: 10 * i + k + 1,
            label,
            box: [0, 0, 10 + label, 10],
            area: 100 + 10 * label,
            crowd: false,
          })),
        }),
      ),
    ],
  ]),
});
const sizes = (dataset: Dataset) => [...dataset.splits].map(([split, records]) => [split, records.length]);
const files = (dataset: Dataset) => [...dataset.splits].map(([split, records]) => [split, records.map(({ file }) => file)]);
const fractions = { train: 0.6, val: 0.2, test: 0.2 };

describe('a split', () => {
  it('has exact sizes and every image once, whatever the classes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat(2), { maxLength: 3 }), { minLength: 3, maxLength: 60 }),
        fc.nat(),
        fc.double({ min: 0.05, max: 0.45, noNaN: true }),
        (labels, seed, val) => {
          const parts = splitDataset(set(labels), { fractions: { train: 1 - 2 * val, val, test: val }, seed });
          expect(
            [...parts.splits.values()]
              .flat()
              .map(({ file }) => file)
              .sort(),
          ).toEqual(labels.map((_, i) => `${i}.png`).sort());
          expect(
            [...parts.splits.values()]
              .flat()
              .map(({ id }) => id)
              .sort((a, b) => a - b),
          ).toEqual(labels.map((_, i) => i + 1));
          const wanted = { train: 1 - 2 * val, val, test: val };
          for (const [split, records] of parts.splits) {
            expect(records.length).toBeGreaterThanOrEqual(1);
            if (labels.length * val >= 1) expect(Math.abs(records.length - wanted[split] * labels.length)).toBeLessThan(1);
          }
        },
      ),
    );
  });

  it('divides a rare class alike', () => {
    // 10 images of class 0 among 100; by lot alone a val of 20 has none of them in one case of ten.
    const labels = Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? [0, 1] : i % 3 === 0 ? [] : [1, 2]));
    for (let seed = 0; seed < 20; seed++) {
      const { splits } = splitDataset(set(labels), { fractions, seed });
      const counts = [...splits.values()].map(
        (records) => records.filter(({ annotations }) => annotations.some(({ label }) => label === 0)).length,
      );
      expect(counts).toEqual([6, 2, 2]);
      const empty = [...splits.values()].map((records) => records.filter(({ annotations }) => annotations.length === 0).length);
      expect(empty).toEqual([18, 6, 6]);
    }
  });

  it('is the same for the same seed, and another for another', () => {
    const labels = Array.from({ length: 50 }, (_, i) => [i % 3]);
    const one = splitDataset(set(labels), { fractions, seed: 5 });
    expect(files(splitDataset(set(labels), { fractions, seed: 5 }))).toEqual(files(one));
    expect(files(splitDataset(set(labels), { fractions, seed: 6 }))).not.toEqual(files(one));
    // Held fixed: whoever has split a set by its seed finds the same images again.
    expect(one.splits.get('test')!.map(({ file }) => file)).toEqual([5, 6, 11, 13, 22, 24, 27, 28, 36, 47].map((i) => `${i}.png`));
  });

  it('keeps together what belongs together', () => {
    const labels = Array.from({ length: 40 }, (_, i) => [i % 3]);
    const together = new Map(labels.map((_, i) => [`${i}.png`, `pair ${i >> 1}`]));
    const { splits } = splitDataset(set(labels), { fractions, seed: 1, together });
    for (const records of splits.values()) {
      const names = new Set(records.map(({ file }) => file));
      for (const { file } of records) expect(names.has(`${Number.parseInt(file, 10) ^ 1}.png`)).toBe(true);
    }
    expect(sizes({ ...set([]), splits })).toEqual([
      ['train', 24],
      ['val', 8],
      ['test', 8],
    ]);
  });

  it('makes no split of nothing, and refuses what cannot be', () => {
    expect(sizes(splitDataset(set([[0], [1]]), { fractions: { train: 0.9, val: 0.1, test: 0 }, seed: 0 }))).toEqual([
      ['train', 1],
      ['val', 1],
    ]);
    expect(() => splitDataset(set([[0], [1]]), { fractions, seed: 0 })).toThrow('2 images cannot be divided among 3 splits');
    expect(() => splitDataset(set([[0]]), { fractions: { train: 0.9, val: 0.2, test: 0 }, seed: 0 })).toThrow('together 1');
    expect(() => splitDataset(set([[0]]), { fractions: { train: 1.2, val: -0.2, test: 0 }, seed: 0 })).toThrow('0 or more');
  });
});

const json = (names: string[], box = [1, 2, 3, 4]) =>
  JSON.stringify({
    images: names.map((file_name, i) => ({ id: i + 1, file_name, width: 9, height: 9 })),
    annotations: names.map((_, i) => ({ id: i + 1, image_id: i + 1, category_id: 1, bbox: box })),
    categories: [{ id: 1, name: 'x' }],
  });
const twins: Files = {
  'train.json': json(['a.png', 'b.png']),
  'val.json': json(['c.png', 'd.png']),
  'a.png': png(9, 9),
  'b.png': png(9, 9, 2),
  'c.png': png(9, 9, 3),
  'd.png': png(9, 9),
};

describe('the check', () => {
  it('finds the same picture in two splits under two names', async () => {
    const { problems, counts } = await checkDataset(memoryDirectory(twins));
    expect(problems.filter(({ code }) => code === 'leak')).toEqual([
      { severity: 'warning', code: 'leak', file: 'd.png', id: 2, message: 'd.png: the same picture is in train as a.png' },
    ]);
    expect(counts).toEqual({ error: 0, warning: 1, info: 0 });
    const directory = memoryDirectory(twins);
    const found = await findDuplicates((await openDataset(directory)).dataset, directory);
    expect([...found.keys()].sort()).toEqual(['a.png', 'd.png']);
  });
});

describe('the hash of a data set', () => {
  const hashOf = async (changes: Files) => {
    const directory = memoryDirectory({ ...twins, ...changes });
    return datasetHash((await openDataset(directory)).dataset, directory);
  };
  it('changes with anything that training sees, and with nothing else', async () => {
    const hash = await hashOf({});
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashOf({ 'notes.txt': 'x', 'train.json': `${json(['a.png', 'b.png'])}\n` })).toBe(hash);
    const others = await Promise.all([
      hashOf({ 'train.json': json(['a.png', 'b.png'], [1, 2, 3, 4.0001]) }),
      hashOf({ 'train.json': json(['b.png', 'a.png']) }),
      hashOf({ 'train.json': json(['a.png']) }),
      hashOf({ 'train.json': json(['a.png', 'b.png']).replace('"x"', '"y"'), 'val.json': json(['c.png', 'd.png']).replace('"x"', '"y"') }),
      hashOf({ 'train.json': json(['a.png', 'b.png']).replace('"width":9', '"width":8') }),
      hashOf({ 'b.png': new Uint8Array([...png(9, 9, 2), 0]) }),
    ]);
    expect(new Set([hash, ...others]).size).toBe(7);
  });
});

describe('statistics', () => {
  it('count what there is', () => {
    const dataset = set([[0, 0, 1], [1], []]);
    const [train] = dataset.splits.values();
    const crowd = { ...train![0]!.annotations[0]!, crowd: true, area: 5 };
    const [stats] = datasetStats({ ...dataset, splits: new Map([['train', [...train!, { ...train![2]!, annotations: [crowd] }]]]) });
    expect(stats).toEqual({
      split: 'train',
      images: 4,
      boxes: 4,
      crowds: 1,
      background: 1,
      classes: [
        { name: 'class 0', images: 1, boxes: 2 },
        { name: 'class 1', images: 2, boxes: 2 },
        { name: 'class 2', images: 0, boxes: 0 },
      ],
      small: 4,
      medium: 0,
      large: 0,
      boxesPerImage: [0, 0, 1, 1, 3],
      relativeSize: [10 * Math.sqrt(200), 10 * Math.sqrt(200), 10 * Math.sqrt(200), 10 * Math.sqrt(220), 10 * Math.sqrt(220)].map((value) =>
        expect.closeTo(value / 10, 10),
      ),
      aspect: [1, 1, 1, 1.1, 1.1],
      imageWidth: [100, 100, 100, 100, 100],
      imageHeight: [50, 50, 50, 50, 50],
    });
  });

  it('know COCO’s bounds of small, medium and large', () => {
    const areas = [1023.9, 1024, 9216, 9216.1];
    const base = set([[0, 0, 0, 0]]);
    const record = base.splits.get('train')![0]!;
    const annotations = record.annotations.map((annotation, i) => ({ ...annotation, area: areas[i]! }));
    expect(datasetStats({ ...base, splits: new Map([['val', [{ ...record, annotations }]]]) })[0]).toMatchObject({
      small: 1,
      medium: 2,
      large: 1,
    });
  });
});
