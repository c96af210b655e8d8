/**
 * Receptive-field CBAM convolution. Every channel c gives kernel² maps (`expand`, depthwise); channel attention comes from the
 * input, spatial attention from the maximum and mean of the expanded map; `fuse` sums over maps and channels. The expanded
 * map is never laid out: stride equals kernel, so fuse is one matrix product over kernel² * channels.
 */
import type { Tensor } from '../graph/graph.ts';
import { type Affine, biasTensor, foldNorm, plain, weightTensor } from '../nn/affine.ts';
import type { BatchNorm, Context } from '../nn/context.ts';
import { ConvNorm, Linear } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { permute, reshape } from '../ops/reshape.ts';
import { channelAttention, rfFuse, rfSpatial, rfStatistics } from '../ops/rfcbam.ts';
import type { AssociationEncoderConfig } from './ae-config.ts';

export class RfcbamConv {
  readonly #expand: ConvNorm;
  readonly #fc1: Linear;
  readonly #fc2: Linear;
  readonly #spatial: Affine;
  readonly #fuse: Affine;
  readonly #dim: number;
  readonly #kernel: number;

  constructor(scope: Scope, config: AssociationEncoderConfig, stride: number, frozenNorm: boolean) {
    const { dim, kernel, reduced, fuseBias } = config;
    this.#dim = dim;
    this.#kernel = kernel;
    this.#expand = new ConvNorm(
      scope.child('expand'),
      { inputs: dim, outputs: dim * kernel * kernel, kernel, stride, groups: dim },
      { activation: 'relu', frozenNorm },
    );
    this.#fc1 = new Linear(scope.child('channel.fc1'), dim, reduced, false);
    this.#fc2 = new Linear(scope.child('channel.fc2'), reduced, dim, false);
    this.#spatial = plain(scope.declare('spatial.weight', [1, 2, 3, 3]), null, { outputs: 1, inputs: 2, kernel: [3, 3], groups: 1 });
    const weight = scope.declare('fuse.weight', [dim, dim, kernel, kernel]);
    const bias = fuseBias ? scope.declare('fuse.bias', [dim]) : null;
    this.#fuse = plain(weight, bias, { outputs: dim, inputs: dim, kernel: [kernel, kernel], groups: 1 });
  }

  /** x [batch, height, width, dim] to [batch, ceil(height / stride), ceil(width / stride), dim], with the batch norm `norm` behind it. */
  forward(context: Context, x: Tensor, norm: BatchNorm, stage: string): Tensor {
    const { graph } = context;
    const g = this.#expand.forward(context, x);
    const ca = channelAttention(x, weightTensor(graph, this.#fc1.affine), weightTensor(graph, this.#fc2.affine));
    const sa = rfSpatial(rfStatistics(g, this.#dim), weightTensor(graph, this.#spatial));
    this.#tap(context, stage, g, ca, sa);
    const { training } = context;
    if (training) return training.batchNorm(this.#fused(context, g, ca, sa, this.#fuse), norm, null);
    return this.#fused(context, g, ca, sa, foldNorm(this.#fuse, norm.name));
  }

  #fused({ graph }: Context, g: Tensor, ca: Tensor, sa: Tensor, layer: Affine): Tensor {
    return rfFuse(g, ca, sa, weightTensor(graph, layer), biasTensor(graph, layer));
  }

  /** Intermediate results in PyTorch's order; fuse without the batch norm that inference folds into it. */
  #tap(context: Context, stage: string, g: Tensor, ca: Tensor, sa: Tensor): void {
    if (context.wants(`${stage}.expand`)) {
      const [n, h, w] = g.shape;
      const taps = this.#kernel ** 2;
      // Our maps are ordered tap-major, [tap, channel]; PyTorch's are [channel, tap].
      const swapped = permute(reshape(g, [n * h * w, taps, this.#dim]), [0, 2, 1]);
      context.tap(`${stage}.expand`, reshape(swapped, [n, h, w, taps * this.#dim]));
    }
    context.tap(`${stage}.channel`, ca);
    context.tap(`${stage}.spatial`, sa);
    if (context.wants(`${stage}.fuse`)) context.tap(`${stage}.fuse`, this.#fused(context, g, ca, sa, this.#fuse));
  }
}
