import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset, readDataset } from '../../src/data/open.ts';
import type { DataProblemCode } from '../../src/data/problems.ts';
import { BackdropError } from '../../src/errors.ts';
import { type Files, jpeg, memoryDirectory, png } from './memory.ts';

interface Coco {
  images: unknown[];
  annotations: unknown[];
  categories: unknown[];
}
const image = { id: 7, file_name: 'a.png', width: 100, height: 80 };
const box = { id: 3, image_id: 7, category_id: 2, bbox: [10, 20.5, 30, 40], area: 900, iscrowd: 0 };
const categories = [
  { id: 5, name: 'dog' },
  { id: 2, name: 'cat' },
];
const good: Coco = { images: [image], annotations: [box], categories };
const json = (changes: Partial<Coco> = {}) => JSON.stringify({ ...good, ...changes });
const read = (files: Files) => readDataset(memoryDirectory(files), { checkImages: true });
/** A set of one file, its pictures beside it. */
const readOne = (text: string, files: Files = {}) => read({ 'train.json': text, 'a.png': png(100, 80), ...files });
const codes = async (result: ReturnType<typeof read>, code: DataProblemCode) =>
  (await result).problems.filter((problem) => problem.code === code);

describe('a COCO data set', () => {
  it('is read: labels by ascending category id, boxes and areas as they are', async () => {
    const { dataset, problems } = await openDataset(memoryDirectory({ 'train.json': json(), 'a.png': png(100, 80) }));
    expect(dataset).toEqual({
      format: 'coco',
      categories: [
        { id: 2, name: 'cat' },
        { id: 5, name: 'dog' },
      ],
      splits: new Map([
        [
          'train',
          [
            {
              id: 7,
              file: 'a.png',
              width: 100,
              height: 80,
              annotations: [{ id: 3, label: 0, box: [10, 20.5, 30, 40], area: 900, crowd: false }],
            },
          ],
        ],
      ]),
    });
    expect(problems.map(({ severity, code }) => [severity, code])).toEqual([['info', 'category-ids']]);
    expect(problems[0]!.message).toContain('2 → 0 cat, 5 → 1 dog');
  });

  it.each<[string, Files, [string, string][]]>([
    [
      'flat',
      { 'train.json': json(), 'val.json': json(), 'stats.json': '{"train": {}}', 'images/a.png': png(100, 80) },
      [
        ['train', 'images/a.png'],
        ['val', 'images/a.png'],
      ],
    ],
    [
      "Roboflow's",
      {
        'train/_annotations.coco.json': json(),
        'train/a.png': png(100, 80),
        'valid/_annotations.coco.json': json(),
        'valid/a.png': png(100, 80, 1),
      },
      [
        ['train', 'train/a.png'],
        ['val', 'valid/a.png'],
      ],
    ],
    [
      "COCO's own",
      {
        'annotations/instances_train2017.json': json(),
        'annotations/captions_train2017.json': '{}',
        'annotations/instances_val2017.json': json(),
        'train2017/a.png': png(100, 80),
        'val2017/a.png': png(100, 80, 1),
      },
      [
        ['train', 'train2017/a.png'],
        ['val', 'val2017/a.png'],
      ],
    ],
    [
      'with folders of splits below images',
      {
        'annotations/train.json': json(),
        'annotations/test.json': json(),
        'images/train/a.png': png(100, 80),
        'images/test/a.png': png(100, 80, 1),
      },
      [
        ['train', 'images/train/a.png'],
        ['test', 'images/test/a.png'],
      ],
    ],
    ['a single file', { 'labels.json': json(), 'pictures/deep/a.png': png(100, 80) }, [['train', 'pictures/deep/a.png']]],
    [
      'with Windows paths',
      { 'train.json': json({ images: [{ ...image, file_name: 'pictures\\a.png' }] }), 'pictures/a.png': png(100, 80), 'a.png': png(9, 9) },
      [['train', 'pictures/a.png']],
    ],
  ])('is found in the layout: %s', async (_, files, wanted) => {
    const { dataset, problems } = await read(files);
    expect([...dataset.splits].map(([split, [record]]) => [split, record?.file])).toEqual(wanted);
    expect(problems.filter(({ severity, code }) => severity !== 'info' && code !== 'leak')).toEqual([]);
  });

  it('leaves out the category that names a group in Roboflow exports', async () => {
    const group = [
      { id: 0, name: 'pets', supercategory: 'none' },
      ...categories.map((category) => ({ ...category, supercategory: 'pets' })),
    ];
    const { dataset, problems } = await readOne(json({ categories: group }));
    expect(dataset.categories.map(({ name }) => name)).toEqual(['cat', 'dog']);
    expect(problems.map(({ code }) => code)).toContain('placeholder-category');
  });

  it('says where its JSON is broken', async () => {
    const [problem] = await codes(readOne('{"images": [],\n "annotations": [}'), 'syntax');
    expect(problem).toMatchObject({ severity: 'error', file: 'train.json', line: 2 });
    expect(problem!.message).toMatch(/^train\.json:2:18: broken JSON: expected a value, near ".*annotations.*\[}"$/);
  });

  it('reads NaN as no number, and leaves the box out', async () => {
    const result = readOne(json().replace('20.5', 'NaN'));
    expect(await codes(result, 'json-nan')).toMatchObject([{ severity: 'warning', line: 1 }]);
    expect(await codes(result, 'box-dropped')).toHaveLength(1);
  });

  it.each<[string, Partial<Coco> | Record<string, unknown>, DataProblemCode, RegExp]>([
    ['a missing list', { categories: undefined }, 'shape', /"categories": expected a list, found nothing/],
    ['an object for a list', { images: {} }, 'shape', /"images": expected a list, found an object/],
    ['an image twice', { images: [image, image] }, 'duplicate-image', /image 7 is there twice/],
    ['a category twice', { categories: [...categories, categories[0]] }, 'duplicate-category', /category 5 is there twice/],
    ['an unknown image', { annotations: [{ ...box, image_id: 8 }] }, 'unknown-image', /annotation 3: there is no image 8/],
    ['an unknown category', { annotations: [{ ...box, category_id: 1 }] }, 'unknown-category', /annotation 3: there is no category 1/],
    ['a box of three numbers', { annotations: [{ ...box, bbox: [1, 2, 3] }] }, 'shape', /"bbox": expected .* found a list of 3/],
    [
      'an id that is text',
      { images: [{ ...image, id: '7' }] },
      'shape',
      /image at position 0: "id": expected a whole number, found the text "7"/,
    ],
    ['a category without a name', { categories: [{ id: 2 }] }, 'shape', /category 2: "name": expected text/],
  ])('with %s is an error', async (_, changes, code, message) => {
    const found = await codes(readOne(json(changes as Partial<Coco>)), code);
    expect(found[0]).toMatchObject({ severity: 'error', file: 'train.json', message: expect.stringMatching(message) });
    await expect(
      openDataset(memoryDirectory({ 'train.json': json(changes as Partial<Coco>), 'a.png': png(100, 80) })),
    ).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringMatching(message) });
  });

  it.each([
    [
      'an id 0',
      [
        { ...box, id: 0 },
        { ...box, id: 9 },
      ],
      /an id 0/,
    ],
    ['an id twice', [box, box], /1 ids that are there twice/],
    ['no id', [{ ...box, id: undefined }], /1 without an id/],
  ])('with %s in its annotations is renumbered', async (_, annotations, message) => {
    const { dataset, problems } = await readOne(json({ annotations }));
    expect(dataset.splits.get('train')![0]!.annotations.map(({ id }) => id)).toEqual(annotations.map((_, i) => i + 1));
    expect(problems.find(({ code }) => code === 'annotation-ids')).toMatchObject({
      severity: 'warning',
      message: expect.stringMatching(message),
    });
  });

  it('believes the pictures about their size, and says so', async () => {
    for (const size of [
      { width: 50, height: 80 },
      { width: undefined, height: undefined },
      { width: 0, height: -1 },
    ]) {
      const { dataset, problems } = await readOne(json({ images: [{ ...image, ...size }] }));
      expect(dataset.splits.get('train')![0]).toMatchObject({ width: 100, height: 80 });
      expect(problems.filter(({ code }) => code === 'image-size').map(({ severity }) => severity)).toEqual(
        size.width === undefined ? [] : ['warning'],
      );
    }
  });

  it('without a look into the pictures believes its labels', async () => {
    const directory = memoryDirectory({ 'train.json': json(), 'a.png': png(50, 50) });
    expect((await openDataset(directory)).dataset.splits.get('train')![0]).toMatchObject({ width: 100, height: 80 });
  });

  it('takes the upright size of a picture that EXIF turns', async () => {
    const images = [{ ...image, file_name: 'a.jpg' }];
    const asStored = await readOne(json({ images }), { 'a.jpg': jpeg(100, 80, 6) });
    expect(asStored.dataset.splits.get('train')![0]).toMatchObject({ width: 80, height: 100 });
    expect(asStored.problems.find(({ code }) => code === 'image-rotated')).toMatchObject({
      severity: 'warning',
      message: expect.stringContaining('unturned'),
    });
    const upright = await readOne(json({ images }), { 'a.jpg': jpeg(80, 100, 6) });
    expect(upright.problems.filter(({ code }) => code === 'image-rotated')).toMatchObject([{ severity: 'info' }]);
  });

  it.each<[string, Files[string], RegExp]>([
    ['empty', '', /is empty/],
    ['cut off', png(100, 80).slice(0, -8), /cut off/],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', /git lfs pull/],
    ['a web page', '<!DOCTYPE html><title>404</title>', /web page/],
    ['a TIFF', 'II*\0\u0008\0\0\0', /TIFF/],
    ['0 pixels wide', png(0, 80), /0 × 80/],
  ])('leaves out a picture that is %s', async (_, content, message) => {
    const two = json({ images: [image, { ...image, id: 8, file_name: 'b.png' }] });
    const { dataset, problems } = await readOne(two, { 'b.png': content });
    expect(dataset.splits.get('train')).toHaveLength(1);
    expect(problems.find(({ code }) => code === 'image-broken')).toMatchObject({
      severity: 'warning',
      file: 'b.png',
      message: expect.stringMatching(message),
    });
  });

  it('leaves out a picture that is not there; with none left the split is an error', async () => {
    const result = read({ 'train.json': json() });
    expect(await codes(result, 'image-missing')).toMatchObject([{ severity: 'warning', id: 7 }]);
    expect(await codes(result, 'split-empty')).toMatchObject([{ severity: 'error' }]);
  });

  it.each<[number[], DataProblemCode | undefined, number[] | undefined]>([
    [[90, 70, 10, 10], undefined, [90, 70, 10, 10]],
    [[90, 70, 10.9, 10.9], undefined, [90, 70, 10.9, 10.9]],
    [[90, 70, 20, 10], 'box-clipped', [90, 70, 10, 10]],
    [[-5, -3, 10, 10], 'box-clipped', [0, 0, 5, 7]],
    [[100, 10, 20, 10], 'box-dropped', undefined],
    [[10, 10, 0, 10], 'box-dropped', undefined],
    [[10, 10, 5, -1], 'box-dropped', undefined],
  ])('box %j: %s', async (bbox, code, kept) => {
    const { dataset, problems } = await readOne(json({ annotations: [{ ...box, bbox, area: undefined }] }));
    const [found] = dataset.splits.get('train')![0]!.annotations;
    expect(found?.box).toEqual(kept);
    if (found) expect(found.area).toBe(found.box[2] * found.box[3]);
    expect(problems.filter(({ code }) => code.startsWith('box-')).map(({ code }) => code)).toEqual(code ? [code] : []);
  });

  it('warns of more boxes than there are queries', async () => {
    const annotations = Array.from({ length: 301 }, (_, i) => ({ ...box, id: i + 1 }));
    expect(await codes(readOne(json({ annotations })), 'crowded-image')).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('301') },
    ]);
    expect(await codes(readOne(json({ annotations: annotations.slice(1) })), 'crowded-image')).toEqual([]);
  });

  it('refuses files that disagree on a category or a split', async () => {
    const other = json({ categories: [{ id: 2, name: 'Cat' }, categories[0]] });
    const files = { 'train.json': json(), 'val.json': other, 'a.png': png(100, 80) };
    expect(await codes(read(files), 'category-names')).toMatchObject([
      { severity: 'error', message: expect.stringContaining('"Cat" here and "cat" in train.json') },
    ]);
    expect(await codes(read({ 'train.json': json(), 'train2.json': json(), 'a.png': png(100, 80) }), 'split-clash')).toMatchObject([
      { severity: 'error' },
    ]);
  });

  it('takes no other JSON for its own, unless its name says so', async () => {
    const files = { 'train.json': json(), 'val_results.json': '[]', 'package.json': '{}', 'a.png': png(100, 80) };
    expect((await read(files)).problems.filter(({ code }) => code !== 'category-ids')).toMatchObject([
      { severity: 'info', code: 'file-ignored', file: 'val_results.json' },
    ]);
    expect(await codes(read({ ...files, 'val.json': '{}' }), 'shape')).toMatchObject([
      { file: 'val.json' },
      { file: 'val.json' },
      { file: 'val.json' },
    ]);
  });

  it('that is none says so', async () => {
    await expect(openDataset(memoryDirectory({ 'notes.txt': 'x', 'a.png': png(1, 1) }))).rejects.toMatchObject({
      code: 'E_DATA',
      message: 'no labels of a known format among 2 files (1 pictures)',
    });
  });
});

describe('any JSON', () => {
  const readAny = async (text: string) => {
    try {
      await readOne(text);
    } catch (error) {
      expect(error).toBeInstanceOf(BackdropError);
    }
  };
  it('gives a data set or problems', async () => {
    const row = fc.oneof(
      fc.jsonValue(),
      fc.record({
        id: fc.integer(),
        image_id: fc.constantFrom(7, 8),
        category_id: fc.constantFrom(2, null),
        bbox: fc.array(fc.double(), { maxLength: 5 }),
      }),
      fc.constantFrom(image, box, categories[0]),
    );
    const file = fc.record({ images: fc.array(row), annotations: fc.array(row), categories: fc.oneof(fc.array(row), fc.jsonValue()) });
    await fc.assert(fc.asyncProperty(file, (value) => readAny(JSON.stringify(value))));
  });

  it('cut off or with a character changed gives a place', async () => {
    const text = json();
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length), fc.nat(3), fc.string({ maxLength: 3 }), (at, drop, insert) =>
        readAny(text.slice(0, at) + insert + text.slice(at + drop)),
      ),
    );
  });

  it('however deep', () => readAny(`${'['.repeat(200_000)}!`));
});
