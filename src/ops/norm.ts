/** Normalisations over the last dimension: layer norm, softmax and log-softmax. */

import layerNormShader from '../../shaders/norm/layer-norm.wgsl';
import layerNormRows from '../../shaders/norm/layer-norm-rows.wgsl';
import softmaxShader from '../../shaders/norm/softmax.wgsl';
import softmaxRows from '../../shaders/norm/softmax-rows.wgsl';
import { type LowerContext, type Node, type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, fusion, inVectors, layoutParams, nodeTensors, type Unit } from './common.ts';

/**
 * `scalar` where the row is no whole vectors; else `rows` (a thread a row) on software adapters, where barriers are dear, and
 * `workgroup` (a workgroup a row) on GPUs.
 */
type RowVariant = 'scalar' | 'rows' | 'workgroup';

function rowVariant(tensors: readonly Tensor[], { target }: LowerContext): RowVariant {
  const forced = target.variants.norm as RowVariant | undefined;
  if (forced === 'scalar' || !tensors.every(inVectors)) return 'scalar';
  // A short row would leave most of a workgroup idle.
  return forced ?? (target.software || tensors[0].columns < 128 ? 'rows' : 'workgroup');
}

export function rowGrid(variant: RowVariant, { images, rows }: Tensor): [number, number, number] {
  const [x, y] = fold(variant === 'workgroup' ? images * rows : Math.ceil((images * rows) / 64));
  return [x, y, 1];
}

export const layerNormOperation: Operation<{ eps: number }> = {
  name: 'layerNorm',
  again: true,
  maxExtras: 4,
  fusesEpilogue: () => true,

  infer([x, weight, bias]) {
    if (weight.size !== x.columns || bias.size !== x.columns)
      throw shapeError('layerNorm', `input ${show(x.shape)} with weight ${show(weight.shape)} and bias ${show(bias.shape)}`);
    return [{ shape: x.shape }];
  },

  lower(node, context) {
    const [x, weight, bias] = node.inputs;
    const [y] = node.outputs;
    const variant = rowVariant(nodeTensors(node as Node), context);
    const unit: Unit = variant === 'scalar' ? 1 : 4;
    const { bind, params, hooks, library } = fusion(node as Node, unit);
    const common = {
      library,
      bind: { ...bind, x, weight, bias, y },
      params: {
        ...params,
        ...layoutParams('x', x, unit),
        ...layoutParams('weight', weight, unit),
        ...layoutParams('bias', bias, unit),
        ...layoutParams('y', y, unit),
        images: y.images,
        rows: y.rows,
        columns: y.columns / unit,
        count: y.columns,
        eps: node.attributes.eps,
      },
      grid: rowGrid(variant, y),
      flops: 8 * y.size,
    };
    const epilogue = hooks.epilogue ? { epilogue: hooks.epilogue } : {};
    if (variant === 'workgroup') return [launch(layerNormShader, { ...common, hooks: epilogue })];
    const { value, hooks: joins } = elements(unit, ['total']);
    return [launch(layerNormRows, { ...common, value, hooks: { ...joins, ...epilogue } })];
  },
};

/**
 * Normalises each row of x [..., channels] to mean 0 and variance 1, then times weight [channels] plus bias [channels].
 * @throws BackdropError E_SHAPE
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor {
  return x.graph.add(layerNormOperation, [x, weight, bias], { eps })[0];
}

export const softmaxOperation: Operation<{ log: boolean }> = {
  name: 'softmax',
  again: true,
  infer: ([x]) => [{ shape: x.shape }],

  lower(node, context) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const variant = rowVariant([x, y], context);
    const unit: Unit = variant === 'scalar' ? 1 : 4;
    const common = {
      consts: { LOG: node.attributes.log ? 1 : 0 },
      bind: { x, y },
      params: {
        ...layoutParams('x', x, unit),
        ...layoutParams('y', y, unit),
        images: y.images,
        rows: y.rows,
        columns: y.columns / unit,
      },
      grid: rowGrid(variant, y),
      flops: 5 * y.size,
    };
    if (variant === 'workgroup') return [launch(softmaxShader, common)];
    return [launch(softmaxRows, { ...common, ...elements(unit, ['total', 'largest']) })];
  },
};

/** exp(x) / sum of exp(x) over the last dimension, whatever the size of x. */
export function softmax(x: Tensor): Tensor {
  return x.graph.add(softmaxOperation, [x], { log: false })[0];
}

/** The logarithm of softmax(x), accurate where softmax(x) is tiny. */
export function logSoftmax(x: Tensor): Tensor {
  return x.graph.add(softmaxOperation, [x], { log: true })[0];
}
