import { expect, it } from 'vitest';
import { RandomStream } from '../../src/random.ts';
import { page } from '../setup/gpu.ts';

it.each([
  { seed: 0, step: 0, stream: 0, count: 1024 },
  { seed: 2 ** 53 - 1, step: 123456, stream: 3, count: 260 },
])('the GPU draws the same words: %j', async (draw) => {
  const words = await page.call<Uint32Array>('random-words', draw);
  const stream = new RandomStream(draw.seed, draw.step, draw.stream);
  expect(words).toEqual(Uint32Array.from({ length: draw.count }, (_, i) => stream.bits(i)));
  const other = new RandomStream(draw.seed, draw.step + 1, draw.stream);
  expect(words[0]).not.toBe(other.bits(0));
});
