/** One post-norm decoder layer: self-attention among the queries, deformable attention to the memory, feed-forward. */
import type { Tensor } from '../graph/graph.ts';
import { MSDeformableAttention, MultiheadAttention } from '../nn/attention.ts';
import type { Context } from '../nn/context.ts';
import { LayerNorm, Linear } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { add, clamp, relu } from '../ops/pointwise.ts';
import type { LevelShape } from './anchors.ts';
import type { DecoderOptions } from './decoder.ts';

export class DecoderLayer {
  readonly #selfAttention: MultiheadAttention;
  readonly #crossAttention: MSDeformableAttention;
  readonly #linear1: Linear;
  readonly #linear2: Linear;
  readonly #norms: LayerNorm[];
  readonly #version: 1 | 2;

  constructor(scope: Scope, { hidden, heads, ffn, points, method, version }: DecoderOptions) {
    const norm = (i: number) => new LayerNorm(scope.child(`norm${i}`), hidden);
    this.#selfAttention = new MultiheadAttention(scope.child('self_attn'), hidden, heads);
    this.#norms = [norm(1)];
    this.#version = version;
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
   * @param mask added to the scores of the self-attention [queries, queries]
   */
  forward(
    context: Context,
    x: Tensor,
    position: Tensor,
    boxes: Tensor,
    value: Tensor,
    shapes: readonly LevelShape[],
    stage: string,
    mask: Tensor | null = null,
  ): Tensor {
    const { graph } = context;
    const own = graph.scoped('self_attn', () => this.#selfAttention.forward(context, x, position, mask));
    const first = this.#norms[0].forward(context, add(x, context.tap(`${stage}.self_attn`, own)));
    const seen = graph.scoped('cross_attn', () =>
      this.#crossAttention.forward(context, add(first, position), boxes, value, shapes, `${stage}.cross_attn`),
    );
    const second = this.#norms[1].forward(context, add(first, context.tap(`${stage}.cross_attn`, seen)));
    const inner = relu(this.#linear1.forward(context, second));
    const sum = add(second, this.#linear2.forward(context, inner));
    // The largest float16: sums of trained weights never reach it.
    const bounded = context.training && this.#version === 1 ? clamp(sum, -65504, 65504) : sum;
    return context.tap(`${stage}.out`, this.#norms[2].forward(context, bounded));
  }
}
