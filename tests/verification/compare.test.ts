/** The comparisons can fail: every gate is shown a mistake it must catch. */
import { describe, expect, test } from 'vitest';
import {
  compareFloored,
  compareModel,
  compareOperation,
  compareSelection,
  GATES,
  matchQueries,
  maxAbsError,
  modelLimit,
  operationLimit,
  relativeL2,
  reorderQueries,
} from '../../src/verification/compare.ts';
import { uniform } from '../../src/verification/formula.ts';

const reference = uniform('compare', 256).map((u) => 2 * u - 1);
const recorded = { maxAbs: 6e-8, relL2: 8e-8 };

function changed(change: (values: Float32Array) => void): Float32Array {
  const copy = reference.slice();
  change(copy);
  return copy;
}

/** Mistakes of the kind that kernels make. */
const mutations: Record<string, Float32Array> = {
  'two elements swapped': changed((v) => v.set([v[18], v[17]], 17)),
  'one element left out (zero)': changed((v) => v.fill(0, 40, 41)),
  'the last element not written': changed((v) => v.fill(0, 255)),
  'shifted by one': changed((v) => v.copyWithin(1, 0)),
  'a sign lost': changed((v) => v.set([-v[3]], 3)),
  'one value off by 1e-4': changed((v) => v.set([v[100] + 1e-4], 100)),
  'a NaN': changed((v) => v.set([Number.NaN], 9)),
  'an infinity': changed((v) => v.set([Number.POSITIVE_INFINITY], 9)),
  'an element too few': reference.slice(0, 255),
  'an element too many': Float32Array.from([...reference, 0]),
};

describe('mistakes fail', () => {
  test.each(Object.entries(mutations))('in an operation: %s', (_, ours) => {
    expect(compareOperation('out', ours, reference, recorded).ok).toBe(false);
  });
  test.each(Object.entries(mutations))('in a stage of a model: %s', (name, ours) => {
    // In 256 samples of norm 9, one value off by 1e-4 is 1e-5: between the gates of small and full models.
    const gate = name.includes('1e-4') ? GATES.eval.stage : GATES.full.stage;
    expect(compareModel('stage', 'rel L2', ours, reference, gate, recorded, 'float64').ok).toBe(false);
  });
  test.each(Object.entries(mutations))('in the boxes of a model: %s', (_, ours) => {
    expect(compareModel('pred_boxes', 'max abs', ours, reference, GATES.full.boxes, recorded, 'float64').ok).toBe(false);
  });
  test('an index off by one', () => expect(compareOperation('indices', [1, 2, 4], [1, 2, 3], undefined, true).ok).toBe(false));
});

describe('rounding passes', () => {
  const rounded = reference.map((v, i) => v * (1 + (i % 2 ? 1 : -1) * 2 ** -23));
  test('in an operation', () => expect(compareOperation('out', rounded, reference, recorded).ok).toBe(true));
  test('in a stage', () => expect(compareModel('s', 'rel L2', rounded, reference, GATES.eval.stage, recorded, 'float64').ok).toBe(true));
  test('equal infinities', () => expect(maxAbsError([1, Infinity], [1, Infinity])).toBe(0));
  test('a zero reference is compared absolutely', () => expect(relativeL2([3e-8, 4e-8], [0, 0])).toBeCloseTo(5e-8, 12));
});

describe('limits', () => {
  test('an operation may be 8 times as far off as PyTorch, and two units in the last place of its largest value', () => {
    expect(operationLimit({ maxAbs: 1e-6, relL2: 0 }, [0, -3])).toBeCloseTo(8e-6 + 6e-6 + 1e-7, 12);
    expect(operationLimit(undefined, [0.5])).toBeCloseTo(1e-6 + 1e-7, 12);
    expect(operationLimit(undefined, [Number.POSITIVE_INFINITY, 1])).toBeCloseTo(2e-6 + 1e-7, 12);
  });
  test('a model stays under its gate', () => {
    expect(modelLimit(3e-5, 3e-7, 2e-6)).toBeCloseTo(8e-6, 12);
    expect(modelLimit(3e-5, 3e-6, 2e-6)).toBeCloseTo(3e-5, 12);
    expect(modelLimit(3e-5, undefined, 2e-6)).toBe(3e-5);
  });
  test('unless PyTorch itself is near it', () => expect(modelLimit(3e-5, 1e-5, 2e-6)).toBeCloseTo(8e-5, 12));
});

describe('the selection', () => {
  const scores = new Map([
    [7, 0.9],
    [3, 0.89999],
    [5, 0.5],
    [8, 0.1],
  ]);
  const score = (token: number) => scores.get(token) ?? Number.NaN;

  test('neighbours with nearly equal scores may change places', () => {
    const match = matchQueries([3, 7, 5], [7, 3, 5], score);
    expect([...match.rows]).toEqual([1, 0, 2]);
    expect(compareSelection('topk', match).ok).toBe(true);
  });
  test('others may not', () => expect(compareSelection('topk', matchQueries([7, 5, 3], [7, 3, 5], score)).ok).toBe(false));
  test('another token fails', () => {
    const match = matchQueries([7, 3, 8], [7, 3, 5], score);
    expect(match.missing).toBe(1);
    expect(compareSelection('topk', match)).toMatchObject({ ok: false, error: Number.POSITIVE_INFINITY });
  });
  test('an unknown token fails', () => expect(compareSelection('topk', matchQueries([7, 99], [7, 3], score)).ok).toBe(false));
  test('a token twice where the reference has it once fails', () => {
    expect(compareSelection('topk', matchQueries([7, 7], [7, 3], score)).ok).toBe(false);
  });
  test('a token that the reference has twice is matched twice', () => {
    expect([...matchQueries([7, 7, 3], [7, 3, 7], score).rows]).toEqual([0, 2, 1]);
  });

  test('rows follow their tokens, and a missing one is NaN', () => {
    const matches = [matchQueries([3, 7], [7, 3], score), matchQueries([5, 8], [5, 7], score)];
    const rows = reorderQueries([1, 2, 3, 4, 5, 6, 7, 8], matches);
    expect([...rows]).toEqual([3, 4, 1, 2, 5, 6, Number.NaN, Number.NaN]);
  });
});

test('bytes are those below our numbers, and either neighbour only where a number lies on a step', () => {
  const compare = (ours: number, theirs: number) => compareFloored('x', [ours], [theirs]).ok;
  expect([compare(2.7, 2), compare(2.7, 3), compare(2.7, 1)]).toEqual([true, false, false]);
  expect([compare(2.9995, 2), compare(2.9995, 3), compare(2.9995, 4), compare(2.9995, 1)]).toEqual([true, true, false, false]);
  expect([compare(3.0005, 2), compare(3.0005, 3), compare(3.0005, 4)]).toEqual([true, true, false]);
  expect(compare(2.99, 3)).toBe(false);
});
