/** One post-norm decoder layer: self-attention among the queries, deformable attention to the memory, feed-forward. */
import type { Tensor } from '../graph/graph.ts';
import { MSDeformableAttention, MultiheadAttention } from '../nn/attention.ts';
import type { Context } from '../nn/context.ts';
import { LayerNorm, Linear } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { add, relu } from '../ops/pointwise.ts';
import type { LevelShape } from './anchors.ts';
import type { DecoderOptions } from './decoder.ts';

export class DecoderLayer {
  readonly #selfAttention: MultiheadAttention;
  readonly #crossAttention: MSDeformableAttention;
  readonly #linear1: Linear;
  readonly #linear2: Linear;
  readonly #norms: LayerNorm[];

  constructor(scope: Scope, { hidden, heads, ffn, points, method, version }: DecoderOptions) {
    const norm = (i: number) => new LayerNorm(scope.child(`norm${i}`), hidden);
    this.#selfAttention = new MultiheadAttention(scope.child('self_attn'), hidden, heads);
    this.#norms = [norm(1)];
    this.#crossAttention = new MSDeformableAttention(scope.child('cross_attn'), {
      size: hidden,
      heads,
      points,
      method,
      pointScaleBuffer: version === 2,
    });
    this.#norms.push(norm(2));
    this.#linear1 = new Linear(scope.child('linear1'), hidden, ffn);
    this.#linear2 = new Linear(scope.child('linear2'), ffn, hidden);
    this.#norms.push(norm(3));
  }

  /** The projection of the memory, which the decoder runs for all layers at once. */
  get value(): Linear {
    return this.#crossAttention.value;
  }

  /**
   * @param x queries [batch, queries, hidden]
   * @param position their position code, added to what asks and what is asked, not to values
   * @param boxes reference boxes cx, cy, w, h in 0..1 [batch, queries, 4]
   * @param value projected memory [batch, tokens, hidden]
   */
  forward(
    context: Context,
    x: Tensor,
    position: Tensor,
    boxes: Tensor,
    value: Tensor,
    shapes: readonly LevelShape[],
    stage: string,
  ): Tensor {
    const { graph } = context;
    const own = graph.scoped('self_attn', () => this.#selfAttention.forward(context, x, position));
    const first = this.#norms[0].forward(context, add(x, context.tap(`${stage}.self_attn`, own)));
    const seen = graph.scoped('cross_attn', () => this.#crossAttention.forward(context, add(first, position), boxes, value, shapes));
    const second = this.#norms[1].forward(context, add(first, context.tap(`${stage}.cross_attn`, seen)));
    const inner = relu(this.#linear1.forward(context, second));
    // Version 1 clamps this sum to +-65504, which float32 values never reach.
    const third = this.#norms[2].forward(context, add(second, this.#linear2.forward(context, inner)));
    return context.tap(`${stage}.out`, third);
  }
}
