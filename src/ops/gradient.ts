/** Differentiation of whole graphs: graph/autodiff.ts with the operations that sum and join gradients. */
import { backward, type GradientAlgebra, type GradientRule, type GradientRules } from '../graph/autodiff.ts';
import type { Graph, Operation, Tensor, Value } from '../graph/graph.ts';
import { attentionOperation } from './attention.ts';
import { attentionGradient, windowAttentionGradient } from './attention-gradient.ts';
import { concatColumns, concatGradient, concatOperation, concatRows } from './concat.ts';
import { conv2dOperation } from './conv2d.ts';
import { conv2dGradient } from './conv2d-gradient.ts';
import { deformableOperation } from './deformable-attention.ts';
import { deformableGradient } from './deformable-gradient.ts';
import { gatherRowsOperation, scatterAddOperation } from './gather.ts';
import { gatherRowsGradient, scatterAddGradient, topkGradient } from './gather-gradient.ts';
import { gridSampleOperation } from './grid-sample.ts';
import { gridSampleGradient } from './grid-sample-gradient.ts';
import { matmulOperation } from './matmul.ts';
import { matmulGradient } from './matmul-gradient.ts';
import { layerNormOperation, softmaxOperation } from './norm.ts';
import { layerNormGradient, softmaxGradient } from './norm-gradient.ts';
import { add, pointwiseGradient, pointwiseOperation } from './pointwise.ts';
import { poolOperation } from './pool.ts';
import { poolGradient } from './pool-gradient.ts';
import { unfoldOperation } from './rearrange.ts';
import { unfoldGradient } from './rearrange-gradient.ts';
import { momentsOperation, reduceColumnsOperation, reduceRowsOperation } from './reduce.ts';
import { momentsGradient, reduceColumnsGradient, reduceRowsGradient } from './reduce-gradient.ts';
import { copyGradient, copyOperation, embedDispatch } from './reshape.ts';
import { resizeOperation } from './resize.ts';
import { resizeGradient } from './resize-gradient.ts';
import { channelAttentionOperation, rfFuseOperation, rfSpatialOperation, rfStatisticsOperation } from './rfcbam.ts';
import { channelAttentionGradient, rfFuseGradient, rfSpatialGradient, rfStatisticsGradient } from './rfcbam-gradient.ts';
import { standardiseOperation } from './standardise.ts';
import { standardiseGradient } from './standardise-gradient.ts';
import { topkOperation } from './topk.ts';
import { windowAttentionOperation } from './window-attention.ts';

interface EmbedAttributes {
  value: Value;
  row: number;
  column: number;
}

/** Zeros with the input at a row and column. */
export const embedOperation: Operation<EmbedAttributes> = {
  name: 'embed',
  again: true,
  infer: ([x], { value }) => [{ shape: [value.images, value.rows, value.columns], type: x.type }],
  lower: ({ inputs: [x], outputs: [y], attributes: { row, column } }) => [embedDispatch(x, y, row, column)],
};

const embedGradient: GradientRule<EmbedAttributes> = ({ inputs: [x], attributes: { row, column } }, [gradient]) => [
  gradient!.window(x.shape, row, column),
];

const rule = <A>(operation: Operation<A>, gradient: GradientRule<A>): [Operation, GradientRule<unknown>] => [
  operation as unknown as Operation,
  gradient as unknown as GradientRule<unknown>,
];

/** Every operation that can be trained through. */
const rules: GradientRules = new Map([
  rule(attentionOperation, attentionGradient),
  rule(concatOperation, concatGradient),
  rule(conv2dOperation, conv2dGradient),
  rule(copyOperation, copyGradient),
  rule(embedOperation, embedGradient),
  rule(deformableOperation, deformableGradient),
  rule(gridSampleOperation, gridSampleGradient),
  rule(layerNormOperation, layerNormGradient),
  rule(matmulOperation, matmulGradient),
  rule(pointwiseOperation, pointwiseGradient),
  rule(reduceColumnsOperation, reduceColumnsGradient),
  rule(reduceRowsOperation, reduceRowsGradient),
  rule(softmaxOperation, softmaxGradient),
  rule(standardiseOperation, standardiseGradient),
  rule(windowAttentionOperation, windowAttentionGradient),
  rule(gatherRowsOperation, gatherRowsGradient),
  rule(momentsOperation, momentsGradient),
  rule(poolOperation, poolGradient),
  rule(resizeOperation, resizeGradient),
  rule(scatterAddOperation, scatterAddGradient),
  rule(topkOperation, topkGradient),
  rule(unfoldOperation, unfoldGradient),
  rule(channelAttentionOperation, channelAttentionGradient),
  rule(rfFuseOperation, rfFuseGradient),
  rule(rfSpatialOperation, rfSpatialGradient),
  rule(rfStatisticsOperation, rfStatisticsGradient),
]);

const algebra: GradientAlgebra = {
  add,
  concatColumns,
  concatRows,
  embed: (part, value, row, column) => part.graph.add(embedOperation, [part], { value, row, column })[0],
};

/**
 * Gradients of sum over outputs of <output, seed> with respect to `wanted` tensors (inputs or parameters); a wanted tensor
 * that no output depends on is absent. @throws BackdropError E_SHAPE, E_MODEL_CONFIG
 */
export function gradients(graph: Graph, seeds: ReadonlyMap<Tensor, Tensor>, wanted: readonly Tensor[]): Map<Tensor, Tensor> {
  return backward(graph, seeds, wanted, rules, algebra);
}
