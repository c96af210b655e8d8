/**
 * Pointwise operations: one table. A row is the arithmetic, once; kernels, fused prologues and epilogues and the float64
 * oracle all come from it (graph/pointwise.ts).
 */

import scalar from '../../shaders/pointwise/pointwise.wgsl';
import vector from '../../shaders/pointwise/vector.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { derivative, withoutUnused } from '../graph/differentiate.ts';
import type { PointwiseAttributes } from '../graph/fuse.ts';
import { type Dispatch, type Node, type Operation, shapeError, show, split, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import type { Algebra, PointwiseChain, PointwiseRow } from '../graph/pointwise.ts';
import { fold, fusion, inVectors, layoutParams, nodeTensors, type Unit } from './common.ts';
import { reduceColumns, reduceRows } from './reduce.ts';
import { reshape } from './reshape.ts';

type Arithmetic = <T, B>(m: Algebra<T, B>, operands: readonly T[], constants: readonly number[]) => T;

function row(name: string, arity: number, value: Arithmetic): PointwiseRow {
  return { name, arity, value };
}

/** log(max(x, eps) / max(1 - x, eps)) of x clipped to [0, 1]. */
const logit: Arithmetic = (m, [x], [eps]) => {
  const one = m.constant(1);
  const inside = m.min(m.max(x, m.constant(0)), one);
  const e = m.constant(eps);
  return m.log(m.div(m.max(inside, e), m.max(m.sub(one, inside), e)));
};

/** max(x, 0) - x y + log(1 + exp(-|x|)): in this order the large terms cancel before the small one is added. */
const crossEntropyWithLogits: Arithmetic = (m, [x, y]) => m.add(m.sub(m.relu(x), m.mul(x, y)), m.softplusTail(x));

/** x^exponent for x from 0; small whole exponents as products, which are exact to a rounding. */
function power<T, B>(m: Algebra<T, B>, x: T, exponent: number): T {
  if (!Number.isInteger(exponent) || exponent < 1 || exponent > 4) return m.pow(x, m.constant(exponent));
  return Array.from({ length: exponent - 1 }).reduce<T>((product) => m.mul(product, x), x);
}

export const rows = {
  identity: row('identity', 1, (_m, [x]) => x),
  relu: { ...row('relu', 1, (m, [x]) => m.relu(x)), slopeOfResult: true },
  leakyRelu: row('leakyRelu', 1, (m, [x], [slope]) => m.select(m.less(m.constant(0), x), x, m.mul(x, m.constant(slope)))),
  sigmoid: row('sigmoid', 1, (m, [x]) => m.sigmoid(x)),
  silu: row('silu', 1, (m, [x]) => m.mul(x, m.sigmoid(x))),
  gelu: row('gelu', 1, (m, [x]) => m.mul(m.mul(m.constant(0.5), x), m.add(m.constant(1), m.erf(m.mul(x, m.constant(Math.SQRT1_2)))))),
  geluTanh: row('geluTanh', 1, (m, [x]) => {
    const inner = m.mul(m.constant(Math.sqrt(2 / Math.PI)), m.add(x, m.mul(m.constant(0.044715), m.mul(x, m.mul(x, x)))));
    return m.mul(m.mul(m.constant(0.5), x), m.add(m.constant(1), m.tanh(inner)));
  }),
  /** Selected, not clamped: at -3 and 3 its derivative is 0, where that of a bound would be half. */
  hardSigmoid: row('hardSigmoid', 1, (m, [x]) => {
    const line = m.add(m.div(x, m.constant(6)), m.constant(0.5));
    const upper = m.select(m.less(x, m.constant(3)), line, m.constant(1));
    return m.select(m.less(m.constant(-3), x), upper, m.constant(0));
  }),
  /** log(1 + exp(x)) */
  softplus: row('softplus', 1, (m, [x]) => m.add(m.relu(x), m.softplusTail(x))),
  tanh: row('tanh', 1, (m, [x]) => m.tanh(x)),
  exp: row('exp', 1, (m, [x]) => m.exp(x)),
  log: row('log', 1, (m, [x]) => m.log(x)),
  sqrt: row('sqrt', 1, (m, [x]) => m.sqrt(x)),
  inverseSqrt: row('inverseSqrt', 1, (m, [x]) => m.inverseSqrt(x)),
  pow: row('pow', 1, (m, [x], [exponent]) => m.pow(x, m.constant(exponent))),
  abs: row('abs', 1, (m, [x]) => m.abs(x)),
  scale: row('scale', 1, (m, [x], [factor, offset]) => m.add(m.mul(x, m.constant(factor)), m.constant(offset))),
  clamp: row('clamp', 1, (m, [x], [low, high]) => m.min(m.max(x, m.constant(low)), m.constant(high))),
  inverseSigmoid: row('inverseSigmoid', 1, logit),
  add: row('add', 2, (m, [a, b]) => m.add(a, b)),
  sub: row('sub', 2, (m, [a, b]) => m.sub(a, b)),
  mul: row('mul', 2, (m, [a, b]) => m.mul(a, b)),
  div: row('div', 2, (m, [a, b]) => m.div(a, b)),
  max: row('max', 2, (m, [a, b]) => m.max(a, b)),
  min: row('min', 2, (m, [a, b]) => m.min(a, b)),
  /** Length that [aLow, aHigh] and [bLow, bHigh] share. */
  overlap: row('overlap', 4, (m, [aLow, aHigh, bLow, bHigh]) => m.max(m.sub(m.min(aHigh, bHigh), m.max(aLow, bLow)), m.constant(0))),
  /** Length of the smallest interval around both. */
  hull: row('hull', 4, (m, [aLow, aHigh, bLow, bHigh]) => m.max(m.sub(m.max(aHigh, bHigh), m.min(aLow, bLow)), m.constant(0))),
  /** |a - b| */
  distance: row('distance', 2, (m, [a, b]) => m.abs(m.sub(a, b))),
  /** Binary cross-entropy of the logit x with the target y in 0..1. */
  bceWithLogits: row('bceWithLogits', 2, crossEntropyWithLogits),
  /** Focal loss (arXiv 1708.02002): a_t (1 - p_t)^gamma times the cross-entropy. Constants alpha, gamma. */
  sigmoidFocal: row('sigmoidFocal', 2, (m, [x, y], [alpha, gamma]) => {
    const one = m.constant(1);
    const [p, q] = [m.sigmoid(x), m.sigmoid(m.neg(x))];
    const wrong = m.add(m.mul(q, y), m.mul(p, m.sub(one, y)));
    const weight = m.add(m.mul(m.constant(alpha), y), m.mul(m.constant(1 - alpha), m.sub(one, y)));
    return m.mul(m.mul(weight, power(m, wrong, gamma)), crossEntropyWithLogits(m, [x, y], []));
  }),
  /**
   * Varifocal loss (arXiv 2008.13367) of the logit x, the target score y (the IoU at the matched class, else 0) and the one-hot
   * label o: (alpha p^gamma (1 - o) + y) times the cross-entropy, p = sigmoid(z). z is x again, detached: the weight is a
   * constant. Constants alpha, gamma.
   */
  varifocal: row('varifocal', 4, (m, [x, z, y, o], [alpha, gamma]) => {
    const p = power(m, m.sigmoid(z), gamma);
    const weight = m.add(m.mul(m.mul(m.constant(alpha), p), m.sub(m.constant(1), o)), y);
    return m.mul(weight, crossEntropyWithLogits(m, [x, y], []));
  }),
  /** The matcher's focal cost of giving a query with logit x a target of that class. Constants alpha, gamma. */
  focalCost: row('focalCost', 1, (m, [x], [alpha, gamma]) => {
    const tiny = m.constant(1e-8);
    const [p, q] = [m.sigmoid(x), m.sigmoid(m.neg(x))];
    const positive = m.mul(m.mul(m.constant(alpha), power(m, q, gamma)), m.neg(m.log(m.add(p, tiny))));
    const negative = m.mul(m.mul(m.constant(1 - alpha), power(m, p, gamma)), m.neg(m.log(m.add(q, tiny))));
    return m.sub(positive, negative);
  }),
  /** sigmoid(delta + inverse_sigmoid(reference)): RT-DETR's box refinement. */
  refineBox: row('refineBox', 2, (m, [delta, reference]) => m.sigmoid(m.add(delta, logit(m, [reference], [1e-5])))),
  /** b times a constant, in the shape of a: what a sum's gradient is. */
  repeated: row('repeated', 2, (m, [, b], [factor]) => m.mul(b, m.constant(factor))),
  /** a * b + c */
  mulAdd: row('mulAdd', 3, (m, [a, b, c]) => m.add(m.mul(a, b), c)),
  /** Where the condition (0 or 1) is 1, a; else b. */
  where: row('where', 3, (m, [condition, a, b]) => m.select(m.less(m.constant(0.5), condition), a, b)),
} satisfies Record<string, PointwiseRow>;

/** Broadcast of [images, rows, columns]; ranks may differ as long as the last dimensions agree or are 1. */
function broadcast(name: string, inputs: readonly Tensor[]): readonly number[] {
  const largest = inputs.reduce((best, t) => (t.size > best.size ? t : best));
  const main = split(largest.shape).map((_, i) => Math.max(...inputs.map((t) => split(t.shape)[i])));
  for (const tensor of inputs) {
    if (split(tensor.shape).some((n, i) => n !== main[i] && n !== 1)) {
      throw shapeError(name, `${inputs.map((t) => show(t.shape)).join(' and ')} do not broadcast to ${show(main)}`);
    }
  }
  // No operand may have the full shape: a column against a row makes a table.
  return main.reduce((a, b) => a * b, 1) === largest.size ? largest.shape : main;
}

/** The sum of a gradient over the dimensions along which an operand was repeated. */
export function sumToShape(gradient: Tensor, shape: readonly number[]): Tensor {
  const [images, rows_, columns] = split(shape);
  let sum = gradient;
  if (columns === 1 && sum.columns > 1) sum = reduceColumns(sum, 'sum');
  if (rows_ === 1 && sum.rows > 1) sum = reduceRows(sum, 'sum');
  if (images === 1 && sum.images > 1) {
    sum = reduceRows(reshape(sum, [1, sum.images, sum.rows * sum.columns]), 'sum');
  }
  return reshape(sum, shape);
}

export const pointwiseOperation: Operation<PointwiseAttributes> = {
  name: 'pointwise',
  again: true,
  maxExtras: 4,
  fusesEpilogue: () => true,

  infer(inputs, { row: { name, arity } }) {
    if (inputs.length !== arity) throw shapeError(name, `takes ${arity} tensors, got ${inputs.length}`);
    return [{ shape: broadcast(name, inputs) }];
  },

  /** Loads the first operand that has the full shape; the row itself is the first step of the epilogue's chain. */
  lower(node, { target }): Dispatch[] {
    const [output] = node.outputs;
    const chain = chainOf(node);
    const [x, ...extras] = chain.tensors;
    const unit: Unit = [...nodeTensors(node as Node)].every(
      (t) => inVectors(t) && (t.columns === output.columns || t.parameter?.replicated),
    )
      ? 4
      : 1;
    const { bind, params, hooks, library } = fusion(node as Node, unit, null, { steps: chain.steps, extras });
    const repeated = broadcastOf(x, output, unit);
    const total = output.size / unit;
    const flat = walksAsOneRow(chain.tensors, output);
    const shape = flat
      ? { images: 1, rows: 1, columns: total }
      : { images: output.images, rows: output.rows, columns: output.columns / unit };
    const [gx, gy] = fold(Math.ceil(total / (unit === 4 ? 256 : 64)));
    const common = {
      hooks: { epilogue: hooks.epilogue! },
      library,
      bind: { ...bind, x, y: output },
      params: { ...params, ...repeated, ...layoutParams('y', output, unit), ...shape },
      grid: [gx, gy, 1] as const,
      flops: output.size * chain.steps.length,
    };
    const FLAT = flat ? 1 : 0;
    if (unit === 1) return [launch(scalar, { ...common, consts: { FLAT } })];
    return [launch(vector, { ...common, consts: { FLAT, ADJACENT: target.software ? 1 : 0 } })];
  },
};

/** Each operand's partial derivative, derived from the row itself, times the gradient. */
export const pointwiseGradient: GradientRule<PointwiseAttributes> = (
  { inputs, outputs, attributes: { row, constants } },
  [gradient],
  wanted,
) => {
  return inputs.map((input, i) => {
    if (!wanted[i]) return null;
    const operands = [...(row.slopeOfResult ? outputs : inputs), gradient!];
    const { row: partial, used } = withoutUnused(derivative(row, i), constants);
    if (used.length === 0) return null;
    const of = used.map((at) => operands[at]);
    return sumToShape(partial ? pointwise(partial, of, constants) : of[0], input.shape);
  });
};

/** Is every operand the whole of a dense array of the output's shape, or a single value? */
function walksAsOneRow(operands: readonly Tensor[], output: Tensor): boolean {
  const dense = (t: Tensor) => {
    const { batch, pitch } = t.layout();
    return (t.rows === 1 || pitch === t.columns) && (t.images === 1 || batch === t.rows * t.columns);
  };
  const fits = (t: Tensor) => (t.size === 1 ? output.columns > 1 : t.size === output.size && dense(t));
  return dense(output) && operands.every(fits);
}

function broadcastOf(x: Tensor, output: Tensor, unit: Unit): Record<'x_offset' | 'x_pitch' | 'x_batch' | 'x_column', number> {
  const { x_offset, x_pitch, x_batch } = layoutParams('x', x, unit);
  return {
    x_offset,
    x_pitch: output.rows > 1 && x.rows === 1 ? 0 : x_pitch,
    x_batch: output.images > 1 && x.images === 1 ? 0 : x_batch,
    x_column: output.columns > 1 && x.columns === 1 ? 0 : 1,
  };
}

/** The node's own row, then what was fused behind it. Tensor 0 is loaded as `v`, the others are extras. */
function chainOf(node: Node<PointwiseAttributes>): { tensors: Tensor[]; steps: PointwiseChain['steps'] } {
  const { inputs, attributes, epilogue } = node;
  const tensors = [...inputs];
  const own = { row: attributes.row, constants: attributes.constants, operands: inputs.map((_, i) => (i === 0 ? ('v' as const) : i - 1)) };
  const first = tensors.length - 1;
  const rest = (epilogue?.steps ?? []).map((step) => ({ ...step, operands: step.operands.map((o) => (o === 'v' ? o : o + first)) }));
  tensors.push(...(epilogue?.extras ?? []));
  return { tensors, steps: [own, ...rest] };
}

/** Applies a row of the table. */
export function pointwise(row: PointwiseRow, inputs: readonly Tensor[], constants: readonly number[] = []): Tensor {
  return inputs[0].graph.add(pointwiseOperation, inputs, { row, constants })[0];
}

export const relu = (x: Tensor): Tensor => pointwise(rows.relu, [x]);
export const sigmoid = (x: Tensor): Tensor => pointwise(rows.sigmoid, [x]);
export const silu = (x: Tensor): Tensor => pointwise(rows.silu, [x]);
/** The exact GELU, with erf. */
export const gelu = (x: Tensor): Tensor => pointwise(rows.gelu, [x]);
export const tanh = (x: Tensor): Tensor => pointwise(rows.tanh, [x]);
export const add = (a: Tensor, b: Tensor): Tensor => pointwise(rows.add, [a, b]);
export const sub = (a: Tensor, b: Tensor): Tensor => pointwise(rows.sub, [a, b]);
export const mul = (a: Tensor, b: Tensor): Tensor => pointwise(rows.mul, [a, b]);
export const div = (a: Tensor, b: Tensor): Tensor => pointwise(rows.div, [a, b]);
export const maximum = (a: Tensor, b: Tensor): Tensor => pointwise(rows.max, [a, b]);
export const minimum = (a: Tensor, b: Tensor): Tensor => pointwise(rows.min, [a, b]);
/** a * b + c */
export const mulAdd = (a: Tensor, b: Tensor, c: Tensor): Tensor => pointwise(rows.mulAdd, [a, b, c]);
/** x * factor + offset */
export const scale = (x: Tensor, factor: number, offset = 0): Tensor => pointwise(rows.scale, [x], [factor, offset]);
export const clamp = (x: Tensor, low: number, high: number): Tensor => pointwise(rows.clamp, [x], [low, high]);
/** log(max(x, eps) / max(1 - x, eps)) of x clipped to [0, 1]. */
export const inverseSigmoid = (x: Tensor, eps = 1e-5): Tensor => pointwise(rows.inverseSigmoid, [x], [eps]);
/** sigmoid(delta + inverse_sigmoid(reference)). */
export const refineBox = (delta: Tensor, reference: Tensor): Tensor => pointwise(rows.refineBox, [delta, reference]);
