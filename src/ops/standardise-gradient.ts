/** Gradients of batch norm in training and of group norm, through the residual and the activation behind them. */

import wholeShader from '../../shaders/norm/batch-norm-gradient.wgsl';
import standardiseShader from '../../shaders/norm/standardise-gradient.wgsl';
import standardiseShares from '../../shaders/norm/standardise-shares.wgsl';
import standardiseSums from '../../shaders/norm/standardise-sums.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { derivative } from '../graph/differentiate.ts';
import type { Dispatch, LowerContext, Node, Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { libraryFor, type PointwiseRow, wgslAlgebra } from '../graph/pointwise.ts';
import { wgslFunctions } from '../graph/wgsl-functions.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { partials } from './part-sums.ts';
import { chunkOf } from './reduce.ts';
import { isWhole, type StandardiseAttributes, wholeLaunch } from './standardise.ts';

/** Inputs: x, table, gradient of the result, perhaps the residual. Outputs: gradients of x, weight, bias, and the residual. */
const standardiseGradientOperation: Operation<StandardiseAttributes> = {
  name: 'standardiseGradient',

  infer([x, , , residual]) {
    const vector = { shape: [x.columns] };
    return [{ shape: x.shape }, vector, vector, ...(residual ? [{ shape: x.shape }] : [])];
  },

  lower: (node, context) => (isWhole(node.inputs[0], node.attributes, context.target) ? [whole(node, context)] : inChunks(node, context)),
};

const unitOf = ({ inputs, outputs }: Node<StandardiseAttributes>): Unit => ([...inputs, ...outputs].every(inVectors) ? 4 : 1);

/** The hook that carries a gradient through the activation, whose operand is v. */
function activated(activation: PointwiseRow | null): { hooks: { activated?: string }; library: string } {
  if (!activation) return { hooks: {}, library: '' };
  const body = `return ${derivative(activation, 0).value(wgslAlgebra, ['v', 'g'], [])};`;
  return { hooks: { activated: body }, library: libraryFor([body], wgslFunctions) };
}

/** Bindings and uniform values that all stages share. */
function walked({ inputs: [x, table, g, residual], attributes }: Node<StandardiseAttributes>, unit: Unit) {
  return {
    bind: { x, table, g, ...(residual && { residual }) },
    params: {
      images: x.images,
      rows: x.rows,
      columns: x.columns / unit,
      table_batch: attributes.joined ? 0 : (4 * x.columns) / unit,
      ...layoutParams('x', x, unit),
      ...layoutParams('g', g, unit),
      ...layoutParams('residual', residual ?? g, unit),
    },
    consts: { RESIDUAL: residual ? 1 : 0 },
  };
}

function whole(node: Node<StandardiseAttributes>, context: LowerContext): Dispatch {
  const [x] = node.inputs;
  const [dx, dWeight, dBias, dResidual = context.temporary([4])] = node.outputs;
  const unit = unitOf(node);
  const { bind, params, consts } = walked(node, unit);
  const shape = wholeLaunch(x, unit, context.target);
  return launch(wholeShader, {
    value: elements(unit).value,
    ...activated(node.attributes.activation),
    bind: { ...bind, dx, d_weight: dWeight, d_bias: dBias, d_residual: dResidual },
    params: {
      ...params,
      ...layoutParams('dx', dx, unit),
      ...layoutParams('d_residual', dResidual, unit),
      ...layoutParams('d_weight', dWeight, unit),
      ...layoutParams('d_bias', dBias, unit),
    },
    consts: { ...consts, ...shape.consts },
    grid: shape.grid,
    flops: 10 * x.size,
  });
}

function inChunks(node: Node<StandardiseAttributes>, context: LowerContext): Dispatch[] {
  const [x, table] = node.inputs;
  const [dx, dWeight, dBias, dResidual = context.temporary([4])] = node.outputs;
  const { width, joined, activation } = node.attributes;
  const unit = unitOf(node);
  const { bind, params, consts } = walked(node, unit);
  const columns = x.columns / unit;
  const chunk = chunkOf(x.rows);
  const chunks = Math.ceil(x.rows / chunk);
  const sums = partials(context, [dWeight, dBias], x.images * chunks);
  const shares = context.temporary([joined ? 1 : x.images, 1, 2 * x.columns]);
  const [cx, cy] = fold(Math.ceil((columns * chunks) / 64));
  const [gx, gy] = fold(Math.ceil((x.rows * columns) / 64));
  const { value } = elements(unit);
  return [
    launch(standardiseSums, {
      label: 'chunks',
      value,
      ...activated(activation),
      consts,
      bind: { ...bind, sums },
      params: { ...params, chunk, chunks, sums_offset: offsetOf(sums) / unit },
      grid: [cx, cy, x.images],
      flops: 4 * x.size,
    }),
    launch(standardiseShares, {
      label: 'shares',
      consts: { IMAGES: joined ? 1 : 0 },
      bind: { sums, table, shares },
      params: {
        ...{ images: x.images, columns: x.columns, chunks, width },
        count: x.rows * width * (joined ? x.images : 1),
        table_batch: joined ? 0 : 4 * x.columns,
        sums_offset: offsetOf(sums),
      },
      grid: [Math.ceil(x.columns / 64), joined ? 1 : x.images, 1],
    }),
    launch(standardiseShader, {
      label: 'input',
      value,
      ...activated(activation),
      consts,
      bind: { ...bind, shares, dx, d_residual: dResidual },
      params: {
        ...params,
        ...layoutParams('dx', dx, unit),
        ...layoutParams('d_residual', dResidual, unit),
        shares_batch: joined ? 0 : 2 * columns,
      },
      grid: [gx, gy, x.images],
      flops: 6 * x.size,
    }),
  ];
}

const offsetOf = (tensor: Tensor): number => tensor.layout().offset;

/** Of weight, bias and input, through the statistics too; a residual without an activation gets the gradient as it comes. */
export const standardiseGradient: GradientRule<StandardiseAttributes> = (node, [gradient]) => {
  const [x, weight, bias, residual] = node.inputs;
  const [, table] = node.outputs;
  const behind = residual && node.attributes.activation ? [residual] : [];
  const inputs = [x, table, gradient!, ...behind];
  const [dx, dWeight, dBias, dResidual = gradient] = x.graph.add(standardiseGradientOperation, inputs, node.attributes);
  const first = [dx, dWeight.viewAs(weight.shape), dBias.viewAs(bias.shape)];
  return residual ? [...first, dResidual] : first;
};
