import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type OpenOptions, openDataset, readDataset } from '../../src/data/open.ts';
import type { DataProblemCode } from '../../src/data/problems.ts';
import { BackdropError } from '../../src/errors.ts';
import { type Files, jpeg, memoryDirectory, png } from './memory.ts';

const yaml = 'train: images/train\nval: images/val\nnames: [cat, dog]\n';
const base: Files = {
  'data.yaml': yaml,
  'images/train/a.png': png(200, 100),
  'labels/train/a.txt': '1 0.5 0.5 0.25 0.5\n',
  'images/val/b.png': png(200, 100, 1),
  'labels/val/b.txt': '0 0.1 0.2 0.2 0.4\n1 0.5 0.5 1 1\n',
};
const read = (files: Files, options: OpenOptions = {}) => readDataset(memoryDirectory(files), options);
const rows = (text: string, files: Files = {}) => read({ ...base, 'labels/train/a.txt': text, ...files });
const wrong = async (result: ReturnType<typeof read>, code: DataProblemCode) =>
  (await result).problems.filter((problem) => problem.code === code).map(({ severity, message }) => `${severity} ${message}`);
const filesOf = async (result: ReturnType<typeof read>) =>
  [...(await result).dataset.splits].map(([split, records]) => [
    split,
    ...records.map(({ file, annotations }) => `${file} ${annotations.length}`),
  ]);

describe('a YOLO data set', () => {
  it('is read: boxes in pixels of the picture', async () => {
    const { dataset, problems } = await openDataset(memoryDirectory(base));
    expect(dataset.categories).toEqual([
      { id: 0, name: 'cat' },
      { id: 1, name: 'dog' },
    ]);
    expect(dataset.splits.get('train')).toEqual([
      {
        id: 1,
        file: 'images/train/a.png',
        width: 200,
        height: 100,
        annotations: [{ id: 1, label: 1, box: [75, 25, 50, 50], area: 2500, crowd: false }],
      },
    ]);
    const [, val] = [...dataset.splits.values()];
    expect(val![0]!.annotations.map(({ id, label, box }) => [id, label, ...box])).toEqual([
      [2, 0, 0, 0, 40, 40],
      [3, 1, 0, 0, 200, 100],
    ]);
    expect(problems).toEqual([]);
  });

  const rest = (changes: Files): Files => ({
    'x/images/train/a.png': png(9, 9),
    'x/labels/train/a.txt': '0 .5 .5 .1 .1',
    'x/images/val/b.png': png(9, 9, 1),
    'x/labels/val/b.txt': '',
    ...changes,
  });
  const both = [
    ['train', 'x/images/train/a.png 1'],
    ['val', 'x/images/val/b.png 0'],
  ];
  it.each<[string, Files, unknown, number]>([
    ['path from the top', rest({ 'data.yaml': 'path: x\ntrain: images/train\nval: images/val\nnames: [c]' }), both, 0],
    ['path above the top', rest({ 'data.yaml': 'path: ../x\ntrain: images/train\nval: images/val\nnames: [c]' }), both, 0],
    ['absolute paths', rest({ 'data.yaml': 'train: /home/me/x/images/train\nval: C:\\data\\x\\images\\val\nnames: [c]' }), both, 2],
    ['an absolute root', rest({ 'data.yaml': 'path: /home/me/x\ntrain: images/train\nval: [images/val]\nnames: [c]' }), both, 2],
    [
      'lists',
      rest({
        'data.yaml': 'path: x\ntrain: train.txt\nval: val.txt\nnames: [c]',
        'x/train.txt': './images/train/a.png\r\n\n',
        'x/val.txt': '/home/me/x/images/val/b.png',
      }),
      both,
      0,
    ],
    [
      'lists from the top',
      rest({
        'data.yaml': 'train: x/train.txt\nval: x/val.txt\nnames: [c]',
        'x/train.txt': 'x/images/train/a.png',
        'x/val.txt': 'images/val/b.png',
      }),
      both,
      0,
    ],
    [
      "Roboflow's",
      {
        'data.yaml': "train: ../train/images\nval: ../valid/images\ntest: ''\nnc: 1\nnames: ['c']",
        'train/images/a.png': png(9, 9),
        'train/labels/a.txt': '',
        'valid/images/b.png': png(9, 9, 1),
        'valid/labels/b.txt': '',
      },
      [
        ['train', 'train/images/a.png 0'],
        ['val', 'valid/images/b.png 0'],
      ],
      0,
    ],
    [
      'labels beside the pictures, names as a map, valid for val',
      {
        'set.yml': 'train: t\nvalid: v\nnames:\n  0: c\n',
        't/a.png': png(9, 9),
        't/a.txt': '0 .5 .5 .1 .1',
        'v/b.png': png(9, 9, 1),
        'v/b.txt': '',
      },
      [
        ['train', 't/a.png 1'],
        ['val', 'v/b.png 0'],
      ],
      0,
    ],
  ])('is found with %s', async (_, files, wanted, guessed) => {
    const result = read(files);
    expect((await result).problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(await filesOf(result)).toEqual(wanted);
    expect(await wrong(result, 'path-guessed')).toHaveLength(guessed);
  });

  it.each<[string, DataProblemCode, string]>([
    ['1 0.5 0.5 0.5', 'row', 'expected 5 numbers "class cx cy w h", found 4'],
    ['1 0.5 0.5 0.5 wide', 'row', 'found "wide" in'],
    ['1 0.5 0.5 0.5 0.5 0.9', 'row', 'confidence of a prediction?'],
    ['1 0.5 0.5 0.5 0.5 0.9 0.9 0.9', 'row', '8 numbers'],
    ['2 0.5 0.5 0.5 0.5', 'class-range', 'class 2, but "names" has 2: 0 to 1'],
    ['-1 0.5 0.5 0.5 0.5', 'class-range', 'class -1'],
    ['1.5 0.5 0.5 0.5 0.5', 'class-range', 'class 1.5'],
    ['1 320 240 64 48', 'row-range', 'are these pixels?'],
    ['1 0.5 0.5 1.2 0.5', 'row-range', 'values outside of 0 to 1'],
    ['1 -0.5 0.5 0.2 0.5', 'row-range', 'values outside of 0 to 1'],
  ])('with the row "%s" is an error at its line', async (row, code, message) => {
    const found = await wrong(rows(`0 0.5 0.5 0.1 0.1\n\n${row}\n${row}\n`), code);
    expect(found).toEqual([expect.stringContaining(`error labels/train/a.txt:3: ${''}`)]);
    expect(found[0]).toContain(message);
    expect(found[0]).toContain('(2 rows of this file)');
  });

  it('warns of rows that it leaves out, and takes the boxes of polygons', async () => {
    const result = rows('0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n1 .5 .5 0 .1\n1 nan .5 .1 .1\n1 0.1 0.2 0.3 0.2 0.2 0.6\n');
    expect(
      (await result).dataset.splits.get('train')![0]!.annotations.map(({ box }) => box.map((value) => Number(value.toFixed(9)))),
    ).toEqual([
      [90, 45, 20, 10],
      [20, 20, 40, 40],
    ]);
    expect(await wrong(result, 'duplicate-row')).toEqual([expect.stringContaining('labels/train/a.txt:2: ')]);
    expect(await wrong(result, 'box-dropped')).toEqual([
      expect.stringContaining('labels/train/a.txt:3: '),
      expect.stringContaining('labels/train/a.txt:4: '),
    ]);
    expect(await wrong(result, 'polygon-rows')).toEqual([expect.stringContaining('info 1 rows of train')]);
  });

  it('counts pictures without a label file as background, unless that is all of them', async () => {
    const more = rows('', { 'images/train/z.png': png(9, 9) });
    expect(await wrong(more, 'label-missing')).toEqual([
      expect.stringContaining('warning 1 of 2 images of train have no label file, first images/train/z.png: expected labels/train/z.txt'),
    ]);
    const { 'labels/train/a.txt': _, ...none } = base;
    expect(await wrong(read(none), 'label-missing')).toEqual([expect.stringContaining('error 1 of 1 images')]);
  });

  it('scales to the upright picture', async () => {
    const result = read({ ...base, 'images/train/a.png': jpeg(100, 200, 8) });
    expect((await result).dataset.splits.get('train')![0]).toMatchObject({
      width: 200,
      height: 100,
      annotations: [{ box: [75, 25, 50, 50] }],
    });
    expect(await wrong(result, 'image-rotated')).toEqual([expect.stringContaining('warning')]);
  });

  it('says when the same pictures are trained and measured on', async () => {
    expect(await wrong(read({ ...base, 'data.yaml': 'train: images/train\nval: images/train\nnames: [a, b]' }), 'leak')).toEqual([
      'warning all 1 images of val are those of train: its results mean nothing',
    ]);
    const mixed = read({ ...base, 'data.yaml': 'train: images/train\nval: images\nnames: [a, b]' });
    expect(await wrong(mixed, 'leak')).toEqual(['warning images/train/a.png: images/train/a.png is in train and in val']);
  });

  it.each<[string, DataProblemCode | 'thrown', string]>([
    ['train: images/none\nnames: [a]', 'split-empty', 'data.yaml:1: "train": there is no folder with pictures, and no list, images/none'],
    ['train: [images/train, 3]\nnames: [a, b]', 'shape', 'data.yaml:1: "train": expected a path or a list of paths, found 3'],
    ['train: images/train\nnc: 3\nnames: [a, b]', 'shape', 'data.yaml:2: "nc" says 3 classes, "names" has 2'],
    ['train: images/train\nnames: {0: a, 2: b}', 'shape', 'data.yaml:2: "names": the classes are counted from 0 to 1, and there is no 1'],
    ['train: images/train\nnames: cats.names', 'shape', '"names": expected the list of class names, found the text "cats.names"'],
    ['train: images/train\nnc: 2', 'category-names', 'called class_0, class_1'],
    ['train: images/train\nnames: [a, a]', 'category-names', 'classes 0 and 1 are both called "a"'],
    ['train: images/train\nnames: [a', 'thrown', 'data.yaml:2:10: the file ends within brackets'],
  ])('with the data.yaml %j says so', async (text, code, message) => {
    const result = read({ ...base, 'data.yaml': text });
    if (code === 'thrown') await expect(result).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringContaining(message) });
    else expect((await wrong(result, code)).join('\n')).toContain(message);
  });

  it('without data.yaml, or with two, says what to do', async () => {
    const { 'data.yaml': _, ...none } = base;
    await expect(read(none)).rejects.toMatchObject({
      code: 'E_DATA',
      hint: expect.stringContaining("2 files in labels/ look like YOLO's, but data.yaml is missing"),
    });
    const two = { ...base, 'other.yaml': yaml };
    await expect(read(two)).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringContaining('both describe a data set') });
    expect(await filesOf(read(two, { file: 'other.yaml' }))).toHaveLength(2);
    expect(await filesOf(read({ ...base, 'docker-compose.yml': 'services: {a: &b 1}' }))).toHaveLength(2);
  });

  it('beside labels of another format asks which is meant', async () => {
    const files = { ...base, 'train.json': '{"images": [], "annotations": [], "categories": []}' };
    await expect(read(files)).rejects.toMatchObject({
      code: 'E_DATA',
      message: 'labels in two formats lie here: yolo and coco',
      hint: expect.stringContaining('--from'),
    });
    expect((await read(files, { format: 'yolo' })).dataset.format).toBe('yolo');
    expect((await read(files, { file: 'data.yaml' })).dataset.format).toBe('yolo');
    await expect(read(files, { file: 'data.yaml', format: 'coco' })).rejects.toMatchObject({ code: 'E_DATA' });
  });

  it('any data.yaml and any rows give a data set or problems', async () => {
    const word = fc.oneof(fc.double().map(String), fc.constantFrom('0', '1', '0.5', '-', '1e999', '0x1'), fc.string({ maxLength: 4 }));
    const text = fc
      .array(
        fc.array(word, { maxLength: 8 }).map((words) => words.join(' ')),
        { maxLength: 5 },
      )
      .map((lines) => lines.join('\n'));
    const path = fc.oneof(
      fc.constantFrom('images/train', '../images', '/', '..', '.', '', 'labels/train/a.txt', 'images//val/'),
      fc.string(),
    );
    const description = fc.record(
      {
        path,
        train: fc.oneof(path, fc.array(path), fc.jsonValue()),
        val: path,
        names: fc.oneof(fc.array(fc.string()), fc.jsonValue()),
        nc: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(description, text, async (map, labels) => {
        try {
          const { dataset } = await rows(labels, { 'data.yaml': JSON.stringify(map) });
          for (const { width, height, annotations } of [...dataset.splits.values()].flat()) {
            for (const {
              box: [x, y, w, h],
            } of annotations)
              expect(w > 0 && h > 0 && x >= -1 && y >= -1 && x + w <= width + 1.001 && y + h <= height + 1.001).toBe(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(BackdropError);
        }
      }),
    );
  });
});
