/**
 * When is a float32 result right? Per element, |gpu - reference| <= c u depth magnitude + floor, with u = 2^-24, depth the
 * longest chain of roundings (terms of a serial sum, log2 of a tree's), and magnitude the float64 reference's own sum of
 * the magnitudes of the terms: tight for well-scaled data, forgiving only where terms cancel, and never fitted to results.
 */
export const UNIT_ROUNDOFF = 2 ** -24;

export interface Reference {
  value: ArrayLike<number>;
  /** Sum of the magnitudes that enter each element; |value| when left out. */
  magnitude?: ArrayLike<number> | undefined;
}

export interface Tolerance {
  depth: number;
  /** 4 when left out: a product and a sum round each term, and WGSL may round either way. */
  c?: number;
  /** Absolute error that is always allowed; 0 when left out. */
  floor?: number;
}

export interface Worst {
  index: number;
  actual: number;
  expected: number;
  /** Error over allowed error; above 1 is wrong. */
  ratio: number;
}

/** The element that is furthest from the reference in terms of what it is allowed. */
export function worst(actual: ArrayLike<number>, reference: Reference, { depth, c = 4, floor = 0 }: Tolerance): Worst {
  const { value, magnitude } = reference;
  if (actual.length !== value.length) throw new Error(`${actual.length} elements, the reference has ${value.length}`);
  let found: Worst = { index: -1, actual: 0, expected: 0, ratio: 0 };
  for (let i = 0; i < value.length; i++) {
    const error = Math.abs(actual[i] - value[i]);
    const allowed = c * UNIT_ROUNDOFF * depth * Math.abs(magnitude ? magnitude[i] : value[i]) + floor;
    const ratio = error === 0 ? 0 : error / allowed;
    // Not a number is not close to anything.
    if (!(ratio <= found.ratio)) found = { index: i, actual: actual[i], expected: value[i], ratio: Number.isNaN(ratio) ? Infinity : ratio };
  }
  return found;
}

/** Throws unless every element is within its tolerance. */
export function expectClose(actual: ArrayLike<number>, reference: Reference, tolerance: Tolerance): void {
  const { index, actual: got, expected, ratio } = worst(actual, reference, tolerance);
  if (ratio > 1) throw new Error(`element ${index} is ${got}, expected ${expected}: ${ratio.toPrecision(3)} times the allowed error`);
}

/** For mutation checks: throws if the tolerance would have let this (deliberately wrong) reference pass. */
export function expectFar(actual: ArrayLike<number>, wrong: Reference, tolerance: Tolerance): void {
  const { ratio } = worst(actual, wrong, tolerance);
  if (ratio <= 1) throw new Error(`a wrong reference passed: largest error is ${ratio.toPrecision(3)} of the allowed one`);
}
