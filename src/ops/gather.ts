/** Rows picked by index, and its counterpart. */

import gatherShader from '../../shaders/gather/rows.wgsl';
import scatterShader from '../../shaders/gather/scatter-add.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, inVectors, layoutParams, type Unit } from './common.ts';

/** A tensor with one image is the same for all. */
function sharedParams<N extends string>(name: N, tensor: Tensor, images: number, unit: Unit): ReturnType<typeof layoutParams<N>> {
  const params = layoutParams(name, tensor, unit);
  return images > 1 && tensor.images === 1 ? { ...params, [`${name}_batch`]: 0 } : params;
}

export interface GatherAttributes {
  shape: readonly number[];
  /** The row that gets no gradient. */
  padding: number | null;
}

export const gatherRowsOperation: Operation<GatherAttributes> = {
  name: 'gatherRows',
  again: true,

  infer([x, indices], { shape }) {
    if (indices.type !== 'u32' || indices.columns !== 1)
      throw shapeError('gatherRows', `indices ${show(indices.shape)} are not u32 [..., rows, 1]`);
    if (x.images > 1 && indices.images > 1 && x.images !== indices.images)
      throw shapeError('gatherRows', `${show(x.shape)} by indices ${show(indices.shape)}: the batches differ`);
    return [{ shape, type: x.type }];
  },

  lower({ inputs: [x, indices], outputs: [y] }) {
    const unit: Unit = inVectors(x) && inVectors(y) ? 4 : 1;
    const columns = y.columns / unit;
    const [gx, gy] = fold(Math.ceil((y.rows * columns) / 64));
    return [
      launch(gatherShader, {
        label: '',
        value: unit === 4 ? 'vec4u' : 'u32',
        bind: { x, indices, y },
        params: {
          ...sharedParams('x', x, y.images, unit),
          ...sharedParams('indices', indices, y.images, 1),
          ...layoutParams('y', y, unit),
          rows: y.rows,
          columns,
          x_rows: x.rows,
        },
        grid: [gx, gy, y.images],
      }),
    ];
  },
};

function gather(x: Tensor, indices: Tensor, padding: number | null): Tensor {
  const shape = [Math.max(x.images, indices.images), indices.rows, x.columns];
  return x.graph.add(gatherRowsOperation, [x, indices], { shape, padding })[0];
}

/**
 * Rows indices [batch, count, 1] (u32) of x [batch, rows, columns]: [batch, count, columns]. Either may have a batch of one
 * that all images share. @throws BackdropError E_SHAPE
 */
export function gatherRows(x: Tensor, indices: Tensor): Tensor {
  return gather(x, indices, null);
}

/**
 * Rows of weight [entries, channels] by indices [batch, count, 1] (u32): [batch, count, channels]. The row `padding` is read as it
 * is, but gets no gradient. @throws BackdropError E_SHAPE
 */
export function embedding(weight: Tensor, indices: Tensor, padding: number | null = null): Tensor {
  return gather(weight, indices, padding);
}

export const scatterAddOperation: Operation<object> = {
  name: 'scatterAdd',

  infer([x, source, indices]) {
    const fits =
      source.images === x.images &&
      indices.images === x.images &&
      source.columns === x.columns &&
      indices.rows === source.rows &&
      (indices.columns === 1 || indices.columns === x.columns);
    if (!fits || indices.type !== 'u32')
      throw shapeError('scatterAdd', `${show(source.shape)} into ${show(x.shape)} by indices ${show(indices.shape)}`);
    return [{ shape: x.shape }];
  },

  lower({ inputs: [x, source, indices], outputs: [y] }) {
    const [gx, gy] = fold(Math.ceil((y.rows * y.columns) / 64));
    return [
      launch(scatterShader, {
        bind: { x, source, indices, y },
        params: {
          ...layoutParams('x', x, 1),
          ...layoutParams('source', source, 1),
          ...layoutParams('indices', indices, 1),
          ...layoutParams('y', y, 1),
          indices_column: indices.columns === 1 ? 0 : 1,
          rows: y.rows,
          columns: y.columns,
          count: source.rows,
        },
        grid: [gx, gy, y.images],
      }),
    ];
  },
};

/**
 * x [batch, rows, columns] plus each row k of source [batch, count, columns] at the row that indices [batch, count, 1 or columns]
 * (u32) name; what falls on one place is added in the order of k. @throws BackdropError E_SHAPE
 */
export function scatterAdd(x: Tensor, source: Tensor, indices: Tensor): Tensor {
  return x.graph.add(scatterAddOperation, [x, source, indices], {})[0];
}
