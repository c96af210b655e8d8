import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Assignment, assign } from '../../src/training/assignment.ts';
import { errorOf } from '../checkpoints/fixtures.ts';
import { random } from '../setup/random.ts';
import { fixture } from './fixtures.ts';

const golden = await fixture('loss');

/** The optimum by trying everything. */
function exhaustive(costs: ArrayLike<number>, rows: number, columns: number): number {
  const best = (row: number, taken: number, skips: number): number => {
    if (row === rows) return 0;
    let least = skips > 0 ? best(row + 1, taken, skips - 1) : Infinity;
    for (let c = 0; c < columns; c++) {
      if (!(taken & (1 << c))) least = Math.min(least, costs[row * columns + c] + best(row + 1, taken | (1 << c), skips));
    }
    return least;
  };
  return best(0, 0, Math.max(0, rows - columns));
}

function expectPairs(found: Assignment, rows: number, columns: number): void {
  const count = Math.min(rows, columns);
  expect(found.rows.length).toBe(count);
  expect(new Set(found.columns).size).toBe(count);
  expect([...found.rows]).toEqual([...new Set(found.rows)].sort((a, b) => a - b));
  expect([...found.columns].every((c) => c < columns)).toBe(true);
}

describe('assign', () => {
  it.each(golden.cases.filter(({ op }) => op === 'linear_sum_assignment'))('$name costs what scipy found', ({ name, total }) => {
    const [rows, columns] = golden.shape(`${name}/in/cost`);
    const found = assign(golden.values(`${name}/in/cost`), rows, columns);
    expectPairs(found, rows, columns);
    expect(Math.abs(found.cost - total!)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(total!)) * 100);
    if (/duplicate|ties/.test(name)) return;
    expect([...found.rows]).toEqual([...golden.values(`${name}/out/row`)]);
    expect([...found.columns]).toEqual([...golden.values(`${name}/out/col`)]);
  });

  it('is optimal among all assignments, ties included', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 2 ** 31 }),
        (rows, columns, seed) => {
          const r = random(seed);
          const whole = seed % 2 === 0;
          const costs = Float64Array.from({ length: rows * columns }, () => (whole ? r.integer(4) - 1 : r.normal()));
          const found = assign(costs, rows, columns);
          expectPairs(found, rows, columns);
          expect(found.cost).toBeCloseTo(exhaustive(costs, rows, columns), 10);
        },
      ),
      { numRuns: 200, seed: 7 },
    );
  });

  it('reads a table inside a longer array, and is quick at 300 queries', () => {
    const wide = random(3).array(310 * 320);
    const dense = Float32Array.from({ length: 300 * 300 }, (_, i) => wide[7 + Math.floor(i / 300) * 320 + (i % 300)]);
    const begun = performance.now();
    const found = assign(wide, 300, 300, { offset: 7, pitch: 320 });
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(found).toEqual(assign(dense, 300, 300));
  });

  it('gives nothing for no columns and refuses what is no number', async () => {
    expect(assign([], 30, 0)).toEqual({ rows: new Uint32Array(0), columns: new Uint32Array(0), cost: 0 });
    const error = await errorOf((async () => assign([0, 1, 2, NaN], 2, 2))());
    expect(error).toMatchObject({ code: 'E_INPUT', details: { row: 1, column: 1 } });
    expect((await errorOf((async () => assign([Infinity], 1, 1))()))?.code).toBe('E_INPUT');
  });
});
