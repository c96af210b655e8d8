import { expect, it } from 'vitest';
import { type Draws, imageDraws, orderDraws, sizeDraws } from '../../../src/data/augment/draws.ts';

const take = (draws: Draws) => Array.from({ length: 8 }, () => draws.uniform()).join();

it('depend on seed, epoch, image (all bits of its id), transform and use', () => {
  const streams = [
    imageDraws(1, 2, 3, 'zoomOut'),
    imageDraws(2, 2, 3, 'zoomOut'),
    imageDraws(1, 3, 3, 'zoomOut'),
    imageDraws(1, 2, 4, 'zoomOut'),
    imageDraws(1, 2, 3 + 2 ** 32, 'zoomOut'),
    imageDraws(1, 2, 3 + 2 ** 52, 'zoomOut'),
    imageDraws(1, 2, 3, 'iouCrop'),
    imageDraws(1, 2, 3, 'photometricDistort'),
    imageDraws(1, 2, 3, 'horizontalFlip'),
    orderDraws(1, 2),
    sizeDraws(1, 2, 0),
    sizeDraws(1, 2, 3),
  ];
  expect(new Set(streams.map(take)).size).toBe(streams.length);
  expect(take(imageDraws(1, 2, 3, 'zoomOut'))).toBe(take(imageDraws(1, 2, 3, 'zoomOut')));
});

it('permutations hold every number once, and each order comes as often as another', () => {
  const counts = new Map<string, number>();
  const runs = 6000;
  for (let epoch = 0; epoch < runs; epoch++) {
    const order = orderDraws(7, epoch).permutation(3);
    expect([...order].sort()).toEqual([0, 1, 2]);
    counts.set(order.join(), (counts.get(order.join()) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  // Six standard deviations of a count.
  for (const count of counts.values()) expect(Math.abs(count - runs / 6)).toBeLessThan(6 * Math.sqrt((runs * 5) / 36));
  expect(orderDraws(1, 1).permutation(0)).toEqual([]);
});
