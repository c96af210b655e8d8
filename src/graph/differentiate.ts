/**
 * Derivatives of pointwise rows. A row is evaluated over dual numbers (value, derivative) whose parts belong to any other
 * algebra: over WGSL text that gives the gradient's kernel, over float64 the oracle. No gradient is written by hand.
 *
 * Ties follow torch: relu passes nothing at 0, a clamp's bound passes the gradient when met exactly, max and min of two
 * equal operands share it in halves.
 */
import type { Algebra, PointwiseRow } from './pointwise.ts';

/** Derivative null: zero. */
interface Dual<T> {
  value: T;
  derivative: T | null;
  /** Does it depend on an operand? Only a row's own constants do not, which decides what a tie is. */
  varies: boolean;
}

function dual<T, B>(m: Algebra<T, B>): Algebra<Dual<T>, B> {
  const zero = m.constant(0);
  const one = m.constant(1);
  const half = m.constant(0.5);
  const sum = (a: T | null, b: T | null): T | null => (a === null ? b : b === null ? a : m.add(a, b));
  const times = (a: T | null, b: T): T | null => (a === null ? null : m.mul(a, b));
  const negative = (a: T | null): T | null => (a === null ? null : m.neg(a));
  const of1 = (a: Dual<T>, value: T, slope: (value: T) => T): Dual<T> => ({
    value,
    derivative: a.derivative === null ? null : m.mul(a.derivative, slope(value)),
    varies: a.varies,
  });
  const of2 = (a: Dual<T>, b: Dual<T>, value: T, derivative: T | null): Dual<T> => ({ value, derivative, varies: a.varies || b.varies });
  const extreme = (a: Dual<T>, b: Dual<T>, value: T, first: B, second: B): Dual<T> => {
    if (a.derivative === null && b.derivative === null) return of2(a, b, value, null);
    const da = a.derivative ?? zero;
    const db = b.derivative ?? zero;
    // Against a constant a tie passes everything (torch's clamp); between two variables it is shared.
    const tie = m.mul(a.varies && b.varies ? half : one, m.add(da, db));
    return of2(a, b, value, m.select(first, da, m.select(second, db, tie)));
  };
  return {
    constant: (value) => ({ value: m.constant(value), derivative: null, varies: false }),
    add: (a, b) => of2(a, b, m.add(a.value, b.value), sum(a.derivative, b.derivative)),
    sub: (a, b) => of2(a, b, m.sub(a.value, b.value), sum(a.derivative, negative(b.derivative))),
    mul: (a, b) => of2(a, b, m.mul(a.value, b.value), sum(times(a.derivative, b.value), times(b.derivative, a.value))),
    div: (a, b) => {
      const value = m.div(a.value, b.value);
      const top = sum(a.derivative, negative(times(b.derivative, value)));
      return of2(a, b, value, top === null ? null : m.div(top, b.value));
    },
    neg: (a) => ({ ...a, value: m.neg(a.value), derivative: negative(a.derivative) }),
    max: (a, b) => extreme(a, b, m.max(a.value, b.value), m.less(b.value, a.value), m.less(a.value, b.value)),
    min: (a, b) => extreme(a, b, m.min(a.value, b.value), m.less(a.value, b.value), m.less(b.value, a.value)),
    relu: (a) => of1(a, m.relu(a.value), () => m.select(m.less(zero, a.value), one, zero)),
    abs: (a) => of1(a, m.abs(a.value), () => m.select(m.less(zero, a.value), one, m.select(m.less(a.value, zero), m.constant(-1), zero))),
    exp: (a) => of1(a, m.exp(a.value), (value) => value),
    log: (a) => of1(a, m.log(a.value), () => m.div(one, a.value)),
    sqrt: (a) => of1(a, m.sqrt(a.value), (value) => m.div(half, value)),
    inverseSqrt: (a) => of1(a, m.inverseSqrt(a.value), (value) => m.mul(m.constant(-0.5), m.mul(value, m.mul(value, value)))),
    pow: (a, b) => of1(a, m.pow(a.value, b.value), () => m.mul(b.value, m.pow(a.value, m.sub(b.value, one)))),
    tanh: (a) => of1(a, m.tanh(a.value), (value) => m.sub(one, m.mul(value, value))),
    erf: (a) => of1(a, m.erf(a.value), () => m.mul(m.constant(2 / Math.sqrt(Math.PI)), m.exp(m.neg(m.mul(a.value, a.value))))),
    sigmoid: (a) => of1(a, m.sigmoid(a.value), (value) => m.mul(value, m.sub(one, value))),
    // relu passes nothing at 0, so the tail's slope there is a half: together softplus has its sigmoid.
    softplusTail: (a) =>
      of1(a, m.softplusTail(a.value), () => {
        const slope = m.sigmoid(m.neg(m.abs(a.value)));
        return m.select(m.less(zero, a.value), m.neg(slope), slope);
      }),
    less: (a, b) => m.less(a.value, b.value),
    select: (condition, a, b) =>
      of2(
        a,
        b,
        m.select(condition, a.value, b.value),
        a.derivative === null && b.derivative === null ? null : m.select(condition, a.derivative ?? zero, b.derivative ?? zero),
      ),
  };
}

/** The row `g * d row / d operand[at]`: its operands are the row's own, then g. */
export function derivative(row: PointwiseRow, at: number): PointwiseRow {
  return {
    name: `${row.name}.gradient${at}`,
    arity: row.arity + 1,
    value: (m, operands, constants) => {
      const own = operands.slice(0, row.arity).map((value, i) => ({ value, derivative: i === at ? m.constant(1) : null, varies: true }));
      const { derivative: slope } = row.value(dual(m), own, constants);
      return slope === null ? m.constant(0) : m.mul(operands[row.arity], slope);
    },
  };
}

/** What a row's value is known to be made of: a constant, one operand as it is, or anything that depends on some of them. */
interface Dependence {
  constant?: number;
  operand?: number;
  on: ReadonlySet<number>;
}

const joined = (...parts: readonly Dependence[]): Dependence => ({ on: new Set(parts.flatMap(({ on }) => [...on])) });
const isConstant = ({ constant }: Dependence, value: number): boolean => constant === value;

const dependence: Algebra<Dependence, Dependence> = {
  constant: (constant) => ({ constant, on: new Set() }),
  add: (a, b) => (isConstant(a, 0) ? b : isConstant(b, 0) ? a : joined(a, b)),
  sub: (a, b) => (isConstant(b, 0) ? a : joined(a, b)),
  mul: (a, b) => (isConstant(a, 1) ? b : isConstant(b, 1) ? a : joined(a, b)),
  div: (a, b) => (isConstant(b, 1) ? a : joined(a, b)),
  neg: joined,
  max: joined,
  min: joined,
  relu: joined,
  abs: joined,
  exp: joined,
  log: joined,
  sqrt: joined,
  inverseSqrt: joined,
  pow: joined,
  tanh: joined,
  erf: joined,
  sigmoid: joined,
  softplusTail: joined,
  less: joined,
  select: joined,
};

/**
 * The row without the operands that it does not read, and which of them it reads; `row` is null where its value is the one
 * operand unchanged. What is not read need not be kept until the gradient is computed.
 */
export function withoutUnused(row: PointwiseRow, constants: readonly number[]): { row: PointwiseRow | null; used: readonly number[] } {
  const operands = Array.from({ length: row.arity }, (_, operand): Dependence => ({ operand, on: new Set([operand]) }));
  const { operand, on } = row.value(dependence, operands, constants);
  if (operand !== undefined) return { row: null, used: [operand] };
  const used = [...on].sort((a, b) => a - b);
  if (used.length === row.arity) return { row, used };
  return {
    used,
    row: {
      name: `${row.name}.of${used.join('')}`,
      arity: used.length,
      value: (m, given, own) =>
        row.value(
          m,
          operands.map((_, i) => (on.has(i) ? given[used.indexOf(i)] : m.constant(0))),
          own,
        ),
    },
  };
}
