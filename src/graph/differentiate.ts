/**
 * Derivatives of pointwise rows. A row is evaluated over dual numbers (value, derivative) whose parts belong to any other
 * algebra: over WGSL text that gives the gradient's kernel, over float64 the oracle. No gradient is written by hand.
 *
 * Ties follow torch: relu passes nothing at 0, a clamp's bound passes the gradient when met exactly, max and min of two
 * equal operands share it in halves.
 */
import type { Algebra, PointwiseRow } from './pointwise.ts';

/** Derivative null: a constant of the differentiation. */
interface Dual<T> {
  value: T;
  derivative: T | null;
}

function dual<T, B>(m: Algebra<T, B>): Algebra<Dual<T>, B> {
  const zero = m.constant(0);
  const one = m.constant(1);
  const chain = (value: T, a: Dual<T>, slope: () => T): Dual<T> => ({
    value,
    derivative: a.derivative === null ? null : m.mul(a.derivative, slope()),
  });
  const sum = (a: T | null, b: T | null): T | null => (a === null ? b : b === null ? a : m.add(a, b));
  const times = (a: T | null, b: T): T | null => (a === null ? null : m.mul(a, b));
  const extreme = (a: Dual<T>, b: Dual<T>, value: T, first: B, second: B): Dual<T> => {
    if (a.derivative === null && b.derivative === null) return { value, derivative: null };
    const da = a.derivative ?? zero;
    const db = b.derivative ?? zero;
    // Against a constant a tie passes everything (torch's clamp); between two variables it is shared.
    const tie = a.derivative === null ? db : b.derivative === null ? da : m.mul(m.constant(0.5), m.add(da, db));
    return { value, derivative: m.select(first, da, m.select(second, db, tie)) };
  };
  return {
    constant: (value) => ({ value: m.constant(value), derivative: null }),
    add: (a, b) => ({ value: m.add(a.value, b.value), derivative: sum(a.derivative, b.derivative) }),
    sub: (a, b) => ({ value: m.sub(a.value, b.value), derivative: sum(a.derivative, b.derivative === null ? null : m.neg(b.derivative)) }),
    mul: (a, b) => ({ value: m.mul(a.value, b.value), derivative: sum(times(a.derivative, b.value), times(b.derivative, a.value)) }),
    div: (a, b) => {
      const value = m.div(a.value, b.value);
      const top = sum(a.derivative, b.derivative === null ? null : m.neg(m.mul(b.derivative, value)));
      return { value, derivative: top === null ? null : m.div(top, b.value) };
    },
    neg: (a) => ({ value: m.neg(a.value), derivative: a.derivative === null ? null : m.neg(a.derivative) }),
    max: (a, b) => extreme(a, b, m.max(a.value, b.value), m.less(b.value, a.value), m.less(a.value, b.value)),
    min: (a, b) => extreme(a, b, m.min(a.value, b.value), m.less(a.value, b.value), m.less(b.value, a.value)),
    relu: (a) => ({
      value: m.relu(a.value),
      derivative: a.derivative === null ? null : m.select(m.less(zero, a.value), a.derivative, zero),
    }),
    abs: (a) => chain(m.abs(a.value), a, () => m.select(m.less(zero, a.value), one, m.select(m.less(a.value, zero), m.constant(-1), zero))),
    exp: (a) => {
      const value = m.exp(a.value);
      return chain(value, a, () => value);
    },
    log: (a) => ({ value: m.log(a.value), derivative: a.derivative === null ? null : m.div(a.derivative, a.value) }),
    sqrt: (a) => {
      const value = m.sqrt(a.value);
      return chain(value, a, () => m.div(m.constant(0.5), value));
    },
    inverseSqrt: (a) => {
      const value = m.inverseSqrt(a.value);
      return chain(value, a, () => m.mul(m.constant(-0.5), m.mul(value, m.mul(value, value))));
    },
    pow: (a, b) => chain(m.pow(a.value, b.value), a, () => m.mul(b.value, m.pow(a.value, m.sub(b.value, one)))),
    tanh: (a) => {
      const value = m.tanh(a.value);
      return chain(value, a, () => m.sub(one, m.mul(value, value)));
    },
    erf: (a) => chain(m.erf(a.value), a, () => m.mul(m.constant(2 / Math.sqrt(Math.PI)), m.exp(m.neg(m.mul(a.value, a.value))))),
    sigmoid: (a) => {
      const value = m.sigmoid(a.value);
      return chain(value, a, () => m.mul(value, m.sub(one, value)));
    },
    // relu passes nothing at 0, so the tail's slope there is a half: together softplus has its sigmoid.
    softplusTail: (a) =>
      chain(m.softplusTail(a.value), a, () => {
        const slope = m.sigmoid(m.neg(m.abs(a.value)));
        return m.select(m.less(zero, a.value), m.neg(slope), slope);
      }),
    less: (a, b) => m.less(a.value, b.value),
    select: (condition, a, b) => ({
      value: m.select(condition, a.value, b.value),
      derivative: a.derivative === null && b.derivative === null ? null : m.select(condition, a.derivative ?? zero, b.derivative ?? zero),
    }),
  };
}

/** The row `g * d row / d operand[at]`: its operands are the row's own, then g. */
export function derivative(row: PointwiseRow, at: number): PointwiseRow {
  return {
    name: `${row.name}.gradient${at}`,
    arity: row.arity + 1,
    value: (m, operands, constants) => {
      const own = operands.slice(0, row.arity).map((value, i) => ({ value, derivative: i === at ? m.constant(1) : null }));
      const { derivative: slope } = row.value(dual(m), own, constants);
      return slope === null ? m.constant(0) : m.mul(operands[row.arity], slope);
    },
  };
}
