import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Annotation, Dataset, ImageRecord, Split } from '../../src/data/dataset.ts';
import { openDataset } from '../../src/data/open.ts';
import { writeDataset } from '../../src/data/write.ts';
import { memoryDirectory, png } from './memory.ts';

const annotation = (id: number, label: number, box: Annotation['box'], area = box[2] * box[3], crowd = false): Annotation => ({
  id,
  label,
  box,
  area,
  crowd,
});
const record = (id: number, file: string, annotations: Annotation[], width = 64, height = 48): ImageRecord => ({
  id,
  file,
  width,
  height,
  annotations,
});
const set = (splits: Partial<Record<Split, ImageRecord[]>>, names = ['cat', 'dog'], format: Dataset['format'] = 'coco'): Dataset => ({
  format,
  categories: names.map((name, i) => ({ id: i + 1, name })),
  splits: new Map(Object.entries(splits) as [Split, ImageRecord[]][]),
});
const filesOf = (dataset: Dataset, format: Dataset['format']) =>
  new Map(Array.from(writeDataset(dataset, format).files, ({ path, text }) => [path, text]));

/** Writes the set and reads what was written. */
async function through(dataset: Dataset, format: Dataset['format']): Promise<Dataset> {
  const { files, images } = writeDataset(dataset, format);
  const sizes = new Map([...dataset.splits.values()].flat().map(({ file, width, height }) => [file, png(width, height)]));
  const all = Object.fromEntries([
    ...Array.from(files, ({ path, text }) => [path, text] as const),
    ...images.map(({ from, to }) => [to, sizes.get(from)!] as const),
  ]);
  const opened = await openDataset(memoryDirectory(all), { checkImages: true });
  expect(opened.dataset.format).toBe(format);
  return opened.dataset;
}

describe('a data set is written', () => {
  const two = set({
    train: [record(1, 'x/a.png', [annotation(1, 1, [8, 12, 16, 24]), annotation(2, 0, [0, 0, 64, 48], 100, true)])],
    val: [record(2, 'y/b.png', [])],
  });

  it('as YOLO', () => {
    expect(Object.fromEntries(filesOf(two, 'yolo'))).toEqual({
      'data.yaml': 'train: images/train\nval: images/val\nnames:\n  0: "cat"\n  1: "dog"\n',
      'labels/train/a.txt': '1 0.25 0.5 0.25 0.5\n',
      'labels/val/b.txt': '',
    });
    expect(writeDataset(two, 'yolo')).toMatchObject({
      images: [
        { from: 'x/a.png', to: 'images/train/a.png' },
        { from: 'y/b.png', to: 'images/val/b.png' },
      ],
      losses: ['1 crowd boxes are left out: YOLO has none'],
    });
  });

  it('as VOC', () => {
    const files = filesOf(two, 'voc');
    expect([...files.keys()]).toEqual([
      'classes.txt',
      'ImageSets/Main/train.txt',
      'Annotations/a.xml',
      'ImageSets/Main/val.txt',
      'Annotations/b.xml',
    ]);
    expect(files.get('Annotations/a.xml')!.replace(/\s+/g, '')).toBe(
      '<annotation><folder>JPEGImages</folder><filename>a.png</filename><size><width>64</width><height>48</height><depth>3</depth></size><segmented>0</segmented>' +
        '<object><name>dog</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox><xmin>8</xmin><ymin>12</ymin><xmax>24</xmax><ymax>36</ymax></bndbox></object>' +
        '<object><name>cat</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult><area>100</area><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object></annotation>',
    );
  });

  it('as COCO, with ids of its own where the files disagree', () => {
    const joined = set(
      { train: [record(0, 'a.png', [annotation(5, 0, [1, 2, 3, 4])]), record(0, 'b.png', [annotation(5, 1, [1, 2, 3, 4])])] },
      ['x', 'y'],
      'yolo',
    );
    const { images, annotations, categories } = JSON.parse(filesOf(joined, 'coco').get('annotations/instances_train.json')!);
    expect(images.map(({ id }: { id: number }) => id)).toEqual([1, 2]);
    expect(annotations).toEqual([
      { id: 1, image_id: 1, category_id: 1, bbox: [1, 2, 3, 4], area: 12, iscrowd: 0 },
      { id: 2, image_id: 2, category_id: 2, bbox: [1, 2, 3, 4], area: 12, iscrowd: 0 },
    ]);
    expect(categories).toEqual([
      { id: 1, name: 'x' },
      { id: 2, name: 'y' },
    ]);
  });

  it('with names that cannot clash, on any file system', () => {
    const clash = set({
      train: [
        record(1, 'x/a.png', []),
        record(2, 'y/A.jpg', []),
        record(3, 'a-2.png', []),
        record(4, 'q:?.png', []),
        record(6, '.x.png', []),
      ],
      val: [record(5, 'z/a.png', [])],
    });
    expect(writeDataset(clash, 'yolo').images.map(({ to }) => to)).toEqual([
      'images/train/a.png',
      'images/train/A-2.jpg',
      'images/train/a-2-2.png',
      'images/train/q__.png',
      'images/train/_x.png',
      'images/val/a.png',
    ]);
    expect(
      writeDataset(clash, 'voc')
        .images.map(({ to }) => to)
        .at(-1),
    ).toBe('JPEGImages/a-3.png');
  });

  it('names what is lost', () => {
    const masks = {
      ...set({ train: [record(1, 'a.png', [annotation(1, 0, [0, 0, 4, 4], 7), annotation(2, 0, [0, 0, 4, 4])])] }),
      categories: [{ id: 17, name: 'cat' }],
    };
    expect(writeDataset(masks, 'yolo').losses).toEqual([
      '1 boxes that are there twice are written once',
      'the areas of 1 masks are not kept: YOLO knows boxes alone',
      'the ids of the categories are not kept: YOLO counts from 0',
    ]);
    expect(writeDataset(masks, 'voc').losses).toEqual(['the ids of the categories are not kept: VOC has names alone']);
    expect(writeDataset(masks, 'coco').losses).toEqual([]);
    expect(() => writeDataset(set({ train: [] }, ['a', 'a']), 'voc')).toThrow('class "a" is there twice');
    expect(() => writeDataset(set({ train: [] }, ['a\nb']), 'voc')).toThrow('line breaks');
    expect(() => writeDataset(set({}), 'coco')).toThrow('no images');
  });
});

describe('there and back', () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .map((text) => text.replace(/\p{Cc}|\p{Cs}|\//gu, '').trim())
    .filter(Boolean);
  const part = fc.double({ min: 0, max: 1, noNaN: true });
  /** No two whose rows in YOLO's form would be equal. */
  const boxes = (width: number, height: number, classes: number, crowds: boolean) =>
    fc.uniqueArray(
      fc
        .record({ label: fc.nat(classes - 1), x: part, y: part, w: part, h: part, mask: fc.boolean() })
        .map(({ label, x, y, w, h, mask }) => {
          const [left, top] = [x * (width - 1), y * (height - 1)];
          const box = [left, top, 0.5 + w * (width - left - 0.5), 0.5 + h * (height - top - 0.5)] as const;
          const area = mask && crowds ? (box[2] * box[3]) / 3 : box[2] * box[3];
          return { label, box, area, crowd: mask && crowds };
        }),
      {
        maxLength: 4,
        selector: ({ label, box: [x, y, w, h] }) => [label, (x + w / 2) / width, (y + h / 2) / height, w / width, h / height].join(' '),
      },
    );
  const images = (classes: number, crowds: boolean) =>
    fc.array(
      fc
        .record({ width: fc.integer({ min: 2, max: 5000 }), height: fc.integer({ min: 2, max: 5000 }), stem: name })
        .chain((image) => boxes(image.width, image.height, classes, crowds).map((rows) => ({ ...image, rows }))),
      { minLength: 1, maxLength: 4 },
    );
  const runs = { numRuns: 40 };
  const sets = (crowds: boolean) =>
    fc.uniqueArray(name, { minLength: 1, maxLength: 4 }).chain((names) =>
      fc.tuple(images(names.length, crowds), fc.option(images(names.length, crowds))).map(([train, val]): Dataset => {
        let [image, box] = [0, 0];
        const build = (list: typeof train, split: string) =>
          list.map(({ width, height, stem, rows }, i) =>
            record(
              ++image,
              // YOLO has no order but that of the names.
              `${split}/${i}${stem}.png`,
              rows.map(({ label, box: corners, area, crowd }) => annotation(++box, label, corners, area, crowd)),
              width,
              height,
            ),
          );
        return set({ train: build(train, 'train'), ...(val ? { val: build(val, 'val') } : {}) }, names);
      }),
    );

  /** Sizes, labels, crowds and classes the same; boxes and areas within `relative` of the image's size. */
  function expectSame(found: Dataset, wanted: Dataset, relative: number): void {
    expect(found.categories).toEqual(wanted.categories);
    expect([...found.splits.keys()]).toEqual([...wanted.splits.keys()]);
    for (const [split, records] of wanted.splits) {
      const back = found.splits.get(split)!;
      expect(back.length).toBe(records.length);
      for (const [i, { id, width, height, annotations }] of records.entries()) {
        expect(back[i]).toMatchObject({ id, width, height });
        expect(back[i]!.annotations.map(({ id: own, label, crowd }) => [own, label, crowd])).toEqual(
          annotations.map(({ id: own, label, crowd }) => [own, label, crowd]),
        );
        for (const [k, { box, area }] of annotations.entries()) {
          const size = Math.max(width, height);
          const other = back[i]!.annotations[k]!;
          for (const side of [0, 1, 2, 3] as const) expect(Math.abs(other.box[side] - box[side])).toBeLessThanOrEqual(relative * size);
          expect(Math.abs(other.area - area)).toBeLessThanOrEqual(2 * relative * size * size);
        }
      }
    }
  }

  // Rounding: x / width, the centre, half the width and back: four operations, each within 2^-53 of numbers up to the image's side.
  const rounding = 4 * 2 ** -53;

  it('COCO is exact', async () => {
    await fc.assert(
      fc.asyncProperty(sets(true), async (dataset) => expectSame(await through(dataset, 'coco'), dataset, 0)),
      runs,
    );
  });
  it('COCO to YOLO and back is exact within rounding', async () => {
    await fc.assert(
      fc.asyncProperty(sets(false), async (dataset) =>
        expectSame(await through(await through(dataset, 'yolo'), 'coco'), dataset, rounding),
      ),
      runs,
    );
  });
  it('COCO to VOC and back is exact within rounding, crowds and areas included', async () => {
    await fc.assert(
      fc.asyncProperty(sets(true), async (dataset) => expectSame(await through(await through(dataset, 'voc'), 'coco'), dataset, rounding)),
      runs,
    );
  });
  it('VOC keeps the areas of masks to the last bit', async () => {
    const dataset = set({ train: [record(1, 'a.png', [annotation(1, 0, [1.1, 2.2, 30.3, 4.4], 17.125)])] });
    expect((await through(dataset, 'voc')).splits.get('train')![0]!.annotations[0]!.area).toBe(17.125);
  });
});
