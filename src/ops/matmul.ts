/** Matrix products of two activations. One with weights is `linear` (ops/conv2d.ts), whose kernels also serve here where they can. */

import batchedShader from '../../shaders/matmul/batched.wgsl';
import { type Node, type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fusion, layoutParams } from './common.ts';
import { linearDispatches, zeros } from './conv2d.ts';

export interface MatmulOptions {
  /** Takes each matrix of a as its transpose. */
  transposeA?: boolean;
  transposeB?: boolean;
}

/** Rows and columns of an operand's matrices, as they are multiplied, and its batch dimensions. */
interface Operand {
  rows: number;
  columns: number;
  batch: readonly number[];
}

function operand(tensor: Tensor, transposed: boolean): Operand {
  const [rows, columns] = tensor.shape.slice(-2);
  return { rows: transposed ? columns : rows, columns: transposed ? rows : columns, batch: tensor.shape.slice(0, -2) };
}

/** Batch dimensions, filled up in front with ones to two. */
export const batchPair = (batch: readonly number[]): [number, number] => [batch.at(-2) ?? 1, batch.at(-1) ?? 1];

/** Steps from one outer and inner matrix to the next for a product with `rank` batch dimensions; zero where a matrix is repeated. */
function batchSteps(tensor: Tensor, rank: number): { outer: number; inner: number } {
  const { shape } = tensor;
  const { batch, pitch } = tensor.layout();
  const images = shape.length > 2 && shape[0] > 1 ? batch : 0;
  if (rank < 2) return { outer: images, inner: 0 };
  if (shape.length < 4) return { outer: 0, inner: images };
  return { outer: images, inner: shape[1] > 1 ? shape[2] * pitch : 0 };
}

export const matmulOperation: Operation<Required<MatmulOptions>> = {
  name: 'matmul',
  maxExtras: 4,
  fusesEpilogue: () => true,

  infer([x, y], { transposeA, transposeB }) {
    const [a, b] = [operand(x, transposeA), operand(y, transposeB)];
    const what = `${show(x.shape)}${transposeA ? ' transposed' : ''} times ${show(y.shape)}${transposeB ? ' transposed' : ''}`;
    if ([x, y].some((t) => t.shape.length < 2 || t.shape.length > 4))
      throw shapeError('matmul', `${what}: operands have two to four dimensions`);
    if (a.columns !== b.rows) throw shapeError('matmul', `${what}: ${a.columns} columns meet ${b.rows} rows`);
    const [p, q] = [batchPair(a.batch), batchPair(b.batch)];
    const batch = p.map((n, i) => Math.max(n, q[i]));
    if (batch.some((n, i) => (p[i] !== n && p[i] !== 1) || (q[i] !== n && q[i] !== 1)))
      throw shapeError('matmul', `${what}: the batches do not broadcast`);
    const rank = Math.max(a.batch.length, b.batch.length);
    return [{ shape: [...batch.slice(2 - rank), a.rows, b.columns] }];
  },

  lower(node, context) {
    const [a, b, bias] = node.inputs;
    const [y] = node.outputs;
    const { transposeA, transposeB } = node.attributes;
    const whole = b.layout();
    // The tile kernels read weights from the start of their memory, without gaps.
    const dense = whole.offset === 0 && whole.pitch === b.columns && b.shape.length === 2;
    if (dense && !transposeA && !transposeB) return linearDispatches(node as Node, [a, b, bias], context);
    const { bind, params, hooks, library } = fusion(node as Node, 1);
    const rank = y.shape.length - 2;
    // One batch dimension is y's images; of two, the second lies in the rows of an image.
    const inner = rank < 2 ? 1 : y.shape[1];
    const [rows, columns] = y.shape.slice(-2);
    const [p, q] = [a.layout(), b.layout()];
    const [stepsA, stepsB] = [batchSteps(a, rank), batchSteps(b, rank)];
    const k = operand(a, transposeA).columns;
    return [
      launch(batchedShader, {
        library,
        ...(hooks.epilogue ? { hooks: { epilogue: hooks.epilogue } } : {}),
        bind: { ...bind, a, b, y },
        params: {
          ...params,
          ...layoutParams('y', y, 1),
          inner,
          rows,
          columns,
          k,
          a_offset: p.offset,
          a_outer: stepsA.outer,
          a_inner: stepsA.inner,
          a_row: transposeA ? 1 : p.pitch,
          a_k: transposeA ? p.pitch : 1,
          b_offset: q.offset,
          b_outer: stepsB.outer,
          b_inner: stepsB.inner,
          b_k: transposeB ? 1 : q.pitch,
          b_column: transposeB ? q.pitch : 1,
        },
        grid: [Math.ceil(columns / 32), Math.ceil(rows / 32), y.images * inner],
        flops: 2 * y.size * k,
      }),
    ];
  },
};

/**
 * a [..., rows, k] times b [..., k, columns]: [..., rows, columns]. Up to two batch dimensions, which broadcast as in torch;
 * either operand may lack them. @throws BackdropError E_SHAPE
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  const bias = zeros(a, transposeB ? b.shape[b.shape.length - 2] : b.columns);
  return a.graph.add(matmulOperation, [a, b, bias], { transposeA, transposeB })[0];
}
