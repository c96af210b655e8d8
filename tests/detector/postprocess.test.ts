import { describe, expect, it } from 'vitest';
import { cocoCategoryIds, cocoClasses } from '../../src/detector/coco.ts';
import { type PostprocessOptions, postprocess } from '../../src/detector/postprocess.ts';

const options: PostprocessOptions = {
  classes: 3,
  labels: ['a', 'b', 'c'],
  width: 200,
  height: 100,
  threshold: 0.5,
  maxResults: 300,
};
const logit = (score: number): number => Math.log(score / (1 - score));

describe('postprocess', () => {
  const logits = [0.9, 0.2, 0.6, 0.1, 0.95, 0.3].map(logit);
  const boxes = [0.5, 0.5, 0.2, 0.4, 0.25, 0.1, 0.5, 0.2];

  it('ranks queries and classes together, and scales boxes to the image', () => {
    const found = postprocess(logits, boxes, options);
    expect(found.map(({ label, labelId }) => [label, labelId])).toEqual([
      ['b', 1],
      ['a', 0],
      ['c', 2],
    ]);
    expect(found[0].score).toBeCloseTo(0.95, 12);
    expect(found[0].box).toEqual({ xmin: 0, ymin: 0, xmax: 100, ymax: 20 });
    expect(found[1].box.xmin).toBeCloseTo(80, 9);
    expect(found[1].box.ymax).toBeCloseTo(70, 9);
    // A query may win with two classes.
    expect(found[2].box).toEqual(found[1].box);
  });

  it('takes the threshold itself, cuts to the number asked for, and lets classes be chosen', () => {
    expect(postprocess([0], [0.5, 0.5, 1, 1], { ...options, classes: 1, threshold: 0.5 })).toHaveLength(1);
    expect(postprocess(logits, boxes, { ...options, maxResults: 1 }).map(({ label }) => label)).toEqual(['b']);
    expect(postprocess(logits, boxes, { ...options, only: new Set([0]) }).map(({ label }) => label)).toEqual(['a']);
    expect(postprocess(logits, boxes, { ...options, threshold: 1 })).toEqual([]);
  });

  it('breaks ties by query, then class, and tells saturated scores apart by their logits', () => {
    const ids = postprocess([2, 2, 2, 2, 2, 2], boxes, options).map(({ labelId, box }) => [labelId, box.xmin > 1]);
    expect(ids).toEqual([
      [0, true],
      [1, true],
      [2, true],
      [0, false],
      [1, false],
      [2, false],
    ]);
    expect(postprocess([40, 60, 50], boxes, options).map(({ labelId }) => labelId)).toEqual([1, 2, 0]);
  });

  it('gives COCO category ids on request', () => {
    const coco = { ...options, classes: 80, labels: cocoClasses, remap: true };
    const one = (label: number) => {
      const row = new Float32Array(80).fill(-9);
      row[label] = 3;
      return postprocess(row, boxes, coco)[0];
    };
    expect([0, 11, 12, 79].map((label) => [one(label).label, one(label).labelId])).toEqual([
      ['person', 1],
      ['stop sign', 13],
      ['parking meter', 14],
      ['toothbrush', 90],
    ]);
    expect(cocoClasses).toHaveLength(80);
    // 1-11, 13-25, 27, 28, 31-44, 46-65, 67, 70, 72-82, 84-90
    expect(cocoCategoryIds).toHaveLength(80);
    expect(cocoCategoryIds.filter((id) => [12, 26, 29, 30, 45, 66, 68, 69, 71, 83].includes(id))).toEqual([]);
  });
});
