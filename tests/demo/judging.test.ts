import { describe, expect, it } from 'vitest';
import { changes } from '../../demo/inside.ts';
import { judge } from '../../demo/labels.ts';
import type { ImageRecord } from '../../src/data/dataset.ts';
import type { Detection } from '../../src/index.ts';

const categories = [
  { id: 1, name: 'car' },
  { id: 2, name: 'boat' },
];
const found = (label: string, score: number, xmin: number, ymin: number, width = 10, height = 10): Detection => ({
  ...{ label, score, labelId: categories.findIndex(({ name }) => name === label), query: 0 },
  box: { xmin, ymin, xmax: xmin + width, ymax: ymin + height },
});
const record = (...annotations: [label: number, x: number, y: number, w: number, h: number, crowd?: boolean][]) =>
  ({
    annotations: annotations.map(([label, x, y, w, h, crowd = false]) => ({ label, box: [x, y, w, h], crowd })),
  }) as unknown as ImageRecord;

describe('judging by labels', () => {
  it('calls right what lies on an object of its class by half, and each object once', () => {
    const strong = found('car', 0.9, 0, 0);
    const weak = found('car', 0.8, 1, 0);
    const { right, wrong, missed } = judge([strong, weak], record([0, 0, 0, 10, 10]), categories);
    expect(right).toEqual([strong]);
    expect(wrong).toEqual([weak]);
    expect(missed).toEqual([]);
  });

  it('calls wrong what has another class or too little overlap, and missed what nobody found', () => {
    const boat = found('boat', 0.9, 0, 0);
    // IoU 1/3.
    const beside = found('car', 0.8, 5, 0);
    const { right, wrong, missed } = judge([boat, beside], record([0, 0, 0, 10, 10]), categories);
    expect(right).toEqual([]);
    expect(wrong).toEqual([boat, beside]);
    expect(missed.length).toBe(1);
  });

  it('counts exactly half as right', () => {
    expect(judge([found('car', 0.9, 0, 0, 10, 20)], record([0, 0, 0, 10, 10]), categories).right.length).toBe(1);
  });

  it('lets a crowd excuse all that lies in it, and never calls it missed', () => {
    const { right, wrong, missed } = judge(
      [found('car', 0.9, 2, 2, 4, 4), found('car', 0.8, 6, 6, 4, 4)],
      record([0, 0, 0, 50, 50, true]),
      categories,
    );
    expect([right.length, wrong.length, missed.length]).toEqual([0, 0, 0]);
  });
});

describe('what the background changes', () => {
  it('pairs boxes that overlap by half, and lists what came and what went, largest change first', () => {
    const rows = changes(
      [found('car', 0.9, 0, 0), found('boat', 0.6, 40, 40)],
      [found('car', 0.7, 1, 0), found('boat', 0.95, 80, 80), found('car', 0.2, 60, 0)],
      0.5,
    );
    expect(rows).toEqual([
      { label: 'boat', before: 0.95, after: null },
      { label: 'boat', before: null, after: 0.6 },
      { label: 'car', before: 0.7, after: 0.9 },
    ]);
  });
});
