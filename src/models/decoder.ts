/** RT-DETR's decoder: two-stage query selection, then layers that refine boxes with deformable attention over all levels. */
import type { Tensor } from '../graph/graph.ts';
import { stackOutputs } from '../nn/affine.ts';
import type { Context } from '../nn/context.ts';
import { applyLinear, ConvNorm, LayerNorm, Linear, Mlp } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { concatRows } from '../ops/concat.ts';
import { gatherRows } from '../ops/gather.ts';
import { add, mul, refineBox, sigmoid } from '../ops/pointwise.ts';
import { reduceColumns } from '../ops/reduce.ts';
import { topk } from '../ops/topk.ts';
import { anchorTensor, type LevelShape, validTensor } from './anchors.ts';
import { DecoderLayer } from './decoder-layer.ts';

export interface DecoderOptions {
  version: 1 | 2;
  /** Channels of the encoder's maps. */
  inputs: number;
  levels: number;
  hidden: number;
  heads: number;
  ffn: number;
  layers: number;
  /** The layer whose outputs count at inference; the ones behind it are not run. */
  evalLayer: number;
  points: readonly number[];
  method: 'bilinear' | 'discrete';
  queries: number;
  classes: number;
  anchorEps: number;
  /** Tokens at the size the model is meant for: RT-DETRv2's buffers have that length. */
  tokens: number;
  freezeNorm: boolean;
}

export interface DecoderOutputs {
  /** Class logits [batch, queries, classes]. */
  logits: Tensor;
  /** cx, cy, w, h in 0..1 [batch, queries, 4]. */
  boxes: Tensor;
  /** Token numbers of the selected queries, best first [batch, queries, 1], u32. */
  topkIndices: Tensor;
  /** Largest class logit of the selected tokens [batch, queries, 1]. */
  topkScores: Tensor;
  /** Largest class logit of every token [batch, tokens, 1]. */
  tokenScores: Tensor;
}

export interface Selection {
  /** Features of the selected tokens [batch, queries, hidden]. */
  content: Tensor;
  /** Boxes before the sigmoid [batch, queries, 4]. */
  reference: Tensor;
  /** Class logits of every token [batch, tokens, classes]. */
  logits: Tensor;
  indices: Tensor;
  values: Tensor;
  scores: Tensor;
}

export class Decoder {
  readonly options: DecoderOptions;
  readonly #projections: ConvNorm[];
  readonly layers: DecoderLayer[];
  readonly queryPosition: Mlp;
  /** Only training reads it; the last row is the padding class. */
  readonly classEmbedding: string;
  readonly #encoderOutput: { linear: Linear; norm: LayerNorm };
  readonly #encoderScore: Linear;
  readonly #encoderBox: Mlp;
  /** Heads, one a layer. */
  readonly scores: Linear[];
  readonly boxes: Mlp[];

  constructor(scope: Scope, options: DecoderOptions) {
    const { version, inputs, levels, hidden, classes, tokens, freezeNorm: frozenNorm } = options;
    this.options = options;
    if (version === 2) {
      scope.declare('anchors', [1, tokens, 4], 'buffer');
      scope.declare('valid_mask', [1, tokens, 1], 'buffer', 'bool');
    }
    const each = <T>(count: number, name: string, make: (at: Scope) => T): T[] =>
      Array.from({ length: count }, (_, i) => make(scope.child(name).child(i)));
    this.#projections = each(levels, 'input_proj', (at) => new ConvNorm(at, { inputs, outputs: hidden }, { frozenNorm }));
    this.layers = each(options.layers, 'decoder.layers', (at) => new DecoderLayer(at, options));
    this.classEmbedding = scope.declare('denoising_class_embed.weight', [classes + 1, hidden]);
    this.queryPosition = new Mlp(scope.child('query_pos_head'), 4, 2 * hidden, hidden, 2);
    const [linear, norm] = version === 1 ? ['0', '1'] : ['proj', 'norm'];
    const output = scope.child('enc_output');
    this.#encoderOutput = { linear: new Linear(output.child(linear), hidden, hidden), norm: new LayerNorm(output.child(norm), hidden) };
    this.#encoderScore = new Linear(scope.child('enc_score_head'), hidden, classes);
    this.#encoderBox = new Mlp(scope.child('enc_bbox_head'), hidden, hidden, 4, 3);
    this.scores = each(options.layers, 'dec_score_head', (at) => new Linear(at, hidden, classes));
    this.boxes = each(options.layers, 'dec_bbox_head', (at) => new Mlp(at, hidden, hidden, 4, 3));
  }

  /** @param maps F_1, F_2, F_3 [batch, height, width, inputs], finest first */
  forward(context: Context, maps: readonly Tensor[]): DecoderOutputs {
    const { graph } = context;
    return graph.scoped('decoder', () => {
      const { memory, shapes } = this.memory(context, maps);
      const selected = graph.scoped('selection', () => this.select(context, memory, shapes));
      const { logits, boxes } = this.#refine(context, memory, shapes, selected);
      return { logits, boxes, topkIndices: selected.indices, topkScores: selected.values, tokenScores: selected.scores };
    });
  }

  /** The maps' projections, level behind level: [batch, tokens, hidden]. */
  memory(context: Context, maps: readonly Tensor[]): { memory: Tensor; shapes: LevelShape[] } {
    const projected = maps.map((map, i) =>
      context.graph.scoped(`input_proj.${i}`, () => context.tap(`decoder.input_proj.${i}`, this.#projections[i].forward(context, map))),
    );
    const shapes = maps.map(({ shape }): LevelShape => [shape[1], shape[2]]);
    return { memory: context.tap('decoder.memory', concatRows(projected)), shapes };
  }

  /** The `queries` tokens with the largest class logit, their features and boxes. */
  select(context: Context, memory: Tensor, shapes: readonly LevelShape[]): Selection {
    const { graph } = context;
    const { queries, anchorEps } = this.options;
    const valid = mul(memory, validTensor(graph, shapes, anchorEps));
    const features = this.#encoderOutput.norm.forward(context, this.#encoderOutput.linear.forward(context, valid));
    context.tap('decoder.enc_output', features);
    const logits = context.tap('decoder.enc_score_head', this.#encoderScore.forward(context, features));
    // All tokens' boxes are wanted by nobody but tests: the selected rows are enough.
    if (context.wants('decoder.enc_bbox_head')) context.tap('decoder.enc_bbox_head', this.#encoderBox.forward(context, features));
    const scores = reduceColumns(logits, 'max');
    const { values, indices } = topk(scores.detach(), queries);
    const content = context.tap('decoder.target_in', gatherRows(features, indices));
    const anchors = gatherRows(anchorTensor(graph, shapes, anchorEps), indices);
    const reference = context.tap('decoder.ref_points_unact', add(this.#encoderBox.forward(context, content), anchors));
    return { content, reference, logits, indices, values, scores };
  }

  #refine(
    context: Context,
    memory: Tensor,
    shapes: readonly LevelShape[],
    { content, reference }: Selection,
  ): { logits: Tensor; boxes: Tensor } {
    const { graph } = context;
    const { hidden, evalLayer } = this.options;
    const used = this.layers.slice(0, evalLayer + 1);
    // One matrix product for all layers: the memory is read once.
    const values = graph.scoped('value_proj', () => applyLinear(context, memory, stackOutputs(used.map(({ value }) => value.affine))));
    let x = content;
    let boxes = sigmoid(reference);
    used.forEach((layer, i) => {
      const stage = `decoder.layers.${i}`;
      graph.scoped(`layers.${i}`, () => {
        context.tap(`${stage}.ref_points_in`, boxes);
        const position = graph.scoped('query_pos_head', () => this.queryPosition.forward(context, boxes));
        x = layer.forward(context, x, position, boxes, values.columnsFrom(i * hidden, hidden), shapes, stage);
        boxes = graph.scoped('bbox_head', () => refineBox(this.boxes[i].forward(context, x), boxes));
        context.tap(`${stage}.boxes`, boxes);
      });
    });
    return { logits: graph.scoped('score_head', () => this.scores[evalLayer].forward(context, x)), boxes };
  }
}
