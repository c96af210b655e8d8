/** Normalisations over rows: batch norm with the batch's statistics, group norm; with what stands behind them in the same launch. */

import wholeShader from '../../shaders/norm/batch-norm.wgsl';
import standardiseShader from '../../shaders/norm/standardise.wgsl';
import tableShader from '../../shaders/norm/standardise-table.wgsl';
import momentsShader from '../../shaders/reduce/moments.wgsl';
import { type Dispatch, type LowerContext, type Node, type Operation, shapeError, show, type Target, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import type { PointwiseChain, PointwiseRow } from '../graph/pointwise.ts';
import { elements, fold, fusion, inVectors, layoutParams, nodeTensors, type Unit } from './common.ts';
import { rows } from './pointwise.ts';
import { chunkOf } from './reduce.ts';

export interface StandardiseAttributes {
  eps: number;
  /** Columns of a group, whose statistics are common. */
  width: number;
  /** Are the images' statistics common? */
  joined: boolean;
  /** Behind the norm, and behind the residual if there is one. */
  activation: PointwiseRow | null;
}

/** Rows of all images up to which one launch does it all: longer columns want more threads than a workgroup has. */
const WHOLE = 16384;

export function isWhole(x: Tensor, { width, joined }: StandardiseAttributes, target: Target): boolean {
  const forced = target.variants.batchNorm;
  return joined && width === 1 && (forced === undefined ? x.images * x.rows <= WHOLE : forced === 'whole');
}

/** How a workgroup that does it all is cut. On processors a cache line is four vectors wide, on GPUs more lanes hide the loads' latency. */
export function wholeLaunch(x: Tensor, unit: Unit, { software }: Target) {
  const consts = software ? { THREADS: 64, COLUMNS: 4 } : { THREADS: 256, COLUMNS: 2 };
  return { consts, grid: [Math.ceil(x.columns / unit / consts.COLUMNS), 1, 1] as const };
}

/** Residual, activation, and what was fused behind the node. */
function chainBehind(
  residual: Tensor | undefined,
  { attributes: { activation }, epilogue }: Node<StandardiseAttributes>,
): PointwiseChain | null {
  const steps: PointwiseChain['steps'][number][] = [];
  if (residual) steps.push({ row: rows.add, operands: ['v', 0], constants: [] });
  if (activation) steps.push({ row: activation, operands: ['v'], constants: [] });
  steps.push(...(epilogue?.steps ?? []));
  return steps.length > 0 ? { steps, extras: residual ? [residual] : (epilogue?.extras ?? []) } : null;
}

/**
 * Inputs: x, weight, bias, perhaps a residual. Outputs: y; the table [images or 1, 4, columns] of mean, 1 / sqrt(variance + eps), weight and
 * bias; with `joined` the batch's mean and unbiased variance [columns]. The gradient is the whole one: what reaches x through the
 * statistics is in it.
 */
export const standardiseOperation: Operation<StandardiseAttributes> = {
  name: 'standardise',
  maxExtras: 1,
  again: ({ inputs: [x, , , ...residual], outputs: [, table], attributes }) => ({
    operation: normaliseOperation as Operation,
    attributes,
    inputs: [x, table, ...residual],
  }),
  // A residual takes the place of what could be fused.
  fusesEpilogue: ({ inputs }) => inputs.length === 3,

  infer([x], { joined }) {
    const table = { shape: [joined ? 1 : x.images, 4, x.columns] };
    return joined ? [{ shape: x.shape }, table, { shape: [x.columns] }, { shape: [x.columns] }] : [{ shape: x.shape }, table];
  },

  lower: (node, context) => (isWhole(node.inputs[0], node.attributes, context.target) ? [whole(node, context)] : inChunks(node, context)),
};

/** What `standardise` computes, from x, the table, and perhaps a residual. */
const normaliseOperation: Operation<StandardiseAttributes> = {
  name: 'normalise',
  infer: ([x]) => [{ shape: x.shape }],
  lower: (node) => {
    const [x, table, residual] = node.inputs;
    return [normalise(node, x, table, residual)];
  },
};

function unitOf(node: Node<StandardiseAttributes>): Unit {
  const { columns } = node.outputs[0];
  const walked = nodeTensors(node as Node).filter((t) => t.parameter?.replicated || t.columns === columns);
  return walked.length === nodeTensors(node as Node).length && walked.every(inVectors) ? 4 : 1;
}

function whole(node: Node<StandardiseAttributes>, { target }: LowerContext): Dispatch {
  const [x, weight, bias] = node.inputs;
  const [y, table, mean, variance] = node.outputs;
  const unit = unitOf(node);
  const { bind, params, hooks, library } = fusion(node as Node, unit, null, chainBehind(node.inputs[3], node));
  const { value } = elements(unit);
  return launch(wholeShader, {
    library,
    value,
    ...wholeLaunch(x, unit, target),
    hooks: hooks.epilogue ? { epilogue: hooks.epilogue } : {},
    bind: { ...bind, x, weight, bias, y, table, batch_mean: mean, batch_variance: variance },
    params: {
      ...params,
      ...layoutParams('x', x, unit),
      ...layoutParams('weight', weight, unit),
      ...layoutParams('bias', bias, unit),
      ...layoutParams('y', y, unit),
      ...layoutParams('mean', mean, unit),
      ...layoutParams('variance', variance, unit),
      images: x.images,
      rows: x.rows,
      columns: x.columns / unit,
      eps: node.attributes.eps,
    },
    flops: 8 * x.size,
  });
}

function inChunks(node: Node<StandardiseAttributes>, context: LowerContext): Dispatch[] {
  const [x, weight, bias, residual] = node.inputs;
  const [, table, mean, variance] = node.outputs;
  const { eps, width, joined } = node.attributes;
  const momentsUnit: Unit = inVectors(x) ? 4 : 1;
  const chunk = chunkOf(x.rows);
  const chunks = Math.ceil(x.rows / chunk);
  const [chunkMean, chunkSquares] = [0, 1].map(() => context.temporary([x.images, chunks, x.columns]));
  const [cx, cy] = fold(Math.ceil(((x.columns / momentsUnit) * chunks) / 64));
  const offset = (tensor: Tensor | undefined): number => tensor?.layout().offset ?? 0;
  return [
    launch(momentsShader, {
      label: 'chunks',
      ...elements(momentsUnit),
      bind: { x, mean: chunkMean, squares: chunkSquares },
      params: { ...layoutParams('x', x, momentsUnit), rows: x.rows, columns: x.columns / momentsUnit, chunk, chunks },
      grid: [cx, cy, x.images],
      flops: 5 * x.size,
    }),
    launch(tableShader, {
      label: 'table',
      consts: { IMAGES: joined ? 1 : 0 },
      bind: {
        ...{ chunk_mean: chunkMean, chunk_squares: chunkSquares, weight, bias, table },
        batch_mean: mean ?? context.temporary([4]),
        batch_variance: variance ?? context.temporary([4]),
      },
      params: {
        ...{ images: x.images, rows: x.rows, columns: x.columns, chunk, chunks, width, eps },
        weight_offset: offset(weight),
        bias_offset: offset(bias),
        mean_offset: offset(mean),
        variance_offset: offset(variance),
      },
      grid: [Math.ceil(x.columns / 64), joined ? 1 : x.images, 1],
    }),
    normalise(node, x, table, residual),
  ];
}

function normalise(node: Node<StandardiseAttributes>, x: Tensor, table: Tensor, residual: Tensor | undefined): Dispatch {
  const [y] = node.outputs;
  const unit = unitOf(node);
  const { bind, params, hooks, library } = fusion(node as Node, unit, null, chainBehind(residual, node));
  const [gx, gy] = fold(Math.ceil((y.rows * (y.columns / unit)) / 64));
  return launch(standardiseShader, {
    library,
    ...elements(unit),
    hooks: hooks.epilogue ? { epilogue: hooks.epilogue } : {},
    bind: { ...bind, x, table, y },
    params: {
      ...params,
      ...layoutParams('x', x, unit),
      ...layoutParams('y', y, unit),
      rows: y.rows,
      columns: y.columns / unit,
      table_batch: node.attributes.joined ? 0 : (4 * x.columns) / unit,
    },
    grid: [gx, gy, y.images],
    flops: 4 * y.size,
  });
}

/**
 * Normalises each group of adjacent channels of each image of x [batch, ..., channels] over its pixels, then times weight
 * [channels] plus bias [channels]. @throws BackdropError E_SHAPE
 */
export function groupNorm(x: Tensor, weight: Tensor, bias: Tensor, groups: number, eps = 1e-5): Tensor {
  if (x.columns % groups !== 0)
    throw shapeError('groupNorm', `${show(x.shape)} has ${x.columns} channels, which do not divide into ${groups} groups`);
  const attributes = { eps, width: x.columns / groups, joined: false, activation: null };
  return x.graph.add(standardiseOperation, [x, weight, bias], attributes)[0];
}

export interface BatchNormOptions {
  eps?: number;
  /** Added to the norm's result, of its shape. */
  residual?: Tensor | null;
  /** A row of the pointwise table of one operand, applied last. */
  activation?: PointwiseRow | null;
}

export interface BatchNormResult {
  y: Tensor;
  /** Of the batch [channels], what running statistics move towards: the variance is the unbiased one, as in torch. */
  mean: Tensor;
  variance: Tensor;
}

/**
 * Batch norm in training: normalises each channel of x [batch, ..., channels] with the batch's own mean and (biased) variance,
 * then times weight [channels] plus bias [channels]; then residual and activation. @throws BackdropError E_SHAPE
 */
export function batchNormTrain(x: Tensor, weight: Tensor, bias: Tensor, options: BatchNormOptions = {}): BatchNormResult {
  const { eps = 1e-5, residual = null, activation = null } = options;
  if (x.images * x.rows < 2) throw shapeError('batchNormTrain', `${show(x.shape)} has one value a channel; a batch's variance needs two`);
  if (residual && (residual.images !== x.images || residual.rows !== x.rows || residual.columns !== x.columns))
    throw shapeError('batchNormTrain', `a residual ${show(residual.shape)} cannot be added to ${show(x.shape)}`);
  const inputs = residual ? [x, weight, bias, residual] : [x, weight, bias];
  const [y, , mean, variance] = x.graph.add(standardiseOperation, inputs, { eps, width: 1, joined: true, activation });
  return { y, mean, variance };
}
