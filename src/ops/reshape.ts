/** Copies that change the order or grouping of elements. A reshape that keeps images, rows and columns is only a view. */

import embedShader from '../../shaders/copy/embed.wgsl';
import permuteShader from '../../shaders/copy/permute.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { type Dispatch, type Operation, shapeError, show, split, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, layoutParams } from './common.ts';

/** Sizes of y's dimensions (four) and the dense strides of x that walk them. */
interface Walk {
  sizes: readonly number[];
  strides: readonly number[];
}

export function copyDispatch(x: Tensor, y: Tensor, walk: Walk = { sizes: [1, 1, 1, y.size], strides: [0, 0, 0, 1] }): Dispatch {
  const { sizes, strides } = walk;
  const [gx, gy] = fold(Math.ceil(y.size / 64));
  const [d0, d1, d2, d3] = sizes;
  const [s0, s1, s2, s3] = strides;
  return launch(permuteShader, {
    bind: { x, y },
    params: {
      ...{ d0, d1, d2, d3, s0, s1, s2, s3 },
      ...layoutParams('x', x, 1),
      ...layoutParams('y', y, 1),
      x_rows: x.rows,
      x_columns: x.columns,
      y_rows: y.rows,
      y_columns: y.columns,
    },
    grid: [gx, gy, 1],
  });
}

/** y: zeros with x at a row and column. */
export function embedDispatch(x: Tensor, y: Tensor, row: number, column: number): Dispatch {
  const [gx, gy] = fold(Math.ceil(y.size / 64));
  return launch(embedShader, {
    bind: { x, y },
    params: {
      ...layoutParams('x', x, 1),
      ...layoutParams('y', y, 1),
      images: y.images,
      rows: y.rows,
      columns: y.columns,
      row,
      column,
      x_rows: x.rows,
      x_columns: x.columns,
    },
    grid: [gx, gy, 1],
  });
}

interface CopyAttributes {
  shape: readonly number[];
  walk: Walk;
}

export const copyOperation: Operation<CopyAttributes> = {
  name: 'copy',
  again: true,
  infer: ([x], { shape }) => [{ shape, type: x.type }],
  lower: ({ inputs: [x], outputs: [y], attributes: { walk } }) => [copyDispatch(x, y, walk)],
};

export const copyGradient: GradientRule<CopyAttributes> = ({ inputs: [x], attributes: { walk } }, [gradient]) => [
  copy(gradient!, x.shape, inverse(walk, x)),
];

/** The walk back, of a walk that visits every element of x once: y's dimensions in the order of x's. */
function inverse({ sizes, strides }: Walk, x: Tensor): Walk {
  if (sizes.reduce((a, b) => a * b, 1) !== x.size) throw shapeError('copy', 'a walk that repeats or skips elements has no gradient');
  const dense = sizes.map((_, i) => sizes.slice(i + 1).reduce((a, b) => a * b, 1));
  const order = [0, 1, 2, 3].sort((a, b) => Number(sizes[b] === 1) - Number(sizes[a] === 1) || strides[b] - strides[a]);
  return { sizes: order.map((i) => sizes[i]), strides: order.map((i) => (sizes[i] === 1 ? 0 : dense[i])) };
}

/** y's dense index walks x's, dimension by dimension. */
export function copy(x: Tensor, shape: readonly number[], walk: Walk): Tensor {
  return x.graph.add(copyOperation, [x], { shape, walk })[0];
}

/** The same elements in the same order under another shape. @throws BackdropError E_SHAPE */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  if (shape.reduce((a, b) => a * b, 1) !== x.size) throw shapeError('reshape', `${show(x.shape)} has not the elements of ${show(shape)}`);
  const [images, rows, columns] = split(shape);
  if (images === x.images && rows === x.rows && columns === x.columns) return x.viewAs(shape);
  return copy(x, shape, { sizes: [1, 1, 1, x.size], strides: [0, 0, 0, 1] });
}

/** Dimension i of the result is dimension order[i] of x; up to four dimensions. @throws BackdropError E_SHAPE */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const rank = x.shape.length;
  if (rank > 4 || order.length !== rank || new Set(order).size !== rank || order.some((d) => d < 0 || d >= rank)) {
    throw shapeError('permute', `order [${order.join(', ')}] of ${show(x.shape)}`);
  }
  const dense = x.shape.map((_, i) => x.shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const pad = Array.from({ length: 4 - rank }, () => 1);
  return copy(
    x,
    order.map((d) => x.shape[d]),
    { sizes: [...pad, ...order.map((d) => x.shape[d])], strides: [...pad.map(() => 0), ...order.map((d) => dense[d])] },
  );
}
