/** Gradients of the normalisations over the last dimension. */

import layerNormShader from '../../shaders/norm/layer-norm-gradient.wgsl';
import softmaxShader from '../../shaders/norm/softmax-gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Node, Operation } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fusion, inVectors, layoutParams, type Unit } from './common.ts';
import { rowGrid } from './norm.ts';
import { partials } from './part-sums.ts';

interface LayerNormAttributes {
  eps: number;
  /** Are the gradients of weight and bias wanted, too? */
  weights: boolean;
}

/** Rows whose shares of those gradients are added at once. */
const CHUNK = 32;

/** Inputs: gradient of the result, x, weight. Outputs: gradients of x, and perhaps of weight and bias. */
const layerNormGradientOperation: Operation<LayerNormAttributes> = {
  name: 'layerNormGradient',
  maxExtras: 2,
  fusesPrologue: () => true,

  infer([, x], { weights }) {
    const vector = { shape: [x.columns] };
    return weights ? [{ shape: x.shape }, vector, vector] : [{ shape: x.shape }];
  },

  lower(node, context) {
    const [g, x, weight] = node.inputs;
    const [dx, ...ofWeights] = node.outputs;
    const { eps, weights } = node.attributes;
    const unit: Unit = [x, weight, g, dx, ...(node.prologue?.extras ?? [])].every(inVectors) ? 4 : 1;
    const sums = weights ? partials(context, ofWeights, Math.ceil((x.images * x.rows) / CHUNK)) : context.temporary([4]);
    const { bind, params, hooks, library } = fusion(node as Node, unit);
    const { value, hooks: joins } = elements(unit, ['total']);
    return [
      launch(layerNormShader, {
        value,
        library,
        hooks: { ...joins, ...(hooks.prologue ? { prologue: hooks.prologue } : {}) },
        consts: { WEIGHTS: weights ? 1 : 0 },
        bind: { ...bind, x, weight, g, dx, sums },
        params: {
          ...params,
          ...layoutParams('x', x, unit),
          ...layoutParams('weight', weight, unit),
          ...layoutParams('g', g, unit),
          ...layoutParams('dx', dx, unit),
          sums_offset: sums.layout().offset / unit,
          images: x.images,
          rows: x.rows,
          columns: x.columns / unit,
          count: x.columns,
          eps,
        },
        grid: rowGrid('rows', x),
        flops: 21 * x.size,
      }),
    ];
  },
};

export const layerNormGradient: GradientRule<{ eps: number }> = ({ inputs: [x, weight, bias], attributes }, [gradient], wanted) => {
  const weights = wanted[1] || wanted[2];
  const [dx, dWeight, dBias] = x.graph.add(layerNormGradientOperation, [gradient!, x, weight], { ...attributes, weights });
  return weights ? [dx, dWeight.viewAs(weight.shape), dBias.viewAs(bias.shape)] : [dx, null, null];
};

const softmaxGradientOperation: Operation<{ log: boolean }> = {
  name: 'softmaxGradient',
  infer: ([y]) => [{ shape: y.shape }],

  lower({ inputs: [y, g], outputs: [dx], attributes: { log } }) {
    const unit: Unit = [y, g, dx].every(inVectors) ? 4 : 1;
    return [
      launch(softmaxShader, {
        ...elements(unit, ['total']),
        consts: { LOG: log ? 1 : 0 },
        bind: { y, g, dx },
        params: {
          ...layoutParams('y', y, unit),
          ...layoutParams('g', g, unit),
          ...layoutParams('dx', dx, unit),
          images: y.images,
          rows: y.rows,
          columns: y.columns / unit,
        },
        grid: rowGrid('rows', y),
        flops: 4 * y.size,
      }),
    ];
  },
};

export const softmaxGradient: GradientRule<{ log: boolean }> = ({ outputs: [y], attributes }, [gradient]) =>
  y.graph.add(softmaxGradientOperation, [y, gradient!], attributes);
