import { describe, expect, it } from 'vitest';
import { ArenaLayout } from '../../src/training/arena.ts';
import { parameterGroups } from '../../src/training/groups.ts';
import { averageDecay, rateFactor } from '../../src/training/schedule.ts';
import { errorOf } from '../checkpoints/fixtures.ts';

const base = { rate: 1e-4, decay: 1e-4 };
describe('parameterGroups', () => {
  it('gives a name that two patterns match to the first, and says so', () => {
    const rules = [
      { pattern: 'bias', decay: 0 },
      { pattern: '^a\\.', rate: 1 },
    ];
    const { groups, notes } = parameterGroups(['a.bias', 'a.weight', 'b.bias'], { ...base, rules });
    expect(groups.map((g) => g.names)).toEqual([['a.bias', 'b.bias'], ['a.weight']]);
    expect(notes).toEqual([expect.stringContaining('a.bias')]);
  });

  it('refuses a pattern without a match, or that is none', async () => {
    expect(await errorOf(() => parameterGroups(['a'], { ...base, rules: [{ pattern: 'backbone' }] }))).toMatchObject({
      code: 'E_INPUT',
      details: { pattern: 'backbone' },
    });
    expect((await errorOf(() => parameterGroups(['a'], { ...base, rules: [{ pattern: '(' }] }))).code).toBe('E_INPUT');
  });
});

describe('schedules', () => {
  it('warms up linearly and steps down at milestones', () => {
    const options = { warmupSteps: 10, milestones: [3, 5], gamma: 0.5 };
    expect([0, 4, 9, 100].map((step) => rateFactor(step, 0, options))).toEqual([0.1, 0.5, 1, 1]);
    expect([2, 3, 4, 5].map((epoch) => rateFactor(50, epoch, options))).toEqual([1, 0.5, 0.5, 0.25]);
    expect(rateFactor(0, 0)).toBe(1);
    const line = { warmupSteps: 2000, warmupStart: 0.001 };
    expect([0, 1000, 2000, 3000].map((step) => rateFactor(step, 0, line))).toEqual([0.001, 0.5005, 1, 1]);
  });

  it('lets the average begin quickly', () => {
    expect(averageDecay(1)).toBeCloseTo(0.9999 * (1 - Math.exp(-1 / 2000)), 15);
    expect(averageDecay(1e6)).toBe(0.9999);
  });
});

describe('ArenaLayout', () => {
  const tensors = [
    { name: 'x', size: 65, kind: 'trained', group: 1 },
    { name: 'y', size: 64, kind: 'trained', group: 0 },
    { name: 's', size: 3, kind: 'statistics' },
    { name: 'l', size: 1, kind: 'watched' },
    { name: 'z', size: 1, kind: 'trained', group: 1 },
  ] as const;

  it('keeps groups together and every tensor aligned', () => {
    const layout = new ArenaLayout(tensors, 1024);
    expect(layout.names).toEqual(['l', 'y', 'x', 'z', 's']);
    expect(layout.segments).toEqual([256, 128]);
    expect(layout.spans.map(({ kind, end }) => [kind, end])).toEqual([
      ['watched', 64],
      ['trained', 128],
      ['trained', 320],
      ['statistics', 384],
    ]);
    expect(layout.place('z')).toEqual({ segment: 1, offset: 0, size: 1 });
    expect(layout.tensorAt(128 + 64)).toEqual({ name: 'x', index: 64 });
  });

  it('refuses what does not fit, names that come twice or are unknown', async () => {
    expect((await errorOf(() => new ArenaLayout(tensors, 256))).code).toBe('E_GPU_LIMIT');
    expect((await errorOf(() => new ArenaLayout([tensors[0], tensors[0]], 1024))).code).toBe('E_INPUT');
    expect((await errorOf(() => new ArenaLayout(tensors, 1024).place('q'))).code).toBe('E_INPUT');
  });
});
