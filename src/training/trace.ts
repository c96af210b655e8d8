/** The graph of a training step: forward, matching costs, losses and gradients, in this order. */
import { BackdropError } from '../errors.ts';
import { Graph, type Tensor, type Value } from '../graph/graph.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
import { type DenoisingInputs, type TrainingOutputs, traceTraining } from '../models/training.ts';
import { type StatisticsUpdate, type TrainableParameter, trainableParameters } from '../nn/training.ts';
import { gradients } from '../ops/gradient.ts';
import { copy } from '../ops/reshape.ts';
import { type CriterionOptions, criterion, joinOutputs, matchingCosts, type OutputSet, targetInputs } from './criterion.ts';
import { attentionMask, type DenoisingOptions, denoisingCapacity } from './denoising.ts';

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

export interface TracedStep {
  readonly graph: Graph;
  /** Trained parameters that the losses depend on. */
  readonly trained: readonly TrainableParameter[];
  readonly statistics: readonly StatisticsUpdate[];
  readonly sets: readonly OutputSet[];
  readonly criterion: CriterionOptions;
  readonly denoising: DenoisingOptions;
  readonly queries: number;
}

/** The weighted loss terms' name among the graph's results and outputs. */
export const LOSSES = 'losses';

/**
 * Results are the losses, each trained kernel parameter's gradient and each statistic's next value, under the parameter's key.
 * Outputs are `costs` and `losses`. Inputs: `image` [batch, height, width, 3], `denoising.*`, `targets.*`, and `match`, which
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
  const candidates = unfrozen(trainableParameters(graph, model.parameters), shape.freeze ?? []);
  const found = gradients(
    graph,
    seeds,
    candidates.flatMap(({ tensors }) => tensors),
  );
  // PyTorch leaves alone what gets no gradient at all.
  const trained = candidates.filter(({ tensors }) => tensors.every((tensor) => found.has(tensor)));
  const { statistics } = outputs;
  storeResults(graph, [
    [LOSSES, losses],
    ...trained.flatMap(({ tensors, kernelKeys }) => tensors.map((t, i): [string, Tensor] => [kernelKeys[i], found.get(t)!])),
    ...statistics.map(({ kernelKeys, after }): [string, Tensor] => [kernelKeys[0], after]),
  ]);
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

function unfrozen(parameters: readonly TrainableParameter[], patterns: readonly string[]): TrainableParameter[] {
  const expressions = patterns.map((pattern) => {
    const expression = new RegExp(pattern);
    if (!parameters.some(({ name }) => expression.test(name))) {
      throw new BackdropError('E_INPUT', `The pattern ${pattern} of parameters to freeze matches no trained parameter.`, {
        details: { pattern },
      });
    }
    return expression;
  });
  return parameters.filter(({ name }) => !expressions.some((expression) => expression.test(name)));
}

/** Makes tensors results of the graph; those that are a part of something or are read by others, as copies. */
function storeResults(graph: Graph, list: readonly (readonly [string, Tensor])[]): void {
  const read = new Set<Value>(graph.nodes.flatMap(({ inputs }) => inputs.map(({ value }) => value)));
  const seen = new Set<Value>();
  for (const [, { value }] of list) {
    if (seen.has(value)) read.add(value);
    seen.add(value);
  }
  for (const [name, tensor] of list) {
    const { value, size } = tensor;
    const whole = value.kind === 'activation' && size === value.images * value.rows * value.columns;
    const stored = whole && !read.has(value) ? tensor : copy(tensor, tensor.shape, { sizes: [1, 1, 1, size], strides: [0, 0, 0, 1] });
    graph.result(name, stored);
  }
}
