/** The end of every training graph: the gradients of what is trained, as results that lie in the optimizer's arenas. */
import { BackdropError } from '../errors.ts';
import type { Graph, Tensor, Value } from '../graph/graph.ts';
import type { ParameterTable } from '../nn/parameters.ts';
import { type StatisticsUpdate, type TrainableParameter, trainableParameters } from '../nn/training.ts';
import { gradients } from '../ops/gradient.ts';
import { copy } from '../ops/reshape.ts';

/** The losses' name among the graph's results. */
export const LOSSES = 'losses';

export interface TrainedGraph {
  readonly graph: Graph;
  /** Trained parameters that the losses depend on. */
  readonly trained: readonly TrainableParameter[];
  readonly statistics: readonly StatisticsUpdate[];
}

export interface LossGraph {
  readonly graph: Graph;
  /** The state dictionary of the layers in the graph. */
  readonly parameters: ParameterTable;
  /** Of any shape; their sum is what is minimised. */
  readonly losses: Tensor;
  /** Running statistics of the batch norms (`Training.statistics`). */
  readonly statistics?: readonly StatisticsUpdate[];
  /** Where `losses` cannot be differentiated: other tensors, each with the gradient of the loss with respect to it. */
  readonly seeds?: ReadonlyMap<Tensor, Tensor>;
  /** Patterns of parameters that are not trained. */
  readonly freeze?: readonly string[];
}

/**
 * Appends gradients to a graph. Results are the losses, each trained kernel parameter's gradient and each statistic's value of this
 * batch, under the parameter's key.
 * @throws BackdropError E_INPUT for a pattern of `freeze` that matches nothing, E_MODEL_CONFIG for an operation without a gradient
 */
export function trainGraph({ graph, parameters, losses, statistics = [], seeds, freeze = [] }: LossGraph): TrainedGraph {
  const candidates = unfrozen(trainableParameters(graph, parameters), freeze);
  const found = gradients(
    graph,
    seeds ?? new Map([[losses, ones(graph, losses.shape)]]),
    candidates.flatMap(({ tensors }) => tensors),
  );
  // PyTorch leaves alone what gets no gradient at all.
  const trained = candidates.filter(({ tensors }) => tensors.every((tensor) => found.has(tensor)));
  storeResults(graph, [
    [LOSSES, losses],
    ...trained.flatMap(({ tensors, kernelKeys }) => tensors.map((t, i): [string, Tensor] => [kernelKeys[i], found.get(t)!])),
    ...statistics.map(({ kernelKeys, batch }): [string, Tensor] => [kernelKeys[0], batch]),
  ]);
  return { graph, trained, statistics };
}

function ones(graph: Graph, shape: readonly number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return graph.parameter({ key: `ones ${shape.join(' ')}`, shape, type: 'f32', sources: [], build: () => new Float32Array(size).fill(1) });
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
