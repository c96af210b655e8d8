/** The graph of a training step: forward, matching costs, losses and gradients, in this order. */
import { Graph } from '../graph/graph.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
import { type DenoisingInputs, type TrainingOutputs, traceTraining } from '../models/training.ts';
import { type CriterionOptions, criterion, joinOutputs, matchingCosts, type OutputSet, targetInputs } from './criterion.ts';
import { attentionMask, type DenoisingOptions, denoisingCapacity } from './denoising.ts';
import { LOSSES, type TrainedGraph, trainGraph } from './trained-graph.ts';

export interface StepShape {
  /** Images that run at once. */
  batch: number;
  /** [height, width]; the model's own when left out. */
  size?: readonly [number, number];
  /** Objects of an image that there is room for. */
  maxTargets: number;
  /** False leaves denoising queries out. */
  denoising?: boolean;
  /** Half of it is the probability that a denoising query's label is replaced; 0.5 when left out. */
  labelNoise?: number;
  /** Noise of the denoising queries' boxes in halves of their sides; 1 when left out. */
  boxNoise?: number;
  /** Patterns of parameters that are not trained, beside those that the model's configuration freezes. */
  freeze?: readonly string[];
  /** Differences from RT-DETR's criterion. */
  criterion?: Partial<Omit<CriterionOptions, 'classes' | 'maxTargets'>>;
}

export interface TracedStep extends TrainedGraph {
  readonly sets: readonly OutputSet[];
  readonly criterion: CriterionOptions;
  readonly denoising: DenoisingOptions;
  readonly queries: number;
}

/**
 * Results are those of `trainGraph`. Outputs are `costs` and `losses`. Inputs: `image` [batch, height, width, 3], `denoising.*`, `targets.*`, and `match`, which
 * nothing before `costs` reads.
 * @throws BackdropError E_INPUT for a pattern of `freeze` that matches nothing, E_SHAPE
 */
export function traceStep(model: DetectionTransformer, shape: StepShape): TracedStep {
  const { config, decoder } = model;
  const { batch, size = config.size, maxTargets, labelNoise, boxNoise } = shape;
  const { version, classes } = config;
  const { queries } = decoder.options;
  const wanted = shape.denoising === false ? 0 : config.denoising;
  const denoising: DenoisingOptions = {
    ...{ version, classes, maxTargets, denoising: wanted },
    ...(labelNoise === undefined ? {} : { labelNoise }),
    ...(boxNoise === undefined ? {} : { boxNoise }),
  };
  const options: CriterionOptions = { classification: 'vfl', ...shape.criterion, classes, maxTargets };
  const graph = new Graph();
  const image = graph.input('image', [batch, ...size, 3]);
  const outputs = traceTraining(model, graph, image, { denoising: denoisingInputs(graph, batch, queries, denoising) });
  const sets = outputSets(outputs, version);
  const { costs, losses, seeds } = graph.scoped('criterion', () => {
    const joined = joinOutputs(sets);
    const targets = targetInputs(graph, batch, options);
    const rows = sets.reduce((sum, { boxes }) => sum + boxes.rows, 0);
    const matching = matchingCosts(joined, targets, options);
    const { terms, seeds } = criterion(joined, targets, graph.input('match', [batch, rows, 1], 'u32'), options);
    return { costs: matching, losses: terms, seeds };
  });
  const { statistics } = outputs;
  const { trained } = trainGraph({ graph, parameters: model.parameters, losses, seeds, statistics, freeze: shape.freeze ?? [] });
  graph.output('costs', costs);
  graph.output(LOSSES, graph.results.get(LOSSES)!);
  return { graph, trained, statistics, sets, criterion: options, denoising, queries };
}

function denoisingInputs(graph: Graph, batch: number, queries: number, options: DenoisingOptions): DenoisingInputs | null {
  const capacity = denoisingCapacity(options);
  if (capacity === 0) return null;
  return {
    classes: graph.input('denoising.classes', [batch, capacity, 1], 'u32'),
    boxes: graph.input('denoising.boxes', [batch, capacity, 4]),
    mask: attentionMask(graph.input('denoising.groups', [capacity + queries])),
  };
}

/** The last layer's outputs, the earlier ones', the encoder's (which version 1 counts as the last of those), the denoising parts. */
function outputSets({ layers, encoder, denoising }: TrainingOutputs, version: 1 | 2): OutputSet[] {
  const last = layers.length - 1;
  return [
    { suffix: '', ...layers[last] },
    ...layers.slice(0, last).map((pair, i) => ({ suffix: `_aux_${i}`, ...pair })),
    { suffix: version === 1 ? `_aux_${last}` : '_enc_0', ...encoder },
    ...denoising.map((pair, i) => ({ suffix: `_dn_${i}`, denoising: true, ...pair })),
  ];
}
