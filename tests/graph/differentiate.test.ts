import { describe, expect, it } from 'vitest';
import { derivative, withoutUnused } from '../../src/graph/differentiate.ts';
import type { PointwiseRow } from '../../src/graph/pointwise.ts';
import { rows } from '../../src/ops/pointwise.ts';
import { evaluate } from '../setup/oracle.ts';
import { random } from '../setup/random.ts';

/** Constants and operand ranges of the rows that do not take any number. */
const constants: Record<string, number[]> = {
  leakyRelu: [0.1],
  pow: [2.5],
  scale: [1.5, -0.25],
  clamp: [-0.5, 0.5],
  inverseSigmoid: [1e-5],
  sigmoidFocal: [0.25, 2],
  varifocal: [0.75, 2],
  focalCost: [0.25, 2],
  repeated: [0.5],
};
const positive = new Set(['log', 'sqrt', 'inverseSqrt', 'pow', 'div']);
const unit = new Set(['inverseSigmoid', 'bceWithLogits', 'sigmoidFocal', 'varifocal', 'refineBox']);

const slope = (row: PointwiseRow, operands: number[], at: number, fixed: number[]): number => {
  const h = 1e-6;
  const shifted = (by: number) =>
    evaluate(
      row,
      operands.map((v, i) => (i === at ? v + by : v)),
      fixed,
    ).value;
  return (shifted(h) - shifted(-h)) / (2 * h);
};

describe.each(Object.entries(rows))('%s', (name, row) => {
  it('has the slope of finite differences in every operand', () => {
    const next = random(name.length * 7919 + row.arity);
    const fixed = constants[name] ?? [];
    for (let trial = 0; trial < 40; trial++) {
      const operands = Array.from({ length: row.arity }, (_, i) => {
        const u = next.uniform();
        if (positive.has(name)) return 0.2 + 2 * u;
        return unit.has(name) && (i > 0 || name === 'inverseSigmoid') ? 0.05 + 0.9 * u : 4 * u - 2;
      });
      for (let at = 0; at < row.arity; at++) {
        const expected = slope(row, operands, at, fixed);
        const found = evaluate(derivative(row, at), [...operands, 1], fixed).value;
        expect(Math.abs(found - expected), `${name} operand ${at} at ${operands}`).toBeLessThan(1e-6 * (1 + Math.abs(expected)));
        expect(evaluate(derivative(row, at), [...operands, -3], fixed).value).toBeCloseTo(-3 * found, 9);
      }
    }
  });
});

describe('at kinks and ties, as torch', () => {
  const at = (row: PointwiseRow, operands: number[], operand = 0, fixed: number[] = []) =>
    evaluate(derivative(row, operand), [...operands, 1], fixed).value;

  it.each([
    ['relu passes nothing at 0', at(rows.relu, [0]), 0],
    ['sigmoid has its slope at 0', at(rows.sigmoid, [0]), 0.25],
    ['softplus has its slope at 0', at(rows.softplus, [0]), 0.5],
    ['cross-entropy has its slope at 0', at(rows.bceWithLogits, [0, 0.25]), 0.25],
    ['a clamp passes at its lower bound', at(rows.clamp, [-0.5], 0, [-0.5, 0.5]), 1],
    ['a clamp passes at its upper bound', at(rows.clamp, [0.5], 0, [-0.5, 0.5]), 1],
    ['a clamp stops outside', at(rows.clamp, [0.6], 0, [-0.5, 0.5]), 0],
    ['a leaky relu takes its slope at 0', at(rows.leakyRelu, [0], 0, [0.1]), 0.1],
    ['a hard sigmoid stops at its ends', at(rows.hardSigmoid, [3]) + at(rows.hardSigmoid, [-3]), 0],
    ['max shares a tie', at(rows.max, [2, 2], 1), 0.5],
    ['min shares a tie', at(rows.min, [2, 2], 0), 0.5],
    ['|x| has slope 0 at 0', at(rows.abs, [0]), 0],
  ])('%s', (_, found, expected) => {
    expect(found).toBeCloseTo(expected, 12);
  });
});

describe('operands that a derivative does not read', () => {
  const unused = (row: PointwiseRow, at: number, constants: readonly number[] = []) => withoutUnused(derivative(row, at), constants);

  it('are left out, and what only hands the gradient on is no operation', () => {
    expect(unused(rows.add, 0)).toEqual({ row: null, used: [2] });
    expect(unused(rows.sub, 0)).toEqual({ row: null, used: [2] });
    expect(unused(rows.mulAdd, 2)).toEqual({ row: null, used: [3] });
    expect(unused(rows.sub, 1).used).toEqual([2]);
    expect(unused(rows.mul, 0).used).toEqual([1, 2]);
    expect(unused(rows.mulAdd, 0).used).toEqual([1, 3]);
    expect(unused(rows.where, 1).used).toEqual([0, 3]);
    expect(unused(rows.scale, 0, [1, 5])).toEqual({ row: null, used: [1] });
    expect(unused(rows.div, 1).used).toEqual([0, 1, 2]);
  });
});
