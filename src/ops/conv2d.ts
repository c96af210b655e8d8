/**
 * Convolutions, linear layers and their kernel choice: all are one implicit matrix product (shaders/gemm), except depthwise
 * ones and what has channel counts that are no multiple of four.
 */

import depthwise from '../../shaders/conv2d/depthwise.wgsl';
import direct from '../../shaders/conv2d/direct.wgsl';
import narrow from '../../shaders/gemm/narrow.wgsl';
import narrowSubgroup from '../../shaders/gemm/narrow_subgroup.wgsl';
import registers from '../../shaders/gemm/registers.wgsl';
import subgroup from '../../shaders/gemm/subgroup.wgsl';
import workgroup from '../../shaders/gemm/workgroup.wgsl';
import { type Dispatch, type LowerContext, type Node, type Operation, shapeError, show, type Target, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, fusion, inVectors, layoutParams, type Unit } from './common.ts';
import {
  type Conv2dAttributes,
  type Conv2dOptions,
  flat,
  isDepthwise,
  mapSize,
  QUADS,
  REGISTERS,
  tiles,
  windowParams,
} from './convolution.ts';

export type { Conv2dOptions };

function outputSize(input: number, kernel: number, stride: number, padding: number, dilation: number): number {
  return Math.floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

export const conv2dOperation: Operation<Conv2dAttributes> = {
  name: 'conv2d',
  maxExtras: 4,
  fusesEpilogue: () => true,
  fusesPrologue: () => true,

  infer([x, w], a) {
    const names = ['batch', 'height', 'width', 'channels'];
    if (a.flat) {
      if (w.shape[0] !== 1 || w.shape[1] !== x.columns)
        throw shapeError('linear', `input ${show(x.shape)} has ${x.columns} features, weights take ${w.shape[1]}`);
      return [{ shape: [...x.shape.slice(0, -1), w.columns] }];
    }
    if (x.shape.length !== 4) throw shapeError('conv2d', `input ${show(x.shape)} is not [batch, height, width, channels]`);
    const [n, h, wide, c] = x.shape;
    const depth = isDepthwise(a, x.columns);
    const out = outputChannels(x, w, a);
    if (c % a.groups !== 0 || out % a.groups !== 0)
      throw shapeError('conv2d', `${c} to ${out} channels do not divide into ${a.groups} groups`);
    const wanted = depth ? [a.kernel[0] * a.kernel[1], w.shape[1], c] : [a.kernel[0] * a.kernel[1], c / a.groups, out];
    if (wanted.some((size, i) => size !== w.shape[i])) {
      throw shapeError('conv2d', `input ${show(x.shape, names)} needs weights ${show(wanted)}, got ${show(w.shape)}`);
    }
    const oh = outputSize(h, a.kernel[0], a.stride[0], a.padding[0], a.dilation[0]);
    const ow = outputSize(wide, a.kernel[1], a.stride[1], a.padding[1], a.dilation[1]);
    if (oh < 1 || ow < 1) throw shapeError('conv2d', `input ${show(x.shape, names)} is smaller than the kernel ${a.kernel.join('x')}`);
    return [{ shape: [n, oh, ow, out] }];
  },

  lower(node, context) {
    return [choose(node, context)];
  },
};

function outputChannels(x: Tensor, w: Tensor, a: Conv2dAttributes): number {
  return isDepthwise(a, x.columns) ? w.shape[1] * w.columns : w.columns;
}

type Variant = 'direct' | 'depthwise' | 'narrow' | 'registers' | 'subgroup' | 'workgroup';

/**
 * The kernel for a node. On software adapters loads are what costs: the quad kernel, whose lanes swap values, needs fewest.
 * GPUs get the workgroup-memory tile. Without subgroups the barrier-free register tile runs everywhere.
 */
function variantFor({ inputs: [x, w], outputs: [y], attributes, prologue, epilogue }: Node<Conv2dAttributes>, target: Target): Variant {
  const forced = target.variants.gemm as Variant | undefined;
  const extras = [...(prologue?.extras ?? []), ...(epilogue?.extras ?? [])];
  if (forced === 'direct' || w.columns % 4 !== 0 || ![y, ...extras].every(inVectors)) return 'direct';
  if (attributes.groups > 1) return isDepthwise(attributes, x.columns) && inVectors(x) ? 'depthwise' : 'direct';
  if (!inVectors(x)) return prologue ? 'direct' : 'narrow';
  if (forced) return forced;
  if (!target.software) return 'workgroup';
  return target.subgroups ? 'subgroup' : 'registers';
}

function choose(node: Node<Conv2dAttributes>, { target }: LowerContext): Dispatch {
  const { attributes: a } = node;
  const [x, w, bias] = node.inputs;
  const [y] = node.outputs;
  const variant = variantFor(node, target);
  const unit: Unit = variant === 'direct' ? 1 : 4;
  const inputUnit: Unit = variant === 'direct' || variant === 'narrow' ? 1 : 4;
  const { bind, params, hooks, library } = fusion(node as Node, unit);
  const n = y.columns / unit;
  const common = {
    bind: { ...bind, a: x, w, bias, y },
    hooks,
    library,
    flops: (2 * y.size * a.kernel[0] * a.kernel[1] * x.columns) / a.groups,
  };
  const [inHeight, inWidth] = mapSize(x, a);
  const uniforms = {
    ...params,
    ...layoutParams('a', x, inputUnit),
    ...layoutParams('y', y, unit),
    rows_per_image: y.rows,
    images: y.images,
    in_height: inHeight,
    in_width: inWidth,
    out_width: mapSize(y, a)[1],
    ...windowParams(a),
  };
  if (variant === 'direct') {
    const [gx, gy] = fold(Math.ceil((y.rows * n) / 64));
    return launch(direct, {
      ...common,
      params: { ...uniforms, k: x.columns, n, groups: a.groups },
      constants: { INTERLEAVED_GROUPS: isDepthwise(a, x.columns) ? 1 : 0 },
      grid: [gx, gy, y.images],
    });
  }
  if (variant === 'depthwise') {
    const [gx, gy] = fold(Math.ceil((Math.ceil(y.rows / 4) * n) / 64));
    return launch(depthwise, { ...common, params: { ...uniforms, k4: x.columns / 4, n4: n }, grid: [gx, gy, y.images] });
  }
  if (variant === 'narrow') {
    const scalars = { ...common, params: { ...uniforms, k: x.columns, n4: n } };
    return target.software && target.subgroups
      ? launch(narrowSubgroup, { ...scalars, ...tiles(y.rows, n, y.images, QUADS) })
      : launch(narrow, { ...scalars, ...tiles(y.rows, n, y.images, REGISTERS) });
  }
  const vectors = { ...common, params: { ...uniforms, k4: x.columns / 4, n4: n } };
  if (variant === 'workgroup') {
    // Long sums are added in blocks, as PyTorch's are; short ones save the registers.
    const constants = { BLOCK_STEPS: a.kernel[0] * a.kernel[1] * x.columns > 1600 ? 32 : 0 };
    return launch(workgroup, { ...vectors, constants, grid: [Math.ceil(y.rows / 64), Math.ceil(n / 16), y.images] });
  }
  return variant === 'subgroup'
    ? launch(subgroup, { ...vectors, ...tiles(y.rows, n, y.images, QUADS) })
    : launch(registers, { ...vectors, ...tiles(y.rows, n, y.images, REGISTERS) });
}

const pair = (value: readonly [number, number] | undefined, fallback: number): readonly [number, number] => value ?? [fallback, fallback];

/**
 * Convolution of x [batch, height, width, channels] with w [kh * kw, channels / groups, out] (depthwise: [kh * kw,
 * multiplier, channels], output channel j * channels + c) and bias [out]: [batch, out height, out width, out].
 * @throws BackdropError E_SHAPE
 */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor | null, options: Conv2dOptions): Tensor {
  const attributes: Conv2dAttributes = {
    kernel: options.kernel,
    stride: pair(options.stride, 1),
    padding: pair(options.padding, 0),
    dilation: pair(options.dilation, 1),
    groups: options.groups ?? 1,
    flat: false,
  };
  const out = outputChannels(x, w, attributes);
  return x.graph.add(conv2dOperation, [x, w, bias ?? zeros(x, out)], attributes)[0];
}

/** x [..., features] times w [1, features, out] plus bias [out]: [..., out]. Kernels are conv2d's. @throws BackdropError E_SHAPE */
export function linear(x: Tensor, w: Tensor, bias: Tensor | null): Tensor {
  return x.graph.add(conv2dOperation, [x, w, bias ?? zeros(x, w.columns)], flat)[0];
}

/** The launches of `linear` for a node of another operation, whose w is [features, out] without gaps. */
export function linearDispatches(node: Node, [x, w, bias]: readonly Tensor[], context: LowerContext): Dispatch[] {
  const inputs = [x, w.viewAs([1, w.rows, w.columns]), bias];
  return [choose({ ...node, operation: conv2dOperation as Operation, attributes: flat, inputs } as Node<Conv2dAttributes>, context)];
}

export function zeros(x: Tensor, length: number): Tensor {
  return x.graph.parameter({ key: `zeros ${length}`, shape: [length], type: 'f32', sources: [], build: () => new Float32Array(length) });
}
