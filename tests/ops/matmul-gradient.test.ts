import { describe, expect, it } from 'vitest';
import { expectGradients, type Forward } from '../setup/gpu-gradients.ts';
import { random, sizeOf } from '../setup/random.ts';

interface Options {
  transposeA?: boolean;
  transposeB?: boolean;
}

/** torch.matmul in float64, and the shape it gives. */
function product(shapeA: readonly number[], shapeB: readonly number[], { transposeA = false, transposeB = false }: Options) {
  const view = (shape: readonly number[], transposed: boolean) => {
    const [outer, inner] = [1, 1, ...shape.slice(0, -2)].slice(-2);
    const [rows, columns] = shape.slice(-2);
    const at = (o: number, i: number, r: number, c: number): number => {
      const matrix = (outer > 1 ? o : 0) * inner + (inner > 1 ? i : 0);
      return matrix * rows * columns + (transposed ? c * columns + r : r * columns + c);
    };
    return { outer, inner, at, rows: transposed ? columns : rows, columns: transposed ? rows : columns };
  };
  const [p, q] = [view(shapeA, transposeA), view(shapeB, transposeB)];
  const batch = [Math.max(p.outer, q.outer), Math.max(p.inner, q.inner)];
  const shape = [...batch.slice(4 - Math.max(shapeA.length, shapeB.length)), p.rows, q.columns];
  const forward: Forward = ([a, b]) => {
    const y = new Float64Array(sizeOf(shape));
    for (let at = 0; at < y.length; at++) {
      const [c, r, matrix] = [at % q.columns, Math.floor(at / q.columns) % p.rows, Math.floor(at / q.columns / p.rows)];
      const [o, i] = [Math.floor(matrix / batch[1]), matrix % batch[1]];
      for (let k = 0; k < p.columns; k++) y[at] += a[p.at(o, i, r, k)] * b[q.at(o, i, k, c)];
    }
    return [y];
  };
  return { shape, forward };
}

async function check(
  shapeA: readonly number[],
  shapeB: readonly number[],
  options: Options = {},
  margins: Record<number | 'seed', number> | null = null,
) {
  const r = random(sizeOf(shapeA) * 7 + sizeOf(shapeB));
  const { shape, forward } = product(shapeA, shapeB, options);
  const inputs = [shapeA, shapeB].map((s) => ({ data: r.array(sizeOf(s)), shape: s }));
  const given = { op: 'matmul', inputs, attributes: options, outputs: [shape], wanted: [0, 1], forward };
  return expectGradients({ ...given, depth: 12, ...(margins ? { margins } : {}) });
}

describe('gradients of matmul', () => {
  it.each<[number[], number[], Options]>([
    [[5, 7], [7, 6], {}],
    [[12, 8], [8, 16], {}],
    [[1, 5], [5, 1], {}],
    [[6, 1], [1, 9], {}],
    [[7, 5], [7, 4], { transposeA: true }],
    [[5, 7], [4, 7], { transposeB: true }],
    [[7, 5], [4, 7], { transposeA: true, transposeB: true }],
    [[3, 5, 7], [3, 7, 4], {}],
    [[2, 2, 5, 4], [2, 2, 6, 4], { transposeB: true }],
    [[2, 3, 4, 5], [2, 3, 4, 3], { transposeA: true }],
    [[2, 2, 4, 5], [2, 2, 3, 4], { transposeA: true, transposeB: true }],
    [[2, 3, 5, 4], [4, 8], {}],
    [[2, 3, 5, 7], [4, 7], { transposeB: true }],
    [[5, 7], [3, 7, 2], {}],
    [[2, 3, 5, 4], [3, 4, 2], {}],
    [[2, 1, 5, 4], [1, 3, 4, 2], {}],
  ])('%j x %j %j', async (a, b, options) => {
    await check(a, b, options);
  });

  it('takes the tiled kernels where b is one matrix', async () => {
    const { kernels } = await check([12, 8], [8, 16]);
    for (const kind of ['data', 'weight']) {
      expect(kernels.some((k) => k.startsWith(`conv2d-gradient/${kind}-`) && !k.endsWith('-direct') && !k.endsWith('-sum'))).toBe(true);
    }
  });

  it('reads windows', async () => {
    for (const margin of [1, 4]) {
      const margins = { 0: margin, 1: margin, seed: margin };
      await check([2, 5, 8], [2, 8, 4], {}, margins);
      await check([2, 5, 8], [2, 4, 8], { transposeB: true }, margins);
      await check([2, 5, 8], [8, 4], {}, { ...margins, 1: 0 });
    }
  });
});
