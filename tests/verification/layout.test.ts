import { describe, expect, test } from 'vitest';
import { denseWeights, depthwiseWeights, elementOf, linearWeights, toNchw, toNhwc, transpose } from '../../src/verification/layout.ts';

const count = (n: number) => Float32Array.from({ length: n }, (_, i) => i);

describe('layouts', () => {
  test('transpose puts dimension order[i] at i', () => {
    expect([...transpose(count(6), [2, 3], [1, 0])]).toEqual([0, 3, 1, 4, 2, 5]);
    expect([...transpose(count(8), [2, 2, 2], [2, 0, 1])]).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
  });

  test('maps go to [n, h, w, c] and back', () => {
    const values = count(2 * 3 * 2 * 2);
    const ours = toNhwc(values, [2, 3, 2, 2]);
    expect([...ours.subarray(0, 6)]).toEqual([0, 4, 8, 1, 5, 9]);
    expect(toNchw(ours, [2, 3, 2, 2])).toEqual(values);
  });

  test('weights', () => {
    // w[o][i][t] = 100 o + 10 i + t
    const w = Float32Array.from([0, 1, 10, 11, 100, 101, 110, 111]);
    expect([...denseWeights(w, [2, 2, 1, 2])]).toEqual([0, 100, 10, 110, 1, 101, 11, 111]);
    // Map c * m + j with taps t: 10 map + t; ours is [tap, j, c].
    const d = Float32Array.from([0, 1, 10, 11, 20, 21, 30, 31]);
    expect([...depthwiseWeights(d, [4, 1, 1, 2], 2)]).toEqual([0, 20, 10, 30, 1, 21, 11, 31]);
    expect([...linearWeights(count(6), [2, 3])]).toEqual([0, 3, 1, 4, 2, 5]);
  });
});

describe('where an element of a PyTorch tensor lies in ours', () => {
  const all = (theirs: number[], ours: number[]) => {
    const at = elementOf(theirs, ours);
    return at && Array.from({ length: ours.reduce((a, b) => a * b, 1) }, (_, p) => at(p));
  };
  test('maps', () => {
    const places = Float32Array.from(all([2, 3, 2, 2], [2, 2, 2, 3])!);
    expect(places).toEqual(toNchw(count(24), [2, 3, 2, 2]));
  });
  test('tokens and vectors keep their order', () => {
    expect(all([2, 3], [2, 1, 1, 3])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(all([1, 4, 2], [1, 2, 2, 2])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
  test('one plane kept as columns is spread over its cells', () => {
    expect(all([1, 1, 2, 4], [1, 1, 2, 4])).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
  });
  test('shapes that do not belong together are refused', () => {
    expect(elementOf([1, 3, 2, 2], [1, 2, 3, 3])).toBeNull();
    expect(elementOf([1, 3, 2, 4], [1, 4, 2, 3])).toBeNull();
    expect(elementOf([1, 4], [1, 5])).toBeNull();
  });
});
