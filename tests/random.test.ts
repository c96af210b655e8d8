import { describe, expect, it } from 'vitest';
import { philox, RandomStream } from '../src/random.ts';

describe('philox', () => {
  // Known answers of the authors' Random123 library (kat_vectors, philox4x32 10).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('of %j under %j', (counter, key, expected) => {
    const words = new Uint32Array(4);
    philox(counter as [number, number, number, number], key as [number, number], words);
    expect([...words]).toEqual(expected);
  });
});

describe('RandomStream', () => {
  it('gives the same number for an index in any order', () => {
    const stream = new RandomStream(2 ** 40 + 5, 3, 1);
    const forward = Array.from({ length: 40 }, (_, i) => stream.bits(i));
    const backward = Array.from({ length: 40 }, (_, i) => stream.bits(39 - i)).reverse();
    expect(backward).toEqual(forward);
    expect(new Set(forward).size).toBe(40);
  });

  it('differs by seed (its upper bits too), step, stream and domain', () => {
    const all = [[1], [1 + 2 ** 32], [1, 1], [1, 0, 1], [1, 0, 0, 1]].map(
      ([seed, step = 0, stream = 0, domain = 0]) => new RandomStream(seed, step, stream, domain),
    );
    expect(new Set(all.map((s) => s.bits(0))).size).toBe(5);
  });

  it('is uniform', () => {
    const stream = new RandomStream(9, 1, 2);
    const count = 20000;
    const values = Array.from({ length: count }, (_, i) => stream.uniform(i));
    expect(values.every((v) => v >= 0 && v < 1 && Math.fround(v) === v)).toBe(true);
    const mean = values.reduce((a, b) => a + b) / count;
    // Six standard deviations of a uniform mean.
    expect(Math.abs(mean - 0.5)).toBeLessThan(6 * Math.sqrt(1 / 12 / count));
    const bins = new Array(7).fill(0);
    for (let i = 0; i < count; i++) bins[stream.integer(i, 7)] += 1;
    for (const bin of bins) expect(Math.abs(bin - count / 7)).toBeLessThan(6 * Math.sqrt(count / 7));
  });
});
