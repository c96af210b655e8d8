import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatClassTable } from '../../src/evaluation/class-rows.ts';
import { evaluateDetections } from '../../src/evaluation/coco.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { readVectors, records } from './vectors.ts';

const vectors = new Map(readVectors(join(root, 'tests/fixtures/coco-eval')).map((vector) => [vector.name, records(vector)]));
const evaluate = (name: string) => {
  const { images, categories, detections } = vectors.get(name)!;
  return evaluateDetections(images, categories, detections);
};

// Computed with numpy (interp, convolve, argmax) by the formulas of `yolo val` from a greedy matching at IoU 0.5.
const expected = {
  '01-plain': {
    bestScore: 0.38538538538538536,
    precision: [0.6203505071044303, 0.4512335521688228, 0.6277383516952652, 0.429305802891243, 0.6531407831800191],
    recall: [0.8461538461538461, 0.6, 0.6148004246927082, 0.5, 0.8],
    boxes: [13, 15, 11, 8, 5],
    images: [7, 8, 7, 5, 4],
    all: [0.5563537994079562, 0.6721908541693109],
  },
  '03-ties': {
    bestScore: 0.4494494494494494,
    precision: [0.508864419975531, 0.6451971174588529],
    recall: [0.92, 0.96],
    boxes: [25, 25],
    images: [10, 10],
    all: [0.5770307687171919, 0.94],
  },
  '04-maxdets': {
    bestScore: 0.5955955955955956,
    precision: [0.6552244776041415, 0.657426295632611],
    recall: [0.8592592592592593, 0.8102887287234884],
    boxes: [135, 135],
    images: [3, 3],
    all: [0.6563253866183762, 0.8347739939913739],
  },
};

describe('the table of classes', () => {
  for (const [name, numbers] of Object.entries(expected)) {
    it(`${name}: precision and recall at the best F1 as numpy computes them`, () => {
      const { rows, all, bestScore } = evaluate(name);
      const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12));
      expect(bestScore).toBeCloseTo(numbers.bestScore, 12);
      expect(rows.map(({ precision }) => precision)).toEqual(close(numbers.precision));
      expect(rows.map(({ recall }) => recall)).toEqual(close(numbers.recall));
      expect(rows.map(({ boxes }) => boxes)).toEqual(numbers.boxes);
      expect(rows.map(({ images }) => images)).toEqual(numbers.images);
      expect([all.precision, all.recall]).toEqual(close(numbers.all));
      expect(all.boxes).toBe(numbers.boxes.reduce((a, b) => a + b));
    });
  }

  it('the 101st detection of an image and class counts for precision no more than for AP', () => {
    const box = [0, 0, 10, 10] as const;
    const images = [0, 1].map((id) => ({
      id,
      file: '',
      width: 99,
      height: 99,
      annotations: id ? [{ id, label: 0, box, area: 100, crowd: false }] : [],
    }));
    const wrong = Array.from({ length: 150 }, () => ({ imageId: 0, label: 0, score: 0.9, box }));
    const { rows } = evaluateDetections(images, [{ id: 1, name: 'a' }], [...wrong, { imageId: 1, label: 0, score: 0.5, box }]);
    expect(rows[0].precision).toBeCloseTo(1 / 101, 12);
  });

  it('prints a line for all and one a class; crowds are not counted, and a class without boxes shows dashes', () => {
    const found = evaluate('02-crowd-area');
    const lines = formatClassTable(found);
    const numbers = (line: string) => line.trim().split(/\s+/);
    expect(numbers(lines[0])).toEqual(['Class', 'Images', 'Boxes', 'P', 'R', 'AP50', 'AP']);
    const { images } = vectors.get('02-crowd-area')!;
    const boxes = images.flatMap(({ annotations }) => annotations).filter(({ crowd }) => !crowd).length;
    expect(numbers(lines[1]).slice(0, 3)).toEqual(['all', '20', String(boxes)]);
    expect(numbers(lines[1]).slice(5)).toEqual(
      found.stats
        .slice(0, 2)
        .reverse()
        .map((value) => value.toFixed(3)),
    );
    expect(lines).toHaveLength(2 + 6);
    // 8 has crowds only, 10 no box at all, 11 was never detected.
    expect(lines.slice(-3).map((line) => numbers(line).slice(0, 7))).toEqual([
      ['class-8', '0', '0', '-', '-', '-', '-'],
      ['class-10', '0', '0', '-', '-', '-', '-'],
      ['class-11', '5', '5', '0.000', '0.000', '0.000', '0.000'],
    ]);
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
  });
});
