import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EvaluatedDetection } from '../../src/evaluation/coco.ts';
import { confusionCsv, confusionMatrix } from '../../src/evaluation/confusion.ts';
import { boxIou, type XYWH } from '../../src/evaluation/match.ts';

const categories = [
  { id: 1, name: 'cat' },
  { id: 2, name: 'dog, "small"' },
];
const image = (objects: { label: number; box: XYWH; crowd?: boolean }[]) => ({
  id: 4,
  file: 'a.png',
  width: 100,
  height: 100,
  annotations: objects.map(({ label, box, crowd = false }, i) => ({ id: i + 1, label, box, area: box[2] * box[3], crowd })),
});
const detection = (label: number, score: number, box: XYWH): EvaluatedDetection => ({ imageId: 4, label, score, box });

describe('confusion matrix', () => {
  it('right, mistaken, missed and invented ones land in their places', () => {
    const objects = image([
      { label: 0, box: [0, 0, 20, 20] },
      { label: 1, box: [30, 0, 20, 20] },
      { label: 1, box: [60, 0, 20, 20] },
    ]);
    const { names, counts } = confusionMatrix([objects], categories, [
      detection(0, 0.9, [0, 0, 20, 20]), // right
      detection(0, 0.9, [30, 0, 20, 20]), // a dog taken for a cat
      detection(1, 0.25, [60, 0, 20, 20]), // not above 0.25: the dog is missed
      detection(1, 0.9, [0, 70, 20, 20]), // nothing there
    ]);
    expect(names).toEqual(['cat', 'dog, "small"', 'background']);
    expect([...counts]).toEqual([1, 1, 0, 0, 0, 1, 0, 1, 0]);
    expect(confusionCsv({ names, counts })).toBe(
      'predicted/true,cat,"dog, ""small""",background\ncat,1,1,0\n"dog, ""small""",0,0,1\nbackground,0,1,0\n',
    );
  });

  it('an IoU of 0.45 is too little; crowds are not missed, and detections on a crowd of their class are not counted', () => {
    const touching = [detection(0, 0.9, [0, 0, 9, 10])];
    expect([...confusionMatrix([image([{ label: 0, box: [0, 0, 20, 10] }])], categories, touching).counts]).toEqual([
      0, 0, 1, 0, 0, 0, 1, 0, 0,
    ]);
    expect([...confusionMatrix([image([{ label: 0, box: [0, 0, 19, 10] }])], categories, touching).counts]).toEqual([
      1, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    const crowd = image([{ label: 0, box: [0, 0, 90, 90], crowd: true }]);
    const on = [detection(0, 0.9, [5, 5, 10, 10]), detection(1, 0.9, [5, 5, 10, 10])];
    expect([...confusionMatrix([crowd], categories, on).counts]).toEqual([0, 0, 0, 0, 0, 1, 0, 0, 0]);
  });

  it('pairs as the rule says: sort all pairs, keep the first of each detection, then the first of each box', () => {
    const box = fc.tuple(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 4, max: 9 }),
      fc.integer({ min: 4, max: 9 }),
    );
    const object = fc.record({ label: fc.nat(1), box });
    let pairsSeen = 0;
    fc.assert(
      fc.property(
        fc.array(object, { maxLength: 6 }),
        fc.array(fc.record({ label: fc.nat(1), box, score: fc.constantFrom(0.2, 0.3, 0.9) }), { maxLength: 8 }),
        (objects, found) => {
          const kept = found.filter(({ score }) => score > 0.25);
          const first = <T>(items: T[], key: (item: T) => number) =>
            items.filter((item, i) => items.findIndex((other) => key(other) === key(item)) === i);
          const all = kept
            .flatMap(({ box }, d) => objects.map((other, o) => ({ d, o, iou: boxIou(box, other.box, false) })))
            .filter(({ iou }) => iou > 0.45)
            .sort((a, b) => b.iou - a.iou);
          const pairs = first(
            first(all, ({ d }) => d),
            ({ o }) => o,
          );
          pairsSeen += pairs.length;
          const expected = new Uint32Array(9);
          objects.forEach(({ label }, o) => {
            const pair = pairs.find((candidate) => candidate.o === o);
            expected[(pair ? kept[pair.d].label : 2) * 3 + label]++;
          });
          kept.forEach(({ label }, d) => {
            if (!pairs.some((pair) => pair.d === d)) expected[label * 3 + 2]++;
          });
          const { counts } = confusionMatrix(
            [image(objects)],
            categories,
            found.map(({ label, score, box }) => detection(label, score, box)),
          );
          expect([...counts]).toEqual([...expected]);
        },
      ),
      { seed: 5, numRuns: 300 },
    );
    expect(pairsSeen).toBeGreaterThan(100);
  });

  it('refuses detections of other images', () => {
    expect(() => confusionMatrix([], categories, [detection(0, 1, [0, 0, 1, 1])])).toThrowError(/image 4, which is not among the 0 images/);
  });
});
