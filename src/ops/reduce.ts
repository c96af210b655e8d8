/** Reductions, each in an order that the shapes alone decide. */

import columnsShader from '../../shaders/reduce/columns.wgsl';
import joinMoments from '../../shaders/reduce/join-moments.wgsl';
import momentsShader from '../../shaders/reduce/moments.wgsl';
import rowsShader from '../../shaders/reduce/rows.wgsl';
import type { Dispatch, Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { mul, pointwise, rows, scale, sub } from './pointwise.ts';
import { reshape } from './reshape.ts';

/** `var` is unbiased (divided by count - 1, as torch.var); `l2` the square root of the sum of squares. */
export type Reduction = 'sum' | 'mean' | 'max' | 'min' | 'var' | 'l2';

const KINDS: Record<Reduction, number> = { sum: 0, mean: 0, max: 1, min: 2, l2: 3, var: 4 };

/** What a finished sum of `count` terms is multiplied with. */
export function factorOf(kind: Reduction, count: number): number {
  if (kind === 'mean') return 1 / count;
  return kind === 'var' ? 1 / Math.max(count - 1, 1) : 1;
}

export const reduceColumnsOperation: Operation<{ kind: Reduction }> = {
  name: 'reduceColumns',
  infer: ([x]) => [{ shape: [...x.shape.slice(0, -1), 1] }],

  lower({ inputs: [x], outputs: [y], attributes: { kind } }) {
    const unit: Unit = inVectors(x) ? 4 : 1;
    const [gx, gy] = fold(Math.ceil((x.images * x.rows) / 64));
    return [
      launch(columnsShader, {
        label: '',
        ...elements(unit, ['total', 'largest', 'smallest']),
        consts: { KIND: KINDS[kind] },
        bind: { x, y },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('y', y, 1),
          images: x.images,
          rows: x.rows,
          columns: x.columns / unit,
          count: x.columns,
          factor: factorOf(kind, x.columns),
        },
        grid: [gx, gy, 1],
        flops: x.size,
      }),
    ];
  },
};

/** The sum of x [images, rows, columns] over its rows into y [images, 1, columns], in one launch: for chunks that are summed already. */
export function rowsDispatch(x: Tensor, y: Tensor): Dispatch {
  const unit: Unit = inVectors(x) && inVectors(y) ? 4 : 1;
  const [gx, gy] = fold(Math.ceil(x.columns / unit / 64));
  return launch(rowsShader, {
    label: 'join',
    ...elements(unit),
    consts: { KIND: KINDS.sum, FIRST: 0, LAST: 0 },
    bind: { x, y },
    params: {
      ...layoutParams('x', x, unit),
      ...layoutParams('y', y, unit),
      rows: x.rows,
      columns: x.columns / unit,
      chunk: x.rows,
      chunks: 1,
      factor: 1,
    },
    grid: [gx, gy, x.images],
    flops: x.size,
  });
}

/** Rows of a chunk: a short column at once; a long one in chunks of about the square root of its length, two stages in all. */
export function chunkOf(rows: number): number {
  return rows <= 64 ? rows : Math.max(32, Math.ceil(Math.sqrt(rows)));
}

export const reduceRowsOperation: Operation<{ kind: Exclude<Reduction, 'var'> }> = {
  name: 'reduceRows',
  infer: ([x]) => [{ shape: [x.images, 1, x.columns] }],

  lower({ inputs: [x], outputs: [y], attributes: { kind } }, context) {
    const dispatches: Dispatch[] = [];
    let current = x;
    for (let stage = 0; current.rows > 1 || stage === 0; stage++) {
      const chunk = chunkOf(current.rows);
      const chunks = Math.ceil(current.rows / chunk);
      const last = chunks === 1;
      const to = last ? y : context.temporary([x.images, chunks, x.columns]);
      const unit: Unit = inVectors(current) && inVectors(to) ? 4 : 1;
      const [gx, gy] = fold(Math.ceil(((x.columns / unit) * chunks) / 64));
      dispatches.push(
        launch(rowsShader, {
          label: `stage${stage}`,
          ...elements(unit),
          consts: { KIND: KINDS[kind], FIRST: stage === 0 ? 1 : 0, LAST: last ? 1 : 0 },
          bind: { x: current, y: to },
          params: {
            ...layoutParams('x', current, unit),
            ...layoutParams('y', to, unit),
            rows: current.rows,
            columns: x.columns / unit,
            chunk,
            chunks,
            factor: factorOf(kind, x.rows),
          },
          grid: [gx, gy, x.images],
          flops: current.size,
        }),
      );
      current = to;
      if (last) break;
    }
    return dispatches;
  },
};

export const momentsOperation: Operation<null> = {
  name: 'moments',
  denseOutputs: true,

  infer([x]) {
    const shape = [x.images, 1, x.columns];
    return [{ shape }, { shape }];
  },

  lower({ inputs: [x], outputs: [mean, variance] }, context) {
    const unit: Unit = inVectors(x) ? 4 : 1;
    const chunk = chunkOf(x.rows);
    const chunks = Math.ceil(x.rows / chunk);
    const partial = [x.images, chunks, x.columns];
    const [chunkMean, chunkSquares] = [context.temporary(partial), context.temporary(partial)];
    const [gx, gy] = fold(Math.ceil(((x.columns / unit) * chunks) / 64));
    return [
      launch(momentsShader, {
        label: 'chunks',
        ...elements(unit),
        bind: { x, mean: chunkMean, squares: chunkSquares },
        params: { ...layoutParams('x', x, unit), rows: x.rows, columns: x.columns / unit, chunk, chunks },
        grid: [gx, gy, x.images],
        flops: 5 * x.size,
      }),
      launch(joinMoments, {
        label: 'join',
        bind: { chunk_mean: chunkMean, chunk_squares: chunkSquares, mean, variance },
        params: { rows: x.rows, columns: x.columns, chunk, chunks },
        grid: [Math.ceil(x.columns / 64), x.images, 1],
      }),
    ];
  },
};

/** Mean and biased variance of each column of each image of x [images, ..., columns] over the rows, [images, 1, columns] each. */
export function moments(x: Tensor): { mean: Tensor; variance: Tensor } {
  const [mean, variance] = x.graph.add(momentsOperation, [x], null);
  return { mean, variance };
}

/** Over the last dimension: [..., columns] to [..., 1]. */
export function reduceColumns(x: Tensor, kind: Reduction): Tensor {
  return x.graph.add(reduceColumnsOperation, [x], { kind })[0];
}

/** Over the rows: [images, ..., columns] to [images, 1, columns]. */
export function reduceRows(x: Tensor, kind: Reduction): Tensor {
  if (kind === 'var') return scale(moments(x).variance, x.rows / Math.max(x.rows - 1, 1));
  return x.graph.add(reduceRowsOperation, [x], { kind })[0];
}

/** Over all elements: [1]. */
export function reduceAll(x: Tensor, kind: Reduction): Tensor {
  if (kind === 'mean') return scale(reduceAll(x, 'sum'), 1 / x.size);
  if (kind === 'l2') return pointwise(rows.sqrt, [reduceAll(mul(x, x), 'sum')]);
  if (kind === 'var') {
    const centred = sub(x, reduceAll(x, 'mean'));
    return scale(reduceAll(mul(centred, centred), 'sum'), factorOf('var', x.size));
  }
  const lines = x.columns >= 16 && x.images * x.rows >= 16 ? reduceColumns(x, kind) : x;
  return reduceRows(reshape(lines, [1, lines.size, 1]), kind).viewAs([1]);
}
