import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';

function gathered(x: ArrayLike<number>, [images, rows, columns]: readonly number[], indices: Uint32Array, batch: number): number[] {
  const count = indices.length / batch;
  const total = Math.max(images, batch);
  return Array.from({ length: total * count * columns }, (_, i) => {
    const [n, r, c] = [Math.floor(i / columns / count), Math.floor(i / columns) % count, i % columns];
    return x[((images > 1 ? n : 0) * rows + indices[(batch > 1 ? n : 0) * count + r]) * columns + c];
  });
}

describe('gatherRows', () => {
  it.each([
    [[2, 9, 4], 2, 5],
    [[3, 6, 5], 3, 9],
    [[1, 20, 4], 3, 7],
    [[1, 20, 3], 2, 7],
    [[2, 20, 8], 1, 6],
    [[1, 1, 1], 1, 1],
    [[1, 300, 256], 1, 301],
  ])('%j by [%d, %d]', async (shape, batch, count) => {
    const r = random(1);
    const x = r.array(sizeOf(shape));
    const indices = r.indices(batch * count, shape[1]);
    const { outputs } = await runOp('gatherRows', [
      { data: x, shape },
      { data: indices, shape: [batch, count, 1] },
    ]);
    expect(outputs[0].shape).toEqual([Math.max(shape[0], batch), count, shape[2]]);
    expect([...outputs[0].data]).toEqual(gathered(x, shape, indices, batch));
    const shifted = indices.map((i) => (i + 1) % shape[1]);
    if (shape[1] > 1) expect([...outputs[0].data]).not.toEqual(gathered(x, shape, shifted, batch));
  });

  it('moves u32 bit for bit', async () => {
    const x = Uint32Array.from([1, 2, 0xffffffff, 0x7f800001, 5, 6, 7, 8]);
    const { outputs } = await runOp('gatherRows', [
      { data: x, shape: [1, 2, 4] },
      { data: Uint32Array.from([1, 0, 1]), shape: [1, 3, 1] },
    ]);
    expect([...outputs[0].data]).toEqual([...x.subarray(4), ...x.subarray(0, 4), ...x.subarray(4)]);
  });

  it('reads windows and writes into one', async () => {
    const shape = [2, 6, 4];
    const x = random(2).array(48);
    const indices = random(3).indices(10, 6);
    for (const left of [4, 3]) {
      const options = {
        inputWindows: { 0: { left, right: 4, top: 1 }, 1: { left: 1, right: 2, bottom: 1 } },
        outputWindow: { left: 4, right: left },
      };
      const { outputs } = await runOp(
        'gatherRows',
        [
          { data: x, shape },
          { data: indices, shape: [2, 5, 1] },
        ],
        {},
        options,
      );
      expect([...outputs[0].data]).toEqual(gathered(x, shape, indices, 2));
    }
  });

  it('any shape', async () => {
    const size = fc.integer({ min: 1, max: 12 });
    await fc.assert(
      fc.asyncProperty(size, size, size, size, async (batch, rows, columns, count) => {
        const r = random(rows * 13 + columns);
        const x = r.array(batch * rows * columns);
        const indices = r.indices(batch * count, rows);
        const { outputs } = await runOp('gatherRows', [
          { data: x, shape: [batch, rows, columns] },
          { data: indices, shape: [batch, count, 1] },
        ]);
        expect([...outputs[0].data]).toEqual(gathered(x, [batch, rows, columns], indices, batch));
      }),
      { numRuns: 10, seed: 4 },
    );
  });

  it('refuses indices that are numbers, and batches that differ', async () => {
    const x = { data: new Float32Array(8), shape: [2, 2, 2] };
    await expect(runOp('gatherRows', [x, { data: new Float32Array(2), shape: [2, 1, 1] }])).rejects.toThrow(/gatherRows: indices/);
    await expect(runOp('gatherRows', [x, { data: new Uint32Array(3), shape: [3, 1, 1] }])).rejects.toThrow(/the batches differ/);
  });
});

describe('embedding', () => {
  it('gives each index its row', async () => {
    const [w, indices] = [random(5).array(35), random(6).indices(22, 7)];
    const { outputs } = await runOp('embedding', [
      { data: w, shape: [7, 5], parameter: true },
      { data: indices, shape: [2, 11, 1] },
    ]);
    expect(outputs[0].shape).toEqual([2, 11, 5]);
    expect([...outputs[0].data]).toEqual(gathered(w, [1, 7, 5], indices, 2));
  });
});

describe('scatterAdd', () => {
  it.each([
    [[3, 6, 4], 9, 4],
    [[3, 6, 4], 9, 1],
    [[1, 2, 3], 50, 1],
    [[2, 5, 1], 3, 1],
  ])('%j plus %d rows, %d columns of indices', async (shape, count, columns) => {
    const r = random(7);
    const [images, rows, width] = shape;
    const [x, source] = [r.array(sizeOf(shape)), r.array(images * count * width)];
    const indices = r.indices(images * count * columns, rows);
    const { outputs } = await runOp('scatterAdd', [
      { data: x, shape },
      { data: source, shape: [images, count, width] },
      { data: indices, shape: [images, count, columns] },
    ]);
    // In float32 and in the order of the source: bit for bit.
    const expected = Float32Array.from(x);
    source.forEach((v, i) => {
      const [n, k, c] = [Math.floor(i / width / count), Math.floor(i / width) % count, i % width];
      const at = (n * rows + indices[(n * count + k) * columns + (columns > 1 ? c : 0)]) * width + c;
      expected[at] += v;
    });
    expect(outputs[0].data).toEqual(expected);
    expect(outputs[0].data).not.toEqual(x);
  });

  it('refuses what does not fit', async () => {
    const of = (...shape: number[]) => ({ data: new Float32Array(sizeOf(shape)), shape });
    await expect(runOp('scatterAdd', [of(1, 2, 3), of(1, 4, 3), { data: new Uint32Array(8), shape: [1, 4, 2] }])).rejects.toThrow(
      /scatterAdd: \[1, 4, 3\] into/,
    );
  });
});
