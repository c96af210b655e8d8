import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';

function permuted(x: Float32Array, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const sizes = order.map((d) => shape[d]);
  return Float32Array.from({ length: x.length }, (_, i) => {
    let rest = i;
    let from = 0;
    for (let d = sizes.length - 1; d >= 0; d--) {
      from += (rest % sizes[d]) * strides[order[d]];
      rest = Math.floor(rest / sizes[d]);
    }
    return x[from];
  });
}

describe('permute', () => {
  it.each([
    [
      [2, 3, 5, 7],
      [0, 3, 1, 2],
    ],
    [
      [2, 3, 5, 7],
      [3, 2, 1, 0],
    ],
    [
      [4, 6, 8],
      [0, 2, 1],
    ],
    [
      [1, 9],
      [1, 0],
    ],
    [[5], [0]],
  ])('%j by %j', async (shape, order) => {
    const x = random(1).array(sizeOf(shape));
    const { outputs } = await runOp('permute', [{ data: x, shape }], { order });
    expect(outputs[0].shape).toEqual(order.map((d) => shape[d]));
    expect(outputs[0].data).toEqual(permuted(x, shape, order));
    if (sizeOf(shape) > 5 && shape.length > 2) expect(outputs[0].data).not.toEqual(permuted(x, shape, [...order].reverse()));
  });

  it('reads a window and writes into one', async () => {
    const shape = [2, 6, 3];
    const x = random(2).array(sizeOf(shape));
    const options = { inputWindows: { 0: { left: 1, right: 2, top: 1, bottom: 2 } }, outputWindow: { left: 3, right: 1 } };
    const { outputs } = await runOp('permute', [{ data: x, shape }], { order: [0, 2, 1] }, options);
    expect(outputs[0].data).toEqual(permuted(x, shape, [0, 2, 1]));
  });

  it('any shape and order', async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
    const cases = shapes.chain((shape) =>
      fc.record({ shape: fc.constant(shape), order: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }) }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ shape, order }) => {
        const x = random(3).array(sizeOf(shape));
        const { outputs } = await runOp('permute', [{ data: x, shape }], { order });
        expect(outputs[0].data).toEqual(permuted(x, shape, order));
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  it('moves u32 bit for bit', async () => {
    const x = Uint32Array.from([0, 0x7fc00001, 0xffffffff, 5, 6, 7]);
    const { outputs } = await runOp('permute', [{ data: x, shape: [2, 3] }], { order: [1, 0] });
    expect(outputs[0].data).toEqual(Uint32Array.from([0, 5, 0x7fc00001, 6, 0xffffffff, 7]));
  });

  it('refuses an order that is none', async () => {
    await expect(runOp('permute', [{ data: new Float32Array(6), shape: [2, 3] }], { order: [0, 0] })).rejects.toThrow(
      /permute: order \[0, 0\] of \[2, 3\]/,
    );
  });
});

describe('reshape', () => {
  it('costs nothing where images, rows and columns stay', async () => {
    const x = random(4).array(24);
    const { outputs, statistics } = await runOp('reshape', [{ data: x, shape: [1, 2, 3, 4] }], { shape: [1, 6, 4] });
    expect(outputs[0]).toEqual({ data: x, shape: [1, 6, 4] });
    expect(statistics.dispatches).toBe(0);
  });

  it.each([
    [
      [2, 3, 4],
      [6, 4],
    ],
    [[2, 3, 4], [24]],
    [
      [7, 5],
      [5, 7],
    ],
    [
      [1, 1, 6],
      [2, 3],
    ],
  ])('%j to %j', async (shape, to) => {
    const x = random(5).array(sizeOf(shape));
    const { outputs } = await runOp('reshape', [{ data: x, shape }], { shape: to });
    expect(outputs[0]).toEqual({ data: x, shape: to });
  });

  it('reads a window', async () => {
    const x = random(6).array(30);
    const { outputs } = await runOp(
      'reshape',
      [{ data: x, shape: [2, 5, 3] }],
      { shape: [30] },
      { inputWindows: { 0: { left: 2, top: 1 } } },
    );
    expect(outputs[0].data).toEqual(x);
  });

  it('refuses another number of elements', async () => {
    await expect(runOp('reshape', [{ data: new Float32Array(6), shape: [2, 3] }], { shape: [4] })).rejects.toThrow(/reshape: \[2, 3\]/);
  });
});
