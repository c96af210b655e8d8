/** Gradients of the normalisations over the last dimension. */

import layerNormShader from '../../shaders/norm/layer-norm-gradient.wgsl';
import layerNormWeights from '../../shaders/norm/layer-norm-weights.wgsl';
import softmaxShader from '../../shaders/norm/softmax-gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { rowGrid } from './norm.ts';
import { partials } from './part-sums.ts';
import { chunkOf } from './reduce.ts';

/** The gradient of x, and (mean, rest, scale, 0) of every row. */
const layerNormGradientOperation: Operation<{ eps: number }> = {
  name: 'layerNormGradient',
  infer: ([x]) => [{ shape: x.shape }, { shape: [x.images * x.rows, 4] }],

  lower({ inputs: [x, weight, g], outputs: [dx, statistics], attributes: { eps } }) {
    const unit: Unit = [x, weight, g, dx].every(inVectors) ? 4 : 1;
    return [
      launch(layerNormShader, {
        ...elements(unit, ['total']),
        bind: { x, weight, g, dx, statistics },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('weight', weight, unit),
          ...layoutParams('g', g, unit),
          ...layoutParams('dx', dx, unit),
          images: x.images,
          rows: x.rows,
          columns: x.columns / unit,
          count: x.columns,
          eps,
        },
        grid: rowGrid('rows', x),
        flops: 16 * x.size,
      }),
    ];
  },
};

/** Gradients of weight and bias. */
const layerNormWeightsOperation: Operation<null> = {
  name: 'layerNormWeights',
  infer: ([x]) => [{ shape: [x.columns] }, { shape: [x.columns] }],

  lower({ inputs: [x, g, statistics], outputs }, context) {
    const unit: Unit = [x, g].every(inVectors) ? 4 : 1;
    const lines = x.images * x.rows;
    const chunk = chunkOf(lines);
    const chunks = Math.ceil(lines / chunk);
    const sums = partials(context, outputs, chunks);
    const [gx, gy] = fold(Math.ceil(((x.columns / unit) * chunks) / 64));
    return [
      launch(layerNormWeights, {
        label: 'chunks',
        ...elements(unit),
        bind: { x, g, statistics, sums },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('g', g, unit),
          sums_offset: sums.layout().offset / unit,
          images: x.images,
          rows: x.rows,
          columns: x.columns / unit,
          chunk,
          chunks,
        },
        grid: [gx, gy, 1],
        flops: 5 * x.size,
      }),
    ];
  },
};

export const layerNormGradient: GradientRule<{ eps: number }> = ({ inputs: [x, weight, bias], attributes }, [gradient], wanted) => {
  const [dx, statistics] = x.graph.add(layerNormGradientOperation, [x, weight, gradient!], attributes);
  if (!wanted[1] && !wanted[2]) return [dx, null, null];
  const [dWeight, dBias] = x.graph.add(layerNormWeightsOperation, [x, gradient!, statistics], null);
  return [dx, dWeight.viewAs(weight.shape), dBias.viewAs(bias.shape)];
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
