import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runGraph, runOp } from '../setup/gpu-ops.ts';
import { random } from '../setup/random.ts';

/** Largest first, equal ones by lower index. */
function topk(scores: ArrayLike<number>, k: number): { values: number[]; indices: number[] } {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  const indices = order.slice(0, k);
  return { values: indices.map((i) => scores[i]), indices };
}

async function check(images: Float32Array[], k: number, options = {}) {
  const count = images[0].length;
  const data = Float32Array.from(images.flatMap((scores) => [...scores]));
  for (const shape of [
    [images.length, count, 1],
    [images.length, count],
  ]) {
    const { outputs, statistics } = await runOp('topk', [{ data, shape }], { k }, { outputs: 2, ...options });
    expect(outputs.map((o) => o.shape)).toEqual([
      [images.length, k, 1],
      [images.length, k, 1],
    ]);
    expect(statistics.dispatches).toBe(1);
    images.forEach((scores, n) => {
      const expected = topk(scores, k);
      expect([...outputs[1].data.subarray(n * k, (n + 1) * k)]).toEqual(expected.indices);
      expect([...outputs[0].data.subarray(n * k, (n + 1) * k)]).toEqual(expected.values);
    });
  }
}

describe('topk', () => {
  it.each([
    [8400, 300, 1],
    [8400, 300, 2],
    [60, 60, 2],
    [60, 17, 2],
    [1, 1, 1],
    [2, 1, 3],
    [255, 64, 1],
    [256, 65, 1],
    [257, 100, 1],
    [1024, 1024, 1],
    [33600, 513, 1],
  ])('%d scores, k %d, batch %d', async (count, k, batch) => {
    const r = random(count + k);
    await check(
      Array.from({ length: batch }, () => r.array(count)),
      k,
    );
  });

  it('orders negative numbers, zeros of both signs, tiny and huge ones', async () => {
    const scores = Float32Array.from([-1, 0, -0, 1e-40, -1e-40, 3e38, -3e38, 0.5, 0.5, -0, 0, 1.17549435e-38]);
    // A denormal may be flushed to zero where numbers are computed, but here only bits are compared and moved.
    await check([scores], 12);
  });

  it.each([
    [1000, 300],
    [8400, 300],
    [300, 299],
  ])('takes the lowest indices of equal scores (%d, k %d)', async (count, k) => {
    const r = random(3);
    await check([Float32Array.from({ length: count }, () => r.integer(3) - 1), new Float32Array(count).fill(-2.5)], k);
  });

  it('distinguishes scores that differ in the last bit', async () => {
    const words = Uint32Array.from({ length: 700 }, (_, i) => 0x3f000000 + ((i * 337) % 700));
    await check([new Float32Array(words.buffer)], 300);
  });

  it('reads a window', async () => {
    const scores = random(4).array(100);
    const { outputs } = await runOp(
      'topk',
      [{ data: scores, shape: [2, 50, 1] }],
      { k: 9 },
      { outputs: 2, inputWindows: { 0: { left: 2, right: 1, top: 3 } } },
    );
    expect([...outputs[1].data]).toEqual([...topk(scores.subarray(0, 50), 9).indices, ...topk(scores.subarray(50), 9).indices]);
  });

  it('feeds gatherRows', async () => {
    const [scores, rows] = [random(5).array(2 * 40), random(6).array(2 * 40 * 5)];
    const { outputs } = await runGraph({
      inputs: { scores: { data: scores, shape: [2, 40, 1] }, rows: { data: rows, shape: [2, 40, 5] } },
      steps: [
        { op: 'topk', inputs: ['scores'], outputs: ['values', 'indices'], attributes: { k: 7 } },
        { op: 'gatherRows', inputs: ['rows', 'indices'], outputs: ['picked'] },
      ],
      outputs: ['picked'],
    });
    const expected = [0, 1].flatMap((n) =>
      topk(scores.subarray(n * 40, n * 40 + 40), 7).indices.flatMap((i) => [...rows.subarray((n * 40 + i) * 5, (n * 40 + i) * 5 + 5)]),
    );
    expect([...outputs.picked.data]).toEqual(expected);
  });

  it('any count and k', async () => {
    const cases = fc.integer({ min: 1, max: 700 }).chain((count) => fc.tuple(fc.constant(count), fc.integer({ min: 1, max: count })));
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 1, max: 50 }), async ([count, k], levels) => {
        const r = random(count);
        await check([Float32Array.from({ length: count }, () => r.integer(levels) / 7)], k);
      }),
      { numRuns: 8, seed: 3 },
    );
  });

  it('refuses a k that is none', async () => {
    for (const k of [0, 5, 1.5])
      await expect(runOp('topk', [{ data: new Float32Array(4), shape: [1, 4] }], { k })).rejects.toThrow(/topk: k/);
    await expect(runOp('topk', [{ data: new Float32Array(2000), shape: [1, 2000] }], { k: 1025 })).rejects.toThrow(/1 to 1024/);
    await expect(runOp('topk', [{ data: new Float32Array(8), shape: [1, 2, 4] }], { k: 1 })).rejects.toThrow(/topk: scores \[1, 2, 4\]/);
  });
});
