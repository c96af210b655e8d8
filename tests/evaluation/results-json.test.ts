import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluateDetections } from '../../src/evaluation/coco.ts';
import { readResults, writeResults } from '../../src/evaluation/results-json.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { readVectors, records } from './vectors.ts';

const categories = [
  { id: 3, name: 'cat' },
  { id: 90, name: 'dog' },
];

describe('COCO results files', () => {
  it('come back as they were written, with the same AP, and hold the data set’s own ids', () => {
    const vector = readVectors(join(root, 'tests/fixtures/coco-eval'))[0];
    const { images, categories, detections } = records(vector);
    const text = writeResults(detections, categories);
    expect(JSON.parse(text)).toEqual(vector.dt);
    expect(readResults(text, categories)).toEqual(detections);
    expect(evaluateDetections(images, categories, readResults(text, categories)).stats).toEqual(vector.expected.stats);
  });

  it('every digit of a float32 score survives, and no detection is a file too', () => {
    const detection = { imageId: 7, label: 1, score: Math.fround(0.1), box: [Math.fround(1 / 3), 0, 1e-7, 12345.678] as const };
    expect(readResults(writeResults([detection], categories), categories)).toEqual([detection]);
    expect(readResults(writeResults([], categories), categories)).toEqual([]);
  });

  it('name the entry and the field that is wrong', () => {
    const good = { image_id: 1, category_id: 3, bbox: [1, 2, 3, 4], score: 0.5 };
    const refused = (value: unknown, message: RegExp) =>
      expect(() => readResults(typeof value === 'string' ? value : JSON.stringify(value), categories)).toThrowError(message);
    refused('[{"image_id": 1', /not JSON/);
    refused({ images: [] }, /found object, expected an array/);
    refused('null', /found null/);
    refused([good, null], /entry 1: it is null/);
    refused([{ ...good, image_id: '1' }], /entry 0: image_id is "1", expected a number/);
    refused([{ ...good, score: undefined }], /entry 0: score is undefined/);
    refused([{ ...good, category_id: 1 }], /entry 0: category_id is 1, expected one of 3, 90/);
    refused([{ ...good, bbox: [1, 2, 3] }], /entry 0: bbox is \[1,2,3\]/);
    refused([{ ...good, bbox: [1, 2, 3, null] }], /entry 0: bbox/);
  });
});
