import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { ALIGNMENT, formatPlan, type MemoryPlan, type PlannedAccess, planMemory } from '../../src/graph/plan.ts';

function values(sizes: readonly number[]): Value[] {
  const graph = new Graph();
  return sizes.map((size, i) => graph.value([size], 'f32', 'activation', `v${i}`));
}

/** What a plan must never do. */
function expectSound(plan: MemoryPlan, accesses: readonly PlannedAccess[], outputs: ReadonlySet<Value> = new Set()): void {
  const placed = new Map(plan.placements.map((p) => [p.value, p]));
  for (const { arena, offset, bytes, value } of plan.placements) {
    expect(offset % ALIGNMENT).toBe(0);
    expect(bytes).toBeGreaterThanOrEqual(value.images * value.rows * value.columns * 4);
    expect(offset + bytes).toBeLessThanOrEqual(plan.arenas[arena]);
  }
  accesses.forEach(({ reads, writes }, at) => {
    for (const r of reads) for (const w of writes) expect(placed.get(r)!.arena).not.toBe(placed.get(w)!.arena);
    // A value that something reads later lies where nothing else writes in between.
    for (const w of writes) {
      const mine = placed.get(w)!;
      for (const other of plan.placements) {
        const needed = outputs.has(other.value) || accesses.some((a, i) => i >= at && a.reads.includes(other.value));
        const exists = accesses.some((a, i) => i <= at && a.writes.includes(other.value));
        if (other.value === w || !needed || !exists || other.arena !== mine.arena) continue;
        expect(other.offset + other.bytes <= mine.offset || mine.offset + mine.bytes <= other.offset).toBe(true);
      }
    }
  });
  expect(plan.arenas.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(plan.lowerBound);
}

describe('the memory plan', () => {
  it('runs a chain in two arenas', () => {
    const chain = values([1000, 1000, 1000, 1000, 1000]);
    const accesses = chain.map((w, i) => ({ reads: i > 0 ? [chain[i - 1]] : [], writes: [w] }));
    const plan = planMemory(accesses);
    expectSound(plan, accesses);
    expect(plan.arenas).toEqual([4096, 4096]);
    expect(plan.lowerBound).toBe(8192);
  });

  it('gives every value its own place without reuse', () => {
    const chain = values([10, 20, 30, 40]);
    const accesses = chain.map((w, i) => ({ reads: i > 0 ? [chain[i - 1]] : [], writes: [w] }));
    const plan = planMemory(accesses, { reuse: false });
    expectSound(plan, accesses);
    const places = plan.placements.map((p) => `${p.arena} ${p.offset}`);
    expect(new Set(places).size).toBe(4);
    expect(plan.arenas.reduce((a, b) => a + b, 0)).toBe(4 * ALIGNMENT);
  });

  it('keeps outputs to the end', () => {
    const [a, b, c, d] = values([64, 64, 64, 64]);
    const accesses = [
      { reads: [], writes: [a] },
      { reads: [a], writes: [b] },
      { reads: [b], writes: [c] },
      { reads: [c], writes: [d] },
    ];
    const outputs = new Set([a, d]);
    const plan = planMemory(accesses, { outputs });
    expectSound(plan, accesses, outputs);
    const kept = plan.placements.find((p) => p.value === a)!;
    expect(kept.last).toBe(accesses.length);
  });

  it('leaves inputs and parameters alone', () => {
    const graph = new Graph();
    const x = graph.input('x', [4]).value;
    const [y] = values([4]);
    expect(planMemory([{ reads: [x], writes: [y] }]).placements.map((p) => p.value)).toEqual([y]);
  });

  it('is a table for people', () => {
    const [a, b] = values([2 ** 18, 2 ** 18]);
    const text = formatPlan(
      planMemory([
        { reads: [], writes: [a] },
        { reads: [a], writes: [b] },
      ]),
    );
    expect(text).toMatch(/^activations 2\.00 MiB in 2 arenas \(1\.00 \+ 1\.00\); at least 2\.00 MiB are alive at once\n/);
    expect(text).toMatch(/1\.00 MiB {2}arena \d @ +0 {2}dispatches 0\.\.1 {2}v0/);
  });

  it('is sound for any program', () => {
    const program = fc.array(fc.record({ size: fc.integer({ min: 1, max: 3000 }), reads: fc.array(fc.nat(1000), { maxLength: 4 }) }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(program, fc.nat(1000), fc.boolean(), (steps, keep, reuse) => {
        const all = values(steps.map((s) => s.size));
        const accesses = steps.map((s, i) => ({ reads: i > 0 ? [...new Set(s.reads.map((r) => all[r % i]))] : [], writes: [all[i]] }));
        const outputs = new Set([all[keep % all.length], all[all.length - 1]]);
        expectSound(planMemory(accesses, { outputs, reuse }), accesses, outputs);
      }),
      { numRuns: 150, seed: 1 },
    );
  });
});
