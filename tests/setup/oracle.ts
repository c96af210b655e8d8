/**
 * The pointwise table over float64 numbers that carry their error: each is a value and how far float32 arithmetic on the GPU
 * may be from it, by WGSL's own bounds (accuracy of built-in functions, gpuweb.github.io/gpuweb/wgsl/#floating-point-accuracy).
 * So every row of the table gets its tolerance from its own arithmetic.
 */
import type { Algebra, PointwiseRow } from '../../src/graph/pointwise.ts';

export interface Bounded {
  value: number;
  /** The GPU's result lies within value - error .. value + error. */
  error: number;
}

interface Condition {
  holds: boolean;
  /** Too close to call in float32: either branch may be taken. */
  open: boolean;
}

const ULP = 2 ** -23;
/** Results below the smallest normal number may be flushed to zero. */
const TINY = 2 ** -126;

const rounded = (value: number, error: number, ulps = 1): Bounded => ({ value, error: error + ulps * ULP * Math.abs(value) + TINY });

/** erf(x) = 2 / sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!: all terms have one sign. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** log(x) and log2(x) may be off by 2^-21 between 0.5 and 2, by three units elsewhere. */
const logError = (x: number, log: number): number =>
  x >= 0.5 && x <= 2 ? Math.max(2 ** -21, 3 * ULP * Math.abs(log)) : 3 * ULP * Math.abs(log);

export const boundedAlgebra: Algebra<Bounded, Condition> = {
  constant: (value) => ({ value, error: Math.abs(value - Math.fround(value)) }),
  add: (a, b) => rounded(a.value + b.value, a.error + b.error),
  sub: (a, b) => rounded(a.value - b.value, a.error + b.error),
  mul: (a, b) => rounded(a.value * b.value, Math.abs(a.value) * b.error + Math.abs(b.value) * a.error + a.error * b.error),
  div: (a, b) => {
    const value = a.value / b.value;
    return rounded(value, (a.error + Math.abs(value) * b.error) / Math.max(Math.abs(b.value) - b.error, TINY), 2.5);
  },
  neg: (a) => ({ value: -a.value, error: a.error }),
  abs: (a) => ({ value: Math.abs(a.value), error: a.error }),
  max: (a, b) => ({ value: Math.max(a.value, b.value), error: Math.max(a.error, b.error) }),
  min: (a, b) => ({ value: Math.min(a.value, b.value), error: Math.max(a.error, b.error) }),
  exp: (a) => {
    const value = Math.exp(a.value);
    return rounded(value, value * Math.expm1(a.error), 3 + 2 * Math.abs(a.value));
  },
  log: (a) => {
    const value = Math.log(a.value);
    return { value, error: a.error / Math.max(a.value - a.error, TINY) + logError(a.value, value) };
  },
  // Inherited from 1 / inverseSqrt: two units and a division.
  sqrt: (a) => {
    const value = Math.sqrt(a.value);
    return rounded(value, value > 0 ? a.error / value : Math.sqrt(a.error), 4.5);
  },
  inverseSqrt: (a) => {
    const value = 1 / Math.sqrt(a.value);
    return rounded(value, (value * a.error) / a.value, 2);
  },
  // Inherited from exp2(y * log2(x)).
  pow: (a, b) => {
    const log = Math.log2(a.value);
    const exponent = b.value * log;
    const error =
      Math.abs(b.value) * (logError(a.value, log) + a.error / a.value / Math.LN2) + b.error * Math.abs(log) + ULP * Math.abs(exponent);
    const value = a.value ** b.value;
    return rounded(value, value * (2 ** error - 1), 3 + 2 * Math.abs(exponent));
  },
  // Our own functions (src/graph/wgsl-functions.ts). tanh's worst place is 1/4, where (1 - e) / (1 + e) begins: e = 0.61 is off
  // by four units, 1 - e = 0.39 by 6.2 and a rounding; the division adds 2.5, the denominator two.
  tanh: (a) => {
    const value = Math.tanh(a.value);
    return rounded(value, a.error * (1 - value * value), 12);
  },
  // A minimax fit of 9e-8; near zero a fit of erf(x) / x, in two roundings.
  erf: (a) => {
    const value = erf(a.value);
    return rounded(value, a.error * (2 / Math.sqrt(Math.PI)) * Math.exp(-a.value * a.value) + 9e-8 * Math.min(1, Math.abs(a.value)), 3);
  },
  relu: (a) => ({ value: Math.max(a.value, 0), error: a.error }),
  sigmoid: (a) => {
    const m = boundedAlgebra;
    const e = m.exp(m.neg(m.abs(a)));
    return m.div(m.select(m.less(a, m.constant(0)), e, m.constant(1)), m.add(m.constant(1), e));
  },
  softplusTail: (a) => {
    const m = boundedAlgebra;
    const e = m.exp(m.neg(m.abs(a)));
    const z = m.div(e, m.add(e, m.constant(2)));
    const s = m.mul(z, z);
    const series = m.mul(m.mul(m.constant(2), z), m.add(m.constant(1), m.mul(s, m.add(m.constant(1 / 3), m.mul(s, m.constant(1 / 5))))));
    return m.select(m.less(e, m.constant(0.125)), series, m.log(m.add(m.constant(1), e)));
  },
  less: (a, b) => ({ holds: a.value < b.value, open: Math.abs(a.value - b.value) <= a.error + b.error }),
  select: ({ holds, open }, a, b) => {
    const chosen = holds ? a : b;
    return open ? { value: chosen.value, error: Math.max(a.error, b.error) + Math.abs(a.value - b.value) } : chosen;
  },
};

/** A row of the table for one element. The operands are float32 numbers, so they are exact. */
export function evaluate(row: PointwiseRow, operands: readonly number[], constants: readonly number[] = []): Bounded {
  return row.value(
    boundedAlgebra,
    operands.map((value) => ({ value, error: 0 })),
    constants,
  );
}
