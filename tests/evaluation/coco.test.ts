import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluateDetections } from '../../src/evaluation/coco.ts';
import { matchDetections, pairwiseIou } from '../../src/evaluation/match.ts';
import { areaRanges, iouThresholds, maxDetections, mean, recallThresholds } from '../../src/evaluation/protocol.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { type EvalImage, readVectors, records, type Vector } from './vectors.ts';

const vectors = readVectors(join(root, 'tests/fixtures/coco-eval'));
// Other people's ground truth is checked where it lies: BACKDROP_COCO_VECTORS=FOLDER.
const others = process.env.BACKDROP_COCO_VECTORS ? readVectors(process.env.BACKDROP_COCO_VECTORS) : [];

const same = (found: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) if (found[i] !== expected[i]) expect.fail(`[${i}]: ${found[i]}, expected ${expected[i]}`);
};

/** pycocotools' evalImgs: for each class and range of sizes each image with boxes or detections. */
function evalImages({ images, categories, detections }: ReturnType<typeof records>): (EvalImage | null)[] {
  return categories.flatMap(({ id }, label) =>
    areaRanges.flatMap((aRng, range) =>
      images.map((image): EvalImage | null => {
        const objects = image.annotations.filter((annotation) => annotation.label === label);
        const found = detections
          .map((detection, i) => ({ ...detection, id: i + 1 }))
          .filter((detection) => detection.imageId === image.id && detection.label === label)
          .sort((a, b) => b.score - a.score)
          .slice(0, 100);
        if (objects.length === 0 && found.length === 0) return null;
        const boxes = found.map(({ box }) => box);
        const m = matchDetections(boxes, objects, pairwiseIou(boxes, objects), range);
        const rows = (values: ArrayLike<number>, width: number) =>
          iouThresholds.map((_, t) => Array.from(values).slice(t * width, (t + 1) * width));
        return {
          image_id: image.id,
          category_id: id,
          aRng: [...aRng],
          dtIds: found.map((detection) => detection.id),
          gtIds: m.order.map((i) => objects[i].id),
          dtMatches: rows(m.detectionMatch, found.length),
          gtMatches: rows(m.objectMatch, objects.length).map((row) => row.map((d) => (d === 0 ? 0 : found[d - 1].id))),
          gtIgnore: m.order.map((_, i) => (i < m.counted ? 0 : 1)),
          dtIgnore: rows(m.detectionIgnored, found.length),
        };
      }),
    ),
  );
}

/** Means of a vector's precision over recalls, as pycocotools' users take them. */
function meansOverRecall(precision: Float64Array, [T, R, K, A, M]: number[]): number[] {
  return Array.from({ length: T * K * A * M }, (_, i) => {
    const t = Math.floor(i / (K * A * M));
    const values = recallThresholds.map((_, r) => precision[(t * R + r) * K * A * M + (i % (K * A * M))]);
    return mean(values.filter((value) => value > -1));
  });
}

function check(vector: Vector) {
  const { expected } = vector;
  const input = records(vector);
  const found = evaluateDetections(input.images, input.categories, input.detections);
  same(iouThresholds, expected.iouThrs);
  same(found.stats, expected.stats);
  expect(found.lines).toEqual(expected.summary);
  same(found.recall, expected.recall_TKAM);
  expect(expected.precision_shape).toEqual([10, 101, input.categories.length, areaRanges.length, maxDetections.length]);
  same(meansOverRecall(found.precision, expected.precision_shape), expected.precision_mean_TKAM);
  same(
    found.rows.flatMap(({ category, ap, ap50 }) => [category.id, ap, ap50]),
    expected.perCategory.flatMap(({ category_id, AP, AP50 }) => [category_id, AP, AP50]),
  );
  if (expected.precision_TRKAM) same(found.precision, expected.precision_TRKAM);
  if (expected.scores_TRKAM) same(found.scores, expected.scores_TRKAM);
  if (expected.evalImgs) expect(evalImages(input)).toEqual(expected.evalImgs);
  return found;
}

describe('COCO evaluation', () => {
  for (const vector of vectors) it(`${vector.name}: every number as pycocotools has it`, () => void check(vector));
  for (const vector of others) {
    it(`${vector.name} of the folder named`, () => console.log([vector.name, ...check(vector).lines].join('\n')));
  }

  it('compares what the names say', () => {
    expect(vectors.map(({ name }) => name)).toEqual(['01-plain', '02-crowd-area', '03-ties', '04-maxdets', '05-id-zero']);
    expect(vectors.filter(({ expected }) => expected.evalImgs && expected.precision_TRKAM && expected.scores_TRKAM)).toHaveLength(2);
  });
});

describe('COCO evaluation of what no vector has', () => {
  const image = (id: number, ...boxes: [number, number, number, number][]) => ({
    id,
    file: `${id}.png`,
    width: 100,
    height: 100,
    annotations: boxes.map((box, i) => ({ id: id * 10 + i, label: 0, box, area: box[2] * box[3], crowd: false })),
  });
  const categories = [
    { id: 3, name: 'cat' },
    { id: 7, name: 'dog' },
  ];
  const box = [10, 10, 40, 40] as const;
  const hit = { imageId: 1, label: 0, score: 0.5, box };

  it('no images, no labels, no detections: -1 where nothing is labelled, 0 where nothing was found', () => {
    const nothing = evaluateDetections([], categories, []);
    expect(nothing.stats).toEqual(Array(12).fill(-1));
    expect(nothing.lines[0]).toBe(' Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = -1.000');
    expect(nothing.all).toEqual({ images: 0, boxes: 0, precision: -1, recall: -1, ap50: -1, ap: -1 });
    expect(evaluateDetections([image(1)], [], []).stats).toEqual(Array(12).fill(-1));
    expect(evaluateDetections([image(1)], categories, [hit]).stats).toEqual(Array(12).fill(-1));
    const missed = evaluateDetections([image(1, [...box])], categories, []);
    expect(missed.stats).toEqual([0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0, -1]);
    expect(missed.rows.map(({ images, boxes, precision, recall, ap50, ap }) => [images, boxes, precision, recall, ap50, ap])).toEqual([
      [1, 1, 0, 0, 0, 0],
      [0, 0, -1, -1, -1, -1],
    ]);
  });

  it('perfect detections score 1, and the order of images and of other images’ detections changes nothing', () => {
    const images = [image(5, [...box]), image(1, [...box], [60, 60, 30, 30])];
    const detections = images.flatMap(({ id, annotations }) =>
      annotations.map(({ box, label }, i) => ({ imageId: id, label, box, score: 0.5 + i / 8 })),
    );
    const found = evaluateDetections(images, categories, detections);
    // pycocotools divides by tp + fp + 2^-52, so that even perfect precision is a last digit below 1.
    const one = expect.closeTo(1, 15);
    expect(found.stats).toEqual([one, one, one, one, one, -1, expect.closeTo(2 / 3, 15), one, one, one, one, -1]);
    const turned = evaluateDetections(images.toReversed(), categories, [detections[1], detections[0], detections[2]]);
    expect(turned).toEqual(found);
  });

  it('equal scores: the lower image id goes first, then the order given', () => {
    const images = [image(1, [...box]), image(2)];
    const wrong = { imageId: 2, label: 0, score: 0.5, box };
    // Right before wrong, though given last: image 1 stands before image 2.
    expect(evaluateDetections(images, categories, [wrong, hit]).stats[1]).toBeCloseTo(1, 15);
    const elsewhere = { ...hit, box: [70, 70, 10, 10] as const };
    expect(evaluateDetections(images, categories, [hit, elsewhere]).stats[1]).toBeCloseTo(1, 15);
    expect(evaluateDetections(images, categories, [elsewhere, hit]).stats[1]).toBeCloseTo(0.5, 15);
  });

  it('takes a box that counts before an ignored one with a larger IoU', () => {
    const object = (id: number, box: [number, number, number, number], crowd: boolean) => ({
      id,
      label: 0,
      box,
      area: box[2] * box[3],
      crowd,
    });
    // The crowd holds all of the detection (IoU 1), the box 60 % of the union.
    const objects = [object(1, [0, 0, 90, 90], true), object(2, [10, 10, 24, 40], false)];
    const found = matchDetections([box], objects, pairwiseIou([box], objects), 0);
    expect(found.order).toEqual([1, 0]);
    expect([...found.detectionMatch]).toEqual([2, 2, 2, 1, 1, 1, 1, 1, 1, 1]);
    expect([...found.detectionIgnored]).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('an object with id 0 is none where its finder is of another size', () => {
    // 40 x 40 is medium, the mask of 1000 pixels small: a detection that finds it counts among the small ones, but not by id 0.
    const matched = (id: number) => {
      const objects = [{ id, label: 0, box: [10, 10, 40, 40] as const, area: 1000, crowd: false }];
      return matchDetections([box], objects, pairwiseIou([box], objects), 1).detectionIgnored[0];
    };
    expect([matched(1), matched(0)]).toEqual([0, 1]);
  });

  it('prints ties of the third digit as Python does: to the even digit', () => {
    const boxes = Array.from({ length: 16 }, (_, i): [number, number, number, number] => [i * 6, 0, 5, 5]);
    const found = (count: number) => boxes.slice(0, count).map((box, i) => ({ imageId: 1, label: 0, score: 1 - i / 100, box }));
    const printed = (count: number) => evaluateDetections([image(1, ...boxes)], categories, found(count)).lines[8].slice(-5);
    // 1/16 = 0.0625 and 3/16 = 0.1875 exactly; python3 -c "print('{:0.3f} {:0.3f}'.format(1/16, 3/16))"
    expect([1, 2, 3, 5, 13].map(printed)).toEqual(['0.062', '0.125', '0.188', '0.312', '0.812']);
  });

  it('refuses what would change the metric without a word', () => {
    const images = [image(1, [...box])];
    const refused = (detection: object, message: RegExp, { set = images, classes = categories } = {}) =>
      expect(() => evaluateDetections(set, classes, [{ ...hit, ...detection }])).toThrowError(message);
    refused({ imageId: 2 }, /detection 0 is of image 2, which is not among the 1 images/);
    refused({ label: 2 }, /detection 0 of image 1: label is 2, but there are 2 categories/);
    refused({ label: -1 }, /label is -1/);
    refused({ label: 0.5 }, /label is 0.5/);
    refused({ score: Number.NaN }, /score is NaN/);
    refused({ box: [1, 2, Number.NaN, 4] }, /box is \[1, 2, NaN, 4\]/);
    refused({ box: [1, 2, -3, 4] }, /no size below 0/);
    refused({ box: [1, 2, 3] }, /expected x, y, width, height/);
    refused({}, /image id 1 occurs twice/, { set: [...images, ...images] });
    refused({}, /category id 3 follows 7/, { classes: categories.toReversed() });
    const broken = { ...images[0], annotations: [{ ...images[0].annotations[0], area: Number.NaN }] };
    refused({}, /annotation 10 of image 1: area is NaN/, { set: [broken] });
  });
});
