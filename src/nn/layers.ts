/** Convolution with batch norm, linear layers, layer norm, MLP: PyTorch's names and shapes, traced in their folded form. */
import type { Tensor } from '../graph/graph.ts';
import { conv2d, linear } from '../ops/conv2d.ts';
import { layerNorm } from '../ops/norm.ts';
import { gelu, relu, silu } from '../ops/pointwise.ts';
import { type Affine, addBranches, biasTensor, foldNorm, plain, stackOutputs, tensorAsIs, weightTensor } from './affine.ts';
import type { Context } from './context.ts';
import type { Scope } from './parameters.ts';

export type Activation = 'relu' | 'silu' | 'gelu' | null;

export function activate(x: Tensor, activation: Activation): Tensor {
  if (activation === 'relu') return relu(x);
  if (activation === 'silu') return silu(x);
  return activation === 'gelu' ? gelu(x) : x;
}

/** Declares a BatchNorm2d, or a FrozenBatchNorm2d, whose four tensors are all buffers. Returns its name. */
export function declareBatchNorm(scope: Scope, channels: number, frozen: boolean): string {
  const kind = frozen ? 'buffer' : 'param';
  scope.declare('weight', [channels], kind);
  scope.declare('bias', [channels], kind);
  scope.declare('running_mean', [channels], 'buffer');
  scope.declare('running_var', [channels], 'buffer');
  if (!frozen) scope.declare('num_batches_tracked', [], 'buffer', 'int64');
  return scope.prefix;
}

export interface Conv2dShape {
  inputs: number;
  outputs: number;
  /** Side of the square kernel; padding is (kernel - 1) / 2. */
  kernel?: number;
  stride?: number;
  groups?: number;
}

/** Runs a layer on x [batch, height, width, channels]: [batch, height / stride, width / stride, outputs]. */
export function applyConv(context: Context, x: Tensor, layer: Affine, stride = 1): Tensor {
  const [kh, kw] = layer.kernel;
  return conv2d(x, weightTensor(context.graph, layer), biasTensor(context.graph, layer), {
    kernel: layer.kernel,
    stride: [stride, stride],
    padding: [(kh - 1) / 2, (kw - 1) / 2],
    groups: layer.groups,
  });
}

/** Runs a layer on the last dimension of x [..., inputs]: [..., outputs]. */
export function applyLinear(context: Context, x: Tensor, layer: Affine): Tensor {
  return linear(x, weightTensor(context.graph, layer), biasTensor(context.graph, layer));
}

/** A convolution without batch norm. */
export class Conv2d {
  readonly affine: Affine;
  readonly stride: number;

  constructor(scope: Scope, shape: Conv2dShape, bias: boolean) {
    const { inputs, outputs, kernel = 1, stride = 1, groups = 1 } = shape;
    const weight = scope.declare('weight', [outputs, inputs / groups, kernel, kernel]);
    this.affine = plain(weight, bias ? scope.declare('bias', [outputs]) : null, {
      inputs: inputs / groups,
      outputs,
      kernel: [kernel, kernel],
      groups,
    });
    this.stride = stride;
  }

  forward(context: Context, x: Tensor): Tensor {
    return applyConv(context, x, this.affine, this.stride);
  }
}

/** Bias-free convolution `conv`, batch norm `norm`, activation. */
export class ConvNorm {
  /** With the batch norm folded in. */
  readonly affine: Affine;
  readonly stride: number;
  readonly activation: Activation;

  constructor(
    scope: Scope,
    shape: Conv2dShape,
    options: { activation?: Activation; frozenNorm?: boolean; names?: readonly [conv: string, norm: string] } = {},
  ) {
    const [conv, norm] = options.names ?? ['conv', 'norm'];
    const bare = new Conv2d(scope.child(conv), shape, false);
    this.affine = foldNorm(bare.affine, declareBatchNorm(scope.child(norm), shape.outputs, options.frozenNorm ?? false));
    this.stride = bare.stride;
    this.activation = options.activation ?? null;
  }

  forward(context: Context, x: Tensor): Tensor {
    return activate(applyConv(context, x, this.affine, this.stride), this.activation);
  }
}

/** Layers of one input and one activation as a single matrix product. Column windows of the result, in the layers' order. */
export function forwardStacked(context: Context, x: Tensor, layers: readonly ConvNorm[]): Tensor[] {
  const all = activate(applyConv(context, x, stackOutputs(layers.map(({ affine }) => affine)), layers[0].stride), layers[0].activation);
  let at = 0;
  return layers.map(({ affine: { outputs } }) => {
    at += outputs;
    return all.columnsFrom(at - outputs, outputs);
  });
}

/** RepVGG block: SiLU(conv1 3x3 + conv2 1x1), each with batch norm, as one 3x3 convolution. */
export class RepVggBlock {
  readonly affine: Affine;

  constructor(scope: Scope, channels: number, frozenNorm: boolean) {
    const [inputs, outputs] = [channels, channels];
    const large = new ConvNorm(scope.child('conv1'), { inputs, outputs, kernel: 3 }, { frozenNorm });
    const small = new ConvNorm(scope.child('conv2'), { inputs, outputs }, { frozenNorm });
    this.affine = addBranches(large.affine, small.affine);
  }

  forward(context: Context, x: Tensor): Tensor {
    return silu(applyConv(context, x, this.affine));
  }
}

export class Linear {
  readonly affine: Affine;

  constructor(scope: Scope, inputs: number, outputs: number, bias = true) {
    const weight = scope.declare('weight', [outputs, inputs]);
    this.affine = plain(weight, bias ? scope.declare('bias', [outputs]) : null, { inputs, outputs, kernel: [1, 1], groups: 1 });
  }

  /** x [..., inputs] to [..., outputs]. */
  forward(context: Context, x: Tensor): Tensor {
    return applyLinear(context, x, this.affine);
  }
}

/** Normalisation of the last dimension, eps 1e-5. */
export class LayerNorm {
  readonly #weight: string;
  readonly #bias: string;
  readonly #size: number;

  constructor(scope: Scope, size: number) {
    this.#weight = scope.declare('weight', [size]);
    this.#bias = scope.declare('bias', [size]);
    this.#size = size;
  }

  forward({ graph }: Context, x: Tensor): Tensor {
    return layerNorm(x, tensorAsIs(graph, this.#weight, [this.#size]), tensorAsIs(graph, this.#bias, [this.#size]), 1e-5);
  }
}

/** Linear layers `layers.{i}` with ReLU between them. */
export class Mlp {
  readonly layers: Linear[];

  constructor(scope: Scope, inputs: number, hidden: number, outputs: number, count: number) {
    const sizes = [inputs, ...Array<number>(count - 1).fill(hidden), outputs];
    this.layers = Array.from({ length: count }, (_, i) => new Linear(scope.child('layers').child(i), sizes[i], sizes[i + 1]));
  }

  forward(context: Context, x: Tensor): Tensor {
    return this.layers.reduce((v, layer, i) => layer.forward(context, i === 0 ? v : relu(v)), x);
  }
}
