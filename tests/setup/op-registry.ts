/** Operations by name, for tests that build graphs in the page (tests/setup/ops.page.ts). */
import type { Tensor } from '../../src/graph/graph.ts';
import { attention } from '../../src/ops/attention.ts';
import { boxesToCorners, cornersToBoxes, pairOverlap, tableDistance, tableOverlap } from '../../src/ops/boxes.ts';
import { concatColumns, concatRows } from '../../src/ops/concat.ts';
import { conv2d, linear } from '../../src/ops/conv2d.ts';
import { deformableAttention, deformableSample } from '../../src/ops/deformable-attention.ts';
import { embedding, gatherRows, scatterAdd } from '../../src/ops/gather.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { gridSample } from '../../src/ops/grid-sample.ts';
import { crossEntropy, giouLoss, l1Loss, matcherCost } from '../../src/ops/losses.ts';
import { matmul } from '../../src/ops/matmul.ts';
import { layerNorm, logSoftmax, softmax } from '../../src/ops/norm.ts';
import { pointwise, rows } from '../../src/ops/pointwise.ts';
import { avgPool2d, globalAvgPool, maxPool2d } from '../../src/ops/pool.ts';
import { imageToTensor } from '../../src/ops/preprocess.ts';
import { pixelShuffle, pixelUnshuffle, unfold } from '../../src/ops/rearrange.ts';
import { moments, reduceAll, reduceColumns, reduceRows } from '../../src/ops/reduce.ts';
import { permute, reshape } from '../../src/ops/reshape.ts';
import { resizeBilinear, resizeNearest } from '../../src/ops/resize.ts';
import { channelAttention, rfFuse, rfSpatial, rfStatistics } from '../../src/ops/rfcbam.ts';
import { batchNormTrain, groupNorm } from '../../src/ops/standardise.ts';
import { topk } from '../../src/ops/topk.ts';
import { windowAttention } from '../../src/ops/window-attention.ts';

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
  layerNorm: ([x, weight, bias], { eps }) => [layerNorm(x, weight, bias, eps)],
  softmax: ([x]) => [softmax(x)],
  logSoftmax: ([x]) => [logSoftmax(x)],
  groupNorm: ([x, weight, bias], { groups, eps }) => [groupNorm(x, weight, bias, groups, eps)],
  batchNormTrain: ([x, weight, bias, residual], { eps, activation }) =>
    Object.values(
      batchNormTrain(x, weight, bias, { eps, residual, activation: activation ? rows[activation as keyof typeof rows] : null }),
    ),
  reduceColumns: ([x], { kind }) => [reduceColumns(x, kind)],
  reduceRows: ([x], { kind }) => [reduceRows(x, kind)],
  reduceAll: ([x], { kind }) => [reduceAll(x, kind)],
  moments: ([x]) => Object.values(moments(x)),
  maxPool2d: ([x], options) => [maxPool2d(x, options)],
  avgPool2d: ([x], options) => [avgPool2d(x, options)],
  globalAvgPool: ([x]) => [globalAvgPool(x)],
  resizeNearest: ([x], options) => [resizeNearest(x, options)],
  resizeBilinear: ([x], options) => [resizeBilinear(x, options)],
  topk: ([scores], { k }) => Object.values(topk(scores, k)),
  gatherRows: ([x, indices]) => [gatherRows(x, indices)],
  imageToTensor: ([pixels, columns, rows]) => [imageToTensor(pixels, columns, rows)],
  embedding: ([weight, indices], { padding = null }) => [embedding(weight, indices, padding)],
  /** Tensors: qkv, the table of relative positions where `table` says so, then padding if there is any. */
  windowAttention: ([qkv, ...rest], { table, ...options }) => [
    windowAttention(qkv, table ? rest[0] : null, { ...options, pad: rest[table ? 1 : 0] ?? null }),
  ],
  scatterAdd: ([x, source, indices]) => [scatterAdd(x, source, indices)],
  gridSample: ([x, grid]) => [gridSample(x, grid)],
  conv2d: ([x, w, bias], options) => [conv2d(x, w, bias ?? null, options)],
  linear: ([x, w, bias]) => [linear(x, w, bias ?? null)],
  matmul: ([a, b], options) => [matmul(a, b, options)],
  pixelShuffle: ([x], { factor }) => [pixelShuffle(x, factor)],
  pixelUnshuffle: ([x], { factor }) => [pixelUnshuffle(x, factor)],
  unfold: ([x], options) => [unfold(x, options)],
  boxesToCorners: ([x]) => [boxesToCorners(x)],
  cornersToBoxes: ([x]) => [cornersToBoxes(x)],
  pairOverlap: ([a, b]) => Object.values(pairOverlap(a, b)),
  tableOverlap: ([a, b]) => Object.values(tableOverlap(a, b)),
  tableDistance: ([a, b]) => [tableDistance(a, b)],
  l1Loss: ([a, b]) => [l1Loss(a, b)],
  giouLoss: ([a, b]) => [giouLoss(a, b)],
  crossEntropy: ([logits, targets]) => [crossEntropy(logits, targets)],
  matcherCost: ([logits, boxes, labels, targets], weights) => [matcherCost(logits, boxes, labels, targets, weights)],
  channelAttention: ([x, fc1, fc2]) => [channelAttention(x, fc1, fc2)],
  rfStatistics: ([g], { channels }) => [rfStatistics(g, channels)],
  rfSpatial: ([x, w]) => [rfSpatial(x, w)],
  /** With the statistics and the spatial attention's weights instead of the attention. */
  rfSpatialFuse: ([g, ca, x, kernel, w, bias]) => [rfFuse(g, ca, rfSpatial(x, kernel), w, bias)],
  rfFuse: ([g, ca, sa, w, bias]) => [rfFuse(g, ca, sa, w, bias ?? null)],
  /** Tensors: outputs, their seeds, then what the gradients are wanted of. `outputs`: how many there are. */
  gradients(tensors, { outputs }) {
    const seeds = new Map(tensors.slice(0, outputs).map((tensor, i) => [tensor, tensors[outputs + i]]));
    const wanted = tensors.slice(2 * outputs);
    const found = gradients(tensors[0].graph, seeds, wanted);
    return wanted.map((tensor, i) => {
      const gradient = found.get(tensor);
      if (!gradient) throw new Error(`no gradient of tensor ${i}`);
      // An output of the graph is a whole value.
      return pointwise(rows.identity, [gradient]);
    });
  },
};
