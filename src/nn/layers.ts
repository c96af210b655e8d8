/** Convolution with batch norm, linear layers, layer norm, MLP: PyTorch's names and shapes; for inference in their folded form. */
import type { Tensor } from '../graph/graph.ts';
import { conv2d, linear } from '../ops/conv2d.ts';
import { layerNorm } from '../ops/norm.ts';
import { add, gelu, pointwise, relu, rows, silu } from '../ops/pointwise.ts';
import { type Affine, addBranches, biasTensor, channelOrder, foldNorm, plain, stackOutputs, tensorAsIs, weightTensor } from './affine.ts';
import type { BatchNorm, BehindNorm, Context } from './context.ts';
import type { Scope } from './parameters.ts';

export type Activation = 'relu' | 'silu' | 'gelu' | null;

export function activate(x: Tensor, activation: Activation): Tensor {
  if (activation === 'relu') return relu(x);
  if (activation === 'silu') return silu(x);
  return activation === 'gelu' ? gelu(x) : x;
}

/** Declares a BatchNorm2d, or a FrozenBatchNorm2d, whose four tensors are all buffers. */
export function declareBatchNorm(scope: Scope, channels: number, frozen: boolean): BatchNorm {
  const kind = frozen ? 'buffer' : 'param';
  scope.declare('weight', [channels], kind);
  scope.declare('bias', [channels], kind);
  scope.declare('running_mean', [channels], 'buffer');
  scope.declare('running_var', [channels], 'buffer');
  if (!frozen) scope.declare('num_batches_tracked', [], 'buffer', 'int64');
  return { name: scope.prefix, channels, frozen };
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

/** A convolution and the batch norm behind it: one folded layer for inference; in training one after the other. */
export function applyConvNorm(context: Context, x: Tensor, layer: Affine, norm: BatchNorm, stride = 1, behind: BehindNorm = {}): Tensor {
  if (context.training) return context.training.batchNorm(applyConv(context, x, layer, stride), norm, channelOrder(layer), behind);
  const y = applyConv(context, x, foldNorm(layer, norm.name), stride);
  const sum = behind.residual ? add(y, behind.residual) : y;
  return behind.activation ? pointwise(behind.activation, [sum]) : sum;
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
  readonly layer: Affine;
  readonly norm: BatchNorm;
  readonly stride: number;
  readonly activation: Activation;

  constructor(
    scope: Scope,
    shape: Conv2dShape,
    options: { activation?: Activation; frozenNorm?: boolean; names?: readonly [conv: string, norm: string] } = {},
  ) {
    const [conv, norm] = options.names ?? ['conv', 'norm'];
    const bare = new Conv2d(scope.child(conv), shape, false);
    this.layer = bare.affine;
    this.norm = declareBatchNorm(scope.child(norm), shape.outputs, options.frozenNorm ?? false);
    this.stride = bare.stride;
    this.activation = options.activation ?? null;
  }

  /** With the batch norm folded in. */
  get affine(): Affine {
    return foldNorm(this.layer, this.norm.name);
  }

  /** @param residual added before the activation */
  forward(context: Context, x: Tensor, residual: Tensor | null = null): Tensor {
    const activation = this.activation && rows[this.activation];
    return applyConvNorm(context, x, this.layer, this.norm, this.stride, { residual, activation });
  }
}

/** Layers of one input and one activation; for inference a single matrix product, and column windows of its result. */
export function forwardStacked(context: Context, x: Tensor, layers: readonly ConvNorm[]): Tensor[] {
  if (context.training) return layers.map((layer) => layer.forward(context, x));
  const all = activate(applyConv(context, x, stackOutputs(layers.map(({ affine }) => affine)), layers[0].stride), layers[0].activation);
  let at = 0;
  return layers.map(({ layer: { outputs } }) => {
    at += outputs;
    return all.columnsFrom(at - outputs, outputs);
  });
}

/** RepVGG block: SiLU(conv1 3x3 + conv2 1x1), each with batch norm; for inference one 3x3 convolution. */
export class RepVggBlock {
  readonly #large: ConvNorm;
  readonly #small: ConvNorm;

  constructor(scope: Scope, channels: number, frozenNorm: boolean) {
    const [inputs, outputs] = [channels, channels];
    this.#large = new ConvNorm(scope.child('conv1'), { inputs, outputs, kernel: 3 }, { frozenNorm });
    this.#small = new ConvNorm(scope.child('conv2'), { inputs, outputs }, { activation: 'silu', frozenNorm });
  }

  forward(context: Context, x: Tensor): Tensor {
    const [large, small] = [this.#large, this.#small];
    if (context.training) return small.forward(context, x, large.forward(context, x));
    return silu(applyConv(context, x, addBranches(large.affine, small.affine)));
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
