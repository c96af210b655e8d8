/**
 * Gradients of convolutions and linear layers. With respect to the input: again an implicit matrix product, one per phase of the
 * stride. With respect to the weights: a matrix product over pixels in two stages of fixed order.
 */

import dataDepthwise from '../../shaders/conv2d-gradient/data-depthwise.wgsl';
import dataDirect from '../../shaders/conv2d-gradient/data-direct.wgsl';
import dataQuads from '../../shaders/conv2d-gradient/data-quads.wgsl';
import dataRegisters from '../../shaders/conv2d-gradient/data-registers.wgsl';
import weightDepthwise from '../../shaders/conv2d-gradient/weight-depthwise.wgsl';
import weightDirect from '../../shaders/conv2d-gradient/weight-direct.wgsl';
import weightQuads from '../../shaders/conv2d-gradient/weight-quads.wgsl';
import weightRegisters from '../../shaders/conv2d-gradient/weight-registers.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Dispatch, Node, Operation, Target, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, fusion, inVectors, layoutParams, nodeTensors, type Unit } from './common.ts';
import { type Conv2dAttributes, columnLanes, isDepthwise, mapSize, QUADS, REGISTERS, tiles, windowParams } from './convolution.ts';
import { partials } from './part-sums.ts';
import { sumToShape } from './pointwise.ts';

interface GradientAttributes extends Conv2dAttributes {
  /** Of the result: the convolution's input, or its weights. */
  shape: readonly number[];
}

const shapeOf = (_: readonly Tensor[], { shape }: GradientAttributes) => [{ shape }];

/** The variant that a target has for dense convolutions in vectors. */
function denseVariant(target: Target): 'quads' | 'registers' {
  if (target.variants.gemm) return target.variants.gemm === 'subgroup' ? 'quads' : 'registers';
  return target.software && target.subgroups ? 'quads' : 'registers';
}

/** Inputs: gradient of the output, weights. */
export const conv2dDataGradientOperation: Operation<GradientAttributes> = {
  name: 'conv2dDataGradient',
  maxExtras: 4,
  fusesEpilogue: () => true,
  fusesPrologue: () => true,
  infer: shapeOf,
  lower: (node, { target }) => [dataGradient(node, target)],
};

function dataGradient(node: Node<GradientAttributes>, target: Target): Dispatch {
  const { attributes: a } = node;
  const [g, w] = node.inputs;
  const [dx] = node.outputs;
  const depthwise = isDepthwise(a, dx.columns);
  const vectors = nodeTensors(node as Node).every(inVectors) && target.variants.gemm !== 'direct';
  // With a stride of its own, every phase of the input must meet every stride-th tap.
  const phased = a.stride.every((stride, i) => stride === 1 || a.dilation[i] === 1);
  const dense = vectors && a.groups === 1 && phased;
  const unit: Unit = vectors && (dense || depthwise) ? 4 : 1;
  const { bind, params, hooks, library } = fusion(node as Node, unit);
  const [inHeight, inWidth] = mapSize(dx, a);
  const [outHeight, outWidth] = mapSize(g, a);
  const common = {
    bind: { ...bind, g, w, y: dx },
    hooks,
    library,
    flops: (2 * g.size * a.kernel[0] * a.kernel[1] * dx.columns) / a.groups,
  };
  const uniforms = {
    ...params,
    ...layoutParams('g', g, unit),
    ...layoutParams('w', w, unit),
    ...layoutParams('y', dx, unit),
    images: dx.images,
    in_height: inHeight,
    in_width: inWidth,
    out_height: outHeight,
    out_width: outWidth,
    ...windowParams(a),
  };
  const n = dx.columns / unit;
  if (dense) {
    const [high, wide] = a.stride;
    const pixels = Math.ceil(inHeight / high) * Math.ceil(inWidth / wide);
    const vector = { ...common, params: { ...uniforms, k4: g.columns / 4, n4: n } };
    const phases = high * wide;
    const quads = denseVariant(target) === 'quads';
    const { grid, constants } = tiles(pixels, n, dx.images * phases, quads ? QUADS : REGISTERS);
    return launch(quads ? dataQuads : dataRegisters, { ...vector, grid, constants: { ...constants, PHASES: phases > 1 ? 1 : 0 } });
  }
  const [gx, gy] = fold(Math.ceil((dx.rows * n) / 64));
  const grid = [gx, gy, dx.images] as const;
  if (depthwise) return launch(dataDepthwise, { ...common, ...elements(unit), hooks, params: { ...uniforms, m: w.rows, n }, grid });
  return launch(dataDirect, { ...common, params: { ...uniforms, k: g.columns, n, groups: a.groups }, grid });
}

/** Scratch that the parts of a weight gradient may take. */
const MOST_SCRATCH = 16 * 2 ** 20;
/** Pixels that are worth a part of their own. */
const LEAST_PIXELS = 64;
/** Pixels whose rows stay in a processor's cache while a part's threads walk them. */
const MOST_PIXELS = 2048;

/**
 * Parts of the sum over pixels: enough for `wanted` workgroups in all, when a part has `workgroups`, and none too long; no
 * more than that, since each costs a copy of the weights, written and read.
 */
function partsFor(pixels: number, weights: number, workgroups: number, target: Target): number {
  const wanted = target.software ? 32 : 2048;
  const most = Math.min(Math.floor(MOST_SCRATCH / (4 * weights)), 65535, Math.ceil(pixels / LEAST_PIXELS));
  return Math.max(1, Math.min(Math.max(Math.ceil(wanted / workgroups), Math.ceil(pixels / MOST_PIXELS)), most));
}

interface WeightAttributes extends GradientAttributes {
  /** The tap that meets the input at every output pixel, on whose way the bias's gradient is summed too; null: it is not wanted. */
  biasTap: number | null;
}

/** Inputs: the convolution's input, gradient of its output. Outputs: gradients of the weights and, with `biasTap`, of the bias. */
export const conv2dWeightGradientOperation: Operation<WeightAttributes> = {
  name: 'conv2dWeightGradient',
  denseOutputs: true,
  infer: ([, g], { shape, biasTap }) => (biasTap === null ? [{ shape }] : [{ shape }, { shape: [g.columns] }]),

  lower(node, context) {
    const { attributes: a } = node;
    const [x, g] = node.inputs;
    const [dw] = node.outputs;
    const taps = a.kernel[0] * a.kernel[1];
    const [inHeight, inWidth] = mapSize(x, a);
    const [outHeight, outWidth] = mapSize(g, a);
    const pixels = g.images * g.rows;
    const { variant, unit } = weightVariant(node, context.target);
    const n = dw.rows; // input channels, or a depthwise convolution's multiplier
    const k = dw.columns / unit;
    const { lanes, workgroups } = weightTile(variant, n, k, taps);
    const chunk = Math.ceil(pixels / partsFor(pixels, dw.size, workgroups, context.target));
    const parts = Math.ceil(pixels / chunk);
    const alone = parts === 1 && node.outputs.length === 1;
    const y = alone ? dw : partials(context, node.outputs, parts);
    const start = y.layout().offset / unit;
    const uniforms = {
      y_offset: start,
      y_pitch: k,
      y_batch: n * k,
      y_part: node.outputs.reduce((sum, { size }) => sum + size, 0) / unit,
      bias_offset: start + dw.size / unit,
      bias_tap: a.biasTap ?? 0,
      ...layoutParams('x', x, variant === 'direct' ? 1 : unit),
      ...layoutParams('g', g, unit),
      pixels,
      chunk,
      parts,
      in_height: inHeight,
      in_width: inWidth,
      out_height: outHeight,
      out_width: outWidth,
      ...windowParams(a),
    };
    const BIAS = a.biasTap === null ? 0 : 1;
    const [gx, gy] = fold(Math.ceil(variant === 'registers' ? workgroups * parts : workgroups));
    const grid = [gx, gy, variant === 'registers' ? 1 : parts] as const;
    const common = { bind: { x, g, y }, flops: 2 * pixels * dw.size, grid };
    if (variant === 'direct') {
      const params = { ...uniforms, k, n, groups: a.groups };
      return [launch(weightDirect, { ...common, ...elements(unit), params, constants: { BIAS } })];
    }
    if (variant === 'depthwise') {
      const params = { ...uniforms, m: n, n: k };
      return [launch(weightDepthwise, { ...common, ...elements(unit), params, constants: { BIAS } })];
    }
    const params = { ...uniforms, k4: k, n4: n / 4 };
    if (variant === 'quads') return [launch(weightQuads, { ...common, params, constants: { LANES: lanes, BIAS } })];
    return [launch(weightRegisters, { ...common, params, constants: { COLUMN_LANES: lanes, BIAS } })];
  },
};

type WeightVariant = 'direct' | 'depthwise' | 'quads' | 'registers';

function weightVariant(node: Node<WeightAttributes>, target: Target): { variant: WeightVariant; unit: Unit } {
  const { attributes: a, inputs } = node;
  const [x, g] = inputs;
  const [dw] = node.outputs;
  if (isDepthwise(a, x.columns)) return { variant: 'depthwise', unit: dw.columns % 4 === 0 && inputs.every(inVectors) ? 4 : 1 };
  if (target.variants.gemm === 'direct' || a.groups > 1 || !inVectors(x) || !inVectors(g)) {
    return { variant: 'direct', unit: inVectors(g) && (g.columns / a.groups) % 4 === 0 ? 4 : 1 };
  }
  return { variant: denseVariant(target), unit: 4 };
}

/** What a variant's shader calls lanes, and workgroups of a part, whole ones unless a workgroup may hold several parts. */
function weightTile(variant: WeightVariant, n: number, k: number, taps: number): { lanes: number; workgroups: number } {
  if (variant === 'quads') {
    const quads = Math.ceil((taps * n) / 16) * Math.ceil(k / 4);
    const workgroups = Math.ceil(quads / 16);
    // As few as do, in pairs: subgroups of software adapters have 4 or 8 lanes.
    return { lanes: 8 * Math.ceil(quads / workgroups / 2), workgroups };
  }
  if (variant === 'registers') {
    const { blocks, lanes } = columnLanes(k, REGISTERS);
    return { lanes, workgroups: (lanes * blocks * taps * Math.ceil(n / 8)) / 64 };
  }
  return { lanes: 0, workgroups: Math.ceil((taps * (variant === 'direct' ? Math.ceil(n / 4) : n) * k) / 64) };
}

/** Gradient of conv2d or linear with respect to its input of `shape`, from that of its output, `g`. */
export function conv2dDataGradient(g: Tensor, w: Tensor, shape: readonly number[], attributes: Conv2dAttributes): Tensor {
  return g.graph.add(conv2dDataGradientOperation, [g, w], { ...attributes, shape })[0];
}

/** Gradient of conv2d or linear with respect to its weights of `shape`, from its input and the gradient of its output, `g`. */
export function conv2dWeightGradient(x: Tensor, g: Tensor, shape: readonly number[], attributes: Conv2dAttributes): Tensor {
  return x.graph.add(conv2dWeightGradientOperation, [x, g], { ...attributes, shape, biasTap: null })[0];
}

/** The first tap that meets the input, not its padding, at every output pixel; null where there is none. */
function wholeTap(x: Tensor, g: Tensor, a: Conv2dAttributes): number | null {
  const [input, output] = [mapSize(x, a), mapSize(g, a)];
  const [y, column] = a.kernel.map((size, i) => {
    for (let tap = 0; tap < size; tap++) {
      const at = tap * a.dilation[i] - a.padding[i];
      if (at >= 0 && at + (output[i] - 1) * a.stride[i] < input[i]) return tap;
    }
    return -1;
  });
  return y < 0 || column < 0 ? null : y * a.kernel[1] + column;
}

/** Gradients of weights and bias together, as conv2dWeightGradient. */
export function conv2dWeightGradients(
  x: Tensor,
  g: Tensor,
  shape: readonly number[],
  bias: readonly number[],
  attributes: Conv2dAttributes,
): [Tensor, Tensor] {
  const biasTap = wholeTap(x, g, attributes);
  if (biasTap === null) return [conv2dWeightGradient(x, g, shape, attributes), sumToShape(g, bias)];
  const [dw, db] = x.graph.add(conv2dWeightGradientOperation, [x, g], { ...attributes, shape, biasTap });
  return [dw, db.viewAs(bias)];
}

export const conv2dGradient: GradientRule<Conv2dAttributes> = ({ inputs: [x, w, bias], attributes }, [g], wanted) => {
  const dx = wanted[0] ? conv2dDataGradient(g!, w, x.shape, attributes) : null;
  if (wanted[1] && wanted[2]) return [dx, ...conv2dWeightGradients(x, g!, w.shape, bias.shape, attributes)];
  return [dx, wanted[1] ? conv2dWeightGradient(x, g!, w.shape, attributes) : null, wanted[2] ? sumToShape(g!, bias.shape) : null];
};
