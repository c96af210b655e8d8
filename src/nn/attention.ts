/** Attention layers with PyTorch's parameters; projections that share an input run as one matrix product. */
import type { Tensor } from '../graph/graph.ts';
import { attention } from '../ops/attention.ts';
import { deformableAttention } from '../ops/deformable-attention.ts';
import { add } from '../ops/pointwise.ts';
import { type Affine, plain, sliceOutputs, stackOutputs } from './affine.ts';
import type { Context } from './context.ts';
import { applyLinear, Linear } from './layers.ts';
import type { Scope } from './parameters.ts';

/** torch.nn.MultiheadAttention with a packed `in_proj`: rows q, k, v. */
export class MultiheadAttention {
  readonly #inProjection: Affine;
  readonly #outProjection: Linear;
  readonly #size: number;
  readonly #heads: number;

  constructor(scope: Scope, size: number, heads: number) {
    const weight = scope.declare('in_proj_weight', [3 * size, size]);
    const bias = scope.declare('in_proj_bias', [3 * size]);
    this.#inProjection = plain(weight, bias, { inputs: size, outputs: 3 * size, kernel: [1, 1], groups: 1 });
    this.#outProjection = new Linear(scope.child('out_proj'), size, size);
    this.#size = size;
    this.#heads = heads;
  }

  /**
   * Self-attention of x [batch, tokens, size] with q = k = x + position and v = x: [batch, tokens, size].
   * @param mask added to the scores [tokens, tokens]
   */
  forward(context: Context, x: Tensor, position: Tensor, mask: Tensor | null = null): Tensor {
    const size = this.#size;
    const qk = applyLinear(context, add(x, position), sliceOutputs(this.#inProjection, 0, 2 * size));
    const v = applyLinear(context, x, sliceOutputs(this.#inProjection, 2 * size, size));
    const mixed = attention(qk.columnsFrom(0, size), qk.columnsFrom(size, size), v, { heads: this.#heads, mask });
    return this.#outProjection.forward(context, mixed);
  }
}

export interface DeformableOptions {
  size: number;
  heads: number;
  /** Sampling points of each level. */
  points: readonly number[];
  /** RT-DETRv2's buffer `num_points_scale` stands in the state dictionary. */
  pointScaleBuffer: boolean;
  method: 'bilinear' | 'discrete';
}

/** Multi-scale deformable attention for references with four numbers (Deformable DETR, and RT-DETRv2's variants). */
export class MSDeformableAttention {
  readonly value: Linear;
  readonly #options: DeformableOptions;
  readonly #offsets: Linear;
  readonly #weights: Linear;
  readonly #output: Linear;

  constructor(scope: Scope, options: DeformableOptions) {
    const { size, heads, points } = options;
    const total = heads * points.reduce((a, b) => a + b, 0);
    if (options.pointScaleBuffer) scope.declare('num_points_scale', [total / heads], 'buffer');
    // Discrete sampling has no gradient to the locations.
    this.#offsets = new Linear(scope.child('sampling_offsets').frozenWhen(options.method === 'discrete'), size, 2 * total);
    this.#weights = new Linear(scope.child('attention_weights'), size, total);
    this.value = new Linear(scope.child('value_proj'), size, size);
    this.#output = new Linear(scope.child('output_proj'), size, size);
    this.#options = options;
  }

  /**
   * @param query [batch, queries, size]
   * @param reference boxes cx, cy, w, h in 0..1 [batch, queries, 4]
   * @param value projected memory [batch, tokens of all levels, size]
   * @param shapes [height, width] of each level
   * @param stage where it stands, for taps `<stage>.sampling_offsets` and `<stage>.attention_weights` (logits)
   */
  forward(
    context: Context,
    query: Tensor,
    reference: Tensor,
    value: Tensor,
    shapes: readonly (readonly [number, number])[],
    stage: string,
  ): Tensor {
    const { heads, points, method } = this.#options;
    const [offsets, weights] = this.#sampling(context, query);
    context.tap(`${stage}.sampling_offsets`, offsets);
    context.tap(`${stage}.attention_weights`, weights);
    const mixed = deformableAttention(value, offsets, weights, reference, {
      heads,
      shapes,
      points,
      method,
      offsetScale: 0.5,
    });
    return this.#output.forward(context, mixed);
  }

  /** Offsets and weights of every sampling point, for inference by one matrix product. */
  #sampling(context: Context, query: Tensor): [offsets: Tensor, weights: Tensor] {
    const [offsets, weights] = [this.#offsets, this.#weights];
    if (context.training) {
      const moved = offsets.forward(context, query);
      return [this.#options.method === 'discrete' ? moved.detach() : moved, weights.forward(context, query)];
    }
    const both = applyLinear(context, query, stackOutputs([offsets.affine, weights.affine]));
    const columns = offsets.affine.outputs;
    return [both.columnsFrom(0, columns), both.columnsFrom(columns, weights.affine.outputs)];
  }
}
