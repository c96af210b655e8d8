/** The Association Module (window attention and ConvFFN) and the ablation's plain encoder layer: pre-norm blocks over a map. */
import type { Tensor } from '../graph/graph.ts';
import { tensorAsIs } from '../nn/affine.ts';
import type { Context } from '../nn/context.ts';
import { Conv2d, LayerNorm, Linear } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { attention } from '../ops/attention.ts';
import { add, gelu, mul, scale } from '../ops/pointwise.ts';
import { reshape } from '../ops/reshape.ts';
import { windowAttention } from '../ops/window-attention.ts';
import type { AssociationEncoderConfig } from './ae-config.ts';

/**
 * A residual branch: x [batch, height, width, dim] to the same shape. `pad` [batch, height, width] is 1 where a cell is padding of
 * the batch: nothing else sees it, and what comes out there is unspecified.
 */
interface Branch {
  forward(context: Context, x: Tensor, pad?: Tensor | null): Tensor;
}

export class PreNormBlock {
  readonly #stage: string;
  readonly #steps: readonly { name: 'attn' | 'ffn'; norm: LayerNorm; body: Branch }[];

  constructor(
    scope: Scope,
    stage: string,
    dim: number,
    parts: {
      attention: (at: Scope) => Branch;
      feedForward: (at: Scope) => Branch;
      order: AssociationEncoderConfig['amOrder'];
    },
  ) {
    this.#stage = stage;
    const attn = { name: 'attn' as const, norm: new LayerNorm(scope.child('norm1'), dim), body: parts.attention(scope.child('attn')) };
    const ffn = { name: 'ffn' as const, norm: new LayerNorm(scope.child('norm2'), dim), body: parts.feedForward(scope.child('ffn')) };
    this.#steps = parts.order === 'attn-ffn' ? [attn, ffn] : [ffn, attn];
  }

  forward(context: Context, map: Tensor, pad: Tensor | null = null): Tensor {
    const { graph } = context;
    return graph.scoped(this.#stage, () =>
      this.#steps.reduce((x, { name, norm, body }) => {
        const branch = graph.scoped(name, () => body.forward(context, norm.forward(context, x), pad));
        return add(x, context.tap(`${this.#stage}.${name}`, branch));
      }, map),
    );
  }
}

type AttentionOptions = Pick<AssociationEncoderConfig, 'dim' | 'heads' | 'headDim' | 'qkvBias' | 'window' | 'shift' | 'relPosBias'>;

/** Attention inside windows of `window` x `window` places, with a learnt bias for each relative position. */
export class WindowAttention implements Branch {
  readonly #options: AttentionOptions;
  readonly #table: string | null;
  readonly #qkv: Linear;
  readonly #projection: Linear;

  constructor(scope: Scope, options: AttentionOptions) {
    const { dim, heads, headDim, qkvBias, window, relPosBias } = options;
    this.#options = options;
    this.#table = relPosBias ? scope.declare('rel_pos_bias', [(2 * window - 1) ** 2, heads]) : null;
    this.#qkv = new Linear(scope.child('qkv'), dim, 3 * heads * headDim, qkvBias);
    this.#projection = new Linear(scope.child('proj'), heads * headDim, dim);
  }

  forward(context: Context, x: Tensor, pad: Tensor | null = null): Tensor {
    const { heads, headDim, window, shift } = this.#options;
    const table = this.#table === null ? null : tensorAsIs(context.graph, this.#table, [(2 * window - 1) ** 2, heads]);
    const qkv = this.#qkv.forward(context, x);
    return this.#projection.forward(context, windowAttention(qkv, table, { heads, headDim, window, shift, pad }));
  }
}

/** The same projections over the whole map. */
export class GlobalAttention implements Branch {
  readonly #heads: number;
  readonly #width: number;
  readonly #qkv: Linear;
  readonly #projection: Linear;

  constructor(scope: Scope, { dim, heads, headDim, qkvBias }: AttentionOptions) {
    this.#heads = heads;
    this.#width = heads * headDim;
    this.#qkv = new Linear(scope.child('qkv'), dim, 3 * this.#width, qkvBias);
    this.#projection = new Linear(scope.child('proj'), this.#width, dim);
  }

  forward(context: Context, x: Tensor, pad: Tensor | null = null): Tensor {
    const width = this.#width;
    const mask = pad && scale(reshape(pad, [x.images, 1, x.rows]), -1e9);
    const qkv = this.#qkv.forward(context, x.viewAs([x.images, x.rows, x.columns]));
    const [q, k, v] = [0, 1, 2].map((i) => qkv.columnsFrom(i * width, width));
    const mixed = this.#projection.forward(context, attention(q, k, v, { heads: this.#heads, mask }));
    return mixed.viewAs(x.shape);
  }
}

/** fc1, GELU, h + GELU(depthwise(h)), fc2: the feed-forward of super-resolution networks. */
export class ConvFeedForward implements Branch {
  readonly #fc1: Linear;
  readonly #depthwise: Conv2d;
  readonly #fc2: Linear;

  constructor(scope: Scope, dim: number, hidden: number, kernel: number) {
    this.#fc1 = new Linear(scope.child('fc1'), dim, hidden);
    this.#depthwise = new Conv2d(scope.child('dw'), { inputs: hidden, outputs: hidden, kernel, groups: hidden }, true);
    this.#fc2 = new Linear(scope.child('fc2'), hidden, dim);
  }

  forward(context: Context, x: Tensor, pad: Tensor | null = null): Tensor {
    const all = gelu(this.#fc1.forward(context, x));
    const h = pad ? zeroPadding(all, pad) : all;
    return this.#fc2.forward(context, add(h, gelu(this.#depthwise.forward(context, h))));
  }
}

/** Zeroes the cells of x [batch, height, width, channels] where pad [batch, height, width] is 1. */
export function zeroPadding(x: Tensor, pad: Tensor): Tensor {
  return mul(x, scale(reshape(pad, [x.images, x.rows, 1]), -1, 1));
}

export class FeedForward implements Branch {
  readonly #fc1: Linear;
  readonly #fc2: Linear;

  constructor(scope: Scope, dim: number, hidden: number) {
    this.#fc1 = new Linear(scope.child('fc1'), dim, hidden);
    this.#fc2 = new Linear(scope.child('fc2'), hidden, dim);
  }

  forward(context: Context, x: Tensor): Tensor {
    return this.#fc2.forward(context, gelu(this.#fc1.forward(context, x)));
  }
}
