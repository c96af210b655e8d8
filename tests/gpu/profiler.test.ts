import { describe, expect, it } from 'vitest';
import { quantumOf } from '../../src/gpu/profiler.ts';
import { page } from '../setup/gpu.ts';
import type { ProfiledTwice } from './profiler.page.ts';

describe('profiler', () => {
  it("finds the step of a clock that browsers round, and a fine clock's", () => {
    expect(quantumOf([700_000n, 100_000n, 1_300_000n, 900_000n])).toBe(200_000n);
    expect(quantumOf([65_536n * 9n, 65_536n * 4n, 65_536n * 15n])).toBe(65_536n);
    expect(quantumOf([1_234_567n, 1_234_999n, 2_000_000n])).toBe(1n);
    // What was seen before counts on: a few equal readings alone would tell nothing.
    expect(quantumOf([500_000n, 500_000n], 100_000n)).toBe(100_000n);
  });

  it('times every dispatch by timestamps and by the wall clock, leaving results and buffers as they were', async () => {
    const { timestamps, wallClock, before, after, left, hasTimestamps } = await page.call<ProfiledTwice>('profiler', null);
    expect(timestamps.method).toBe(hasTimestamps ? 'timestamps' : 'wall clock');
    expect(wallClock.method).toBe('wall clock');
    for (const profile of [timestamps, wallClock]) {
      expect(profile.steps).toHaveLength(2);
      expect(profile.kernels.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
      expect(profile.kernels.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(2);
      for (const { microseconds, samples, bytes, gbps } of profile.steps) {
        expect(microseconds).toBeGreaterThan(0);
        expect(samples).toEqual([...samples].sort((a, b) => a - b));
        expect(gbps).toBeCloseTo(bytes / microseconds / 1000, 6);
      }
    }
    expect(timestamps.steps[0].samples).toHaveLength(3);
    expect(after).toEqual(before);
    expect(left).toBe(0);
  });
});
