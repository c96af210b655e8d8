/** Operations by name, for tests that build graphs in the page (tests/setup/ops.page.ts). */
import type { Tensor } from '../../src/graph/graph.ts';
import { attention } from '../../src/ops/attention.ts';
import { concatColumns, concatRows } from '../../src/ops/concat.ts';
import { deformableAttention, deformableSample } from '../../src/ops/deformable-attention.ts';
import { pointwise, rows } from '../../src/ops/pointwise.ts';
import { permute, reshape } from '../../src/ops/reshape.ts';

// biome-ignore lint/suspicious/noExplicitAny: attributes are plain data whose shape each operation knows
export type OpBuilder = (tensors: readonly Tensor[], attributes: any) => readonly Tensor[];

export const operations: Record<string, OpBuilder> = {
  /** attributes: { row, constants? }: a row of the pointwise table. */
  pointwise: (tensors, { row, constants = [] }) => [pointwise(rows[row as keyof typeof rows], tensors, constants)],
  reshape: ([x], { shape }) => [reshape(x, shape)],
  permute: ([x], { order }) => [permute(x, order)],
  concatColumns: (tensors) => [concatColumns(tensors)],
  concatRows: (tensors) => [concatRows(tensors)],
  columnsFrom: ([x], { start, length }) => [x.columnsFrom(start, length)],
  rowsFrom: ([x], { start, length }) => [x.rowsFrom(start, length)],
  attention: ([q, k, v, mask], options) => [attention(q, k, v, { ...options, mask })],
  deformableAttention: ([value, offsets, logits, reference], options) => [deformableAttention(value, offsets, logits, reference, options)],
  deformableSample: ([value, locations, weights], options) => [deformableSample(value, locations, weights, options)],
};
