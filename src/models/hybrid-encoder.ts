/**
 * RT-DETR's hybrid encoder: 1x1 projections, a transformer layer on the coarsest map (AIFI), then top-down and bottom-up
 * fusion with CSP blocks of RepVGG convolutions (CCFF).
 */
import type { Graph, Tensor } from '../graph/graph.ts';
import { MultiheadAttention } from '../nn/attention.ts';
import type { Context } from '../nn/context.ts';
import { ConvNorm, forwardStacked, LayerNorm, Linear, RepVggBlock } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { concatColumns } from '../ops/concat.ts';
import { add, gelu } from '../ops/pointwise.ts';
import { resizeNearest } from '../ops/resize.ts';

export interface HybridEncoderOptions {
  /** Channels of the backbone's maps at stride 8, 16, 32. */
  inputs: readonly number[];
  hidden: number;
  heads: number;
  ffn: number;
  /** Width of the CSP blocks relative to `hidden`. */
  expansion: number;
  /** RT-DETRv2 names the projections' parts conv and norm, v1 0 and 1. */
  version: 1 | 2;
  freezeNorm: boolean;
}

/**
 * Sine and cosine codes, [height * width, size], size divisible by four. The rows run over the width first while tokens run over
 * it last; the official code does so, and trained weights expect it: token t gets i = floor(t / height), j = t mod height.
 */
export function positionEmbedding(width: number, height: number, size: number): Float32Array {
  const quarter = size / 4;
  const out = new Float32Array(width * height * size);
  for (let t = 0; t < width * height; t++) {
    [Math.floor(t / height), t % height].forEach((position, axis) => {
      for (let k = 0; k < quarter; k++) {
        const angle = position / 10000 ** (k / quarter);
        const at = t * size + 2 * axis * quarter + k;
        out[at] = Math.sin(angle);
        out[at + quarter] = Math.cos(angle);
      }
    });
  }
  return out;
}

function positionTensor(graph: Graph, width: number, height: number, size: number): Tensor {
  return graph.parameter({
    key: `position embedding ${width}x${height}x${size}`,
    shape: [height * width, size],
    type: 'f32',
    sources: [],
    build: () => positionEmbedding(width, height, size),
  });
}

/** Post-norm transformer encoder layer with GELU; positions are added to queries and keys only. */
class EncoderLayer {
  readonly #attention: MultiheadAttention;
  readonly #linear1: Linear;
  readonly #linear2: Linear;
  readonly #norm1: LayerNorm;
  readonly #norm2: LayerNorm;

  constructor(scope: Scope, size: number, heads: number, ffn: number) {
    this.#attention = new MultiheadAttention(scope.child('self_attn'), size, heads);
    this.#linear1 = new Linear(scope.child('linear1'), size, ffn);
    this.#linear2 = new Linear(scope.child('linear2'), ffn, size);
    this.#norm1 = new LayerNorm(scope.child('norm1'), size);
    this.#norm2 = new LayerNorm(scope.child('norm2'), size);
  }

  forward(context: Context, tokens: Tensor, position: Tensor): Tensor {
    const x = this.#norm1.forward(context, add(tokens, this.#attention.forward(context, tokens, position)));
    const inner = gelu(this.#linear1.forward(context, x));
    return this.#norm2.forward(context, add(x, this.#linear2.forward(context, inner)));
  }
}

/** Cross-stage partial block: conv3(RepVGG blocks(conv1(x)) + conv2(x)). */
class CspRepLayer {
  readonly #split: readonly [ConvNorm, ConvNorm];
  readonly #blocks: RepVggBlock[];
  readonly #out: ConvNorm | null;

  constructor(scope: Scope, channels: number, expansion: number, frozenNorm: boolean) {
    const hidden = Math.floor(channels * expansion);
    const unit = (name: string, inputs: number, outputs: number) =>
      new ConvNorm(scope.child(name), { inputs, outputs }, { activation: 'silu', frozenNorm });
    this.#split = [unit('conv1', 2 * channels, hidden), unit('conv2', 2 * channels, hidden)];
    this.#blocks = [0, 1, 2].map((i) => new RepVggBlock(scope.child('bottlenecks').child(i), hidden, frozenNorm));
    this.#out = hidden === channels ? null : unit('conv3', hidden, channels);
  }

  forward(context: Context, x: Tensor): Tensor {
    const [first, second] = forwardStacked(context, x, this.#split);
    const sum = add(
      this.#blocks.reduce((v, block) => block.forward(context, v), first),
      second,
    );
    return this.#out ? this.#out.forward(context, sum) : sum;
  }
}

export class HybridEncoder {
  readonly #options: HybridEncoderOptions;
  readonly #projections: ConvNorm[];
  readonly #layer: EncoderLayer;
  readonly #laterals: ConvNorm[];
  readonly #fpn: CspRepLayer[];
  readonly #downs: ConvNorm[];
  readonly #pan: CspRepLayer[];

  constructor(scope: Scope, options: HybridEncoderOptions) {
    const { inputs, hidden, heads, ffn, expansion, version, freezeNorm: frozenNorm } = options;
    this.#options = options;
    const names = version === 1 ? (['0', '1'] as const) : (['conv', 'norm'] as const);
    this.#projections = inputs.map(
      (channels, i) => new ConvNorm(scope.child('input_proj').child(i), { inputs: channels, outputs: hidden }, { frozenNorm, names }),
    );
    this.#layer = new EncoderLayer(scope.child('encoder.0.layers.0'), hidden, heads, ffn);
    const unit = (name: string, i: number, kernel: number, stride: number) =>
      new ConvNorm(scope.child(name).child(i), { inputs: hidden, outputs: hidden, kernel, stride }, { activation: 'silu', frozenNorm });
    const csp = (name: string, i: number) => new CspRepLayer(scope.child(name).child(i), hidden, expansion, frozenNorm);
    this.#laterals = [0, 1].map((i) => unit('lateral_convs', i, 1, 1));
    this.#fpn = [0, 1].map((i) => csp('fpn_blocks', i));
    this.#downs = [0, 1].map((i) => unit('downsample_convs', i, 3, 2));
    this.#pan = [0, 1].map((i) => csp('pan_blocks', i));
  }

  /** Backbone maps at stride 8, 16, 32 to `hidden` channels each. The Association Encoder reads the first one, too. */
  project(context: Context, maps: readonly Tensor[]): Tensor[] {
    const { graph } = context;
    return this.#projections.map((projection, i) =>
      graph.scoped(`encoder.input_proj.${i}`, () => context.tap(`encoder.input_proj.${i}`, projection.forward(context, maps[i]))),
    );
  }

  /** Projected maps to F_1, F_2, F_3, in the same sizes. */
  forward(context: Context, [fine, middle, coarse]: readonly Tensor[]): [Tensor, Tensor, Tensor] {
    const { graph } = context;
    const step = (name: string, body: () => Tensor): Tensor =>
      graph.scoped(`encoder.${name}`, () => context.tap(`encoder.${name}`, body()));
    const [batch, height, width, size] = coarse.shape;
    const position = positionTensor(graph, width, height, size);
    const tokens = step('aifi.0', () => this.#layer.forward(context, coarse.viewAs([batch, height * width, size]), position));
    const aifi = tokens.viewAs(coarse.shape);

    const top = step('lateral_convs.0', () => this.#laterals[0].forward(context, aifi));
    const p4 = step('fpn_blocks.0', () => this.#fpn[0].forward(context, concatColumns([resizeNearest(top, { scale: 2 }), middle])));
    const inner = step('lateral_convs.1', () => this.#laterals[1].forward(context, p4));
    const p3 = step('fpn_blocks.1', () => this.#fpn[1].forward(context, concatColumns([resizeNearest(inner, { scale: 2 }), fine])));
    const down = (i: number, x: Tensor) => step(`downsample_convs.${i}`, () => this.#downs[i].forward(context, x));
    const down0 = down(0, p3);
    const f4 = step('pan_blocks.0', () => this.#pan[0].forward(context, concatColumns([down0, inner])));
    const down1 = down(1, f4);
    const f5 = step('pan_blocks.1', () => this.#pan[1].forward(context, concatColumns([down1, top])));
    [p3, f4, f5].forEach((map, i) => {
      context.tap(`encoder.out.${i}`, map);
    });
    return [p3, f4, f5];
  }

  get channels(): number {
    return this.#options.hidden;
  }
}
