/** The forward pass of training: denoising queries, the outputs of every layer, and gradients that stop where RT-DETR's do. */
import type { Graph, Tensor } from '../graph/graph.ts';
import { tensorAsIs } from '../nn/affine.ts';
import { Context } from '../nn/context.ts';
import { type StatisticsUpdate, Training } from '../nn/training.ts';
import { concatRows } from '../ops/concat.ts';
import { embedding, gatherRows } from '../ops/gather.ts';
import { pointwise, refineBox, rows, sigmoid } from '../ops/pointwise.ts';
import type { Decoder, Selection } from './decoder.ts';
import type { DetectionTransformer, TraceOptions } from './rt-detr.ts';

/** Queries that stand before the selected ones. */
export interface DenoisingInputs {
  /** Rows of denoising_class_embed, u32 [batch, count, 1]; `classes` for padding. */
  readonly classes: Tensor;
  /** Boxes before the sigmoid [batch, count, 4]. */
  readonly boxes: Tensor;
  /** Added to the self-attention's scores [count + queries, count + queries]; a large negative number where a query may not look. */
  readonly mask: Tensor;
}

export interface TrainingOptions extends TraceOptions {
  denoising?: DenoisingInputs | null;
}

/** Class logits [batch, queries, classes] and boxes cx, cy, w, h in 0..1 [batch, queries, 4]. */
export interface OutputPair {
  readonly logits: Tensor;
  readonly boxes: Tensor;
}

export interface TrainingOutputs {
  /** Of the selected queries after every layer; the last one's are the model's. */
  readonly layers: readonly OutputPair[];
  /** Of the selected tokens, from the encoder. Version 1 counts them as its last auxiliary outputs. */
  readonly encoder: OutputPair;
  /** Of the denoising queries after every layer; empty without them. */
  readonly denoising: readonly OutputPair[];
  /** Token numbers of the selected queries, best first [batch, queries, 1], u32. */
  readonly topkIndices: Tensor;
  /** Running statistics of the batch norms that are trained, and what they become. */
  readonly statistics: readonly StatisticsUpdate[];
}

/**
 * Traces a training forward into a graph. Parameters then stand in it unfolded: `trainableParameters` of nn/training.ts lists them.
 * @param image RGB in 0..1, [batch, height, width, 3], sides multiples of 32
 * @throws BackdropError E_INPUT, E_SHAPE
 */
export function traceTraining(
  model: DetectionTransformer,
  graph: Graph,
  image: Tensor,
  { taps, denoising = null }: TrainingOptions = {},
): TrainingOutputs {
  const training = new Training(graph);
  const context = new Context(graph, taps, training);
  const maps = model.maps(context, image);
  const { decoder } = model;
  return graph.scoped('decoder', () => {
    const { memory, shapes } = decoder.memory(context, maps);
    const selected = graph.scoped('selection', () => decoder.select(context, memory, shapes));
    const { indices, reference } = selected;
    const encoder = { logits: gatherRows(selected.logits, indices), boxes: sigmoid(reference) };
    const start = firstQueries(decoder, graph, selected, denoising);
    const values = decoder.layers.map((layer, i) => graph.scoped(`value_proj.${i}`, () => layer.value.forward(context, memory)));
    let x = start.content;
    // What a layer refines is a constant to it; its loss reaches the layer before through `refined`, which has the same values.
    let boxes = sigmoid(start.reference).detach();
    let refined: Tensor | null = null;
    const outputs = decoder.layers.map((layer, i): OutputPair => {
      const stage = `decoder.layers.${i}`;
      return graph.scoped(`layers.${i}`, () => {
        context.tap(`${stage}.ref_points_in`, boxes);
        const position = graph.scoped('query_pos_head', () => decoder.queryPosition.forward(context, boxes));
        x = layer.forward(context, x, position, boxes, values[i], shapes, stage, denoising?.mask ?? null);
        const delta = graph.scoped('bbox_head', () => decoder.boxes[i].forward(context, x));
        const own = refineBox(delta, boxes);
        const output = refined ? refineBox(delta, refined) : own;
        context.tap(`${stage}.boxes`, output);
        refined = own;
        boxes = own.detach();
        return { logits: graph.scoped('score_head', () => decoder.scores[i].forward(context, x)), boxes: output };
      });
    });
    const count = denoising?.boxes.rows ?? 0;
    const part = (first: number, length: number) => (pair: OutputPair) => ({
      logits: pair.logits.rowsFrom(first, length),
      boxes: pair.boxes.rowsFrom(first, length),
    });
    return {
      layers: denoising ? outputs.map(part(count, decoder.options.queries)) : outputs,
      encoder,
      denoising: denoising ? outputs.map(part(0, count)) : [],
      topkIndices: indices,
      statistics: training.statistics,
    };
  });
}

/** What the first layer begins with: the denoising queries, then the selected ones, which learn from the encoder's loss alone. */
function firstQueries(
  { options: { classes, hidden }, classEmbedding }: Decoder,
  graph: Graph,
  selected: Selection,
  denoising: DenoisingInputs | null,
): Pick<Selection, 'content' | 'reference'> {
  const [content, reference] = [selected.content.detach(), selected.reference.detach()];
  if (!denoising) return { content, reference };
  const table = tensorAsIs(graph, classEmbedding, [classes + 1, hidden]);
  // The padding class has a row that is read like any other, but is not trained.
  const real = graph.parameter({
    key: `classes but padding ${classes}`,
    shape: [classes + 1, 1],
    type: 'f32',
    sources: [],
    build: () => new Float32Array(classes + 1).fill(1, 0, classes),
  });
  const noisy = embedding(pointwise(rows.where, [real, table, table.detach()]), denoising.classes);
  return { content: concatRows([noisy, content]), reference: concatRows([denoising.boxes, reference]) };
}
