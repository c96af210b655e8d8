/**
 * Layers in training: batch norms as operations of their own, and the way between a checkpoint's tensors and the parameters of
 * the kernels, which hold the same numbers in another order.
 */
import type { Graph, ParameterSpec, Tensor } from '../graph/graph.ts';
import { add, mulAdd, pointwise } from '../ops/pointwise.ts';
import { batchNormTrain } from '../ops/standardise.ts';
import { normScale, normShift, type Recipe } from './affine.ts';
import type { BatchNorm, BehindNorm, TrainingTrace } from './context.ts';
import type { ParameterTable } from './parameters.ts';

/** A checkpoint tensor and the parameters that hold its numbers: one, or several parts. */
export interface KernelTensors {
  /** PyTorch's. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly kernelKeys: readonly string[];
  /** The parameters, in the order of their keys. */
  readonly tensors: readonly Tensor[];
  /** Numbers in the kernels' order (values, gradients, moments), an array a parameter, in PyTorch's order. */
  toPyTorch(arrays: readonly ArrayLike<number>[]): Float32Array<ArrayBuffer>;
  /** The other way round. */
  fromPyTorch(values: Float32Array): Float32Array[];
}

export type TrainableParameter = KernelTensors;

/** A running statistic of a batch norm and the batch's own value, which it moves towards by the norm's momentum. */
export interface StatisticsUpdate extends KernelTensors {
  /** [channels] in the kernels' order; the variance is the unbiased one. */
  readonly batch: Tensor;
}

/** What a kernel parameter is built of, in order: its own numbers are a permutation of a part of its only source. */
function sourcePositions({ build }: ParameterSpec, size: number): Float32Array | Uint32Array {
  // Positions are exact in float32 below 2^24, a hundred times the largest layer of ResNet-101.
  if (size >= 2 ** 24) throw new RangeError(`a parameter of ${size} numbers is too large to be followed through its layout`);
  const positions = Float32Array.from({ length: size }, (_, i) => i);
  return build(() => positions);
}

function kernelTensors(name: string, shape: readonly number[], tensors: readonly Tensor[]): KernelTensors {
  const size = shape.reduce((a, b) => a * b, 1);
  const held = tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  if (held !== size) throw new RangeError(`${name} has ${size} numbers, but its parameters for training hold ${held}`);
  return {
    name,
    shape,
    kernelKeys: tensors.map(({ parameter }) => parameter!.key),
    tensors,
    toPyTorch(arrays) {
      const out = new Float32Array(size);
      tensors.forEach(({ parameter }, part) => {
        sourcePositions(parameter!, size).forEach((to, from) => {
          out[to] = arrays[part][from];
        });
      });
      return out;
    },
    fromPyTorch: (values) => tensors.map(({ parameter }) => parameter!.build(() => values) as Float32Array),
  };
}

/**
 * The trained parameters of a graph that was traced for training, in the order of PyTorch's state_dict. What is frozen, or is
 * read by no operation, is not among them.
 */
export function trainableParameters(graph: Graph, table: ParameterTable): TrainableParameter[] {
  const held = new Map<string, Tensor[]>();
  for (const tensor of graph.parameters.values()) {
    const { key, sources } = tensor.parameter!;
    const trained = sources.filter((name) => table.get(name)?.kind === 'param');
    if (trained.length === 0) continue;
    if (sources.length > 1) throw new RangeError(`parameter ${key} is made of several tensors, which cannot be trained in it`);
    held.set(trained[0], [...(held.get(trained[0]) ?? []), tensor]);
  }
  return [...table].flatMap(([name, { shape }]) => {
    const tensors = held.get(name);
    return tensors ? [kernelTensors(name, shape, tensors)] : [];
  });
}

/** Traces batch norms for training and collects what becomes of their running statistics. */
export class Training implements TrainingTrace {
  readonly statistics: StatisticsUpdate[] = [];
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  batchNorm(
    x: Tensor,
    { name, channels, frozen }: BatchNorm,
    order: ((channel: number) => number) | null,
    { residual = null, activation = null }: BehindNorm = {},
  ): Tensor {
    const vector = (key: string, { sources, values }: Recipe): Tensor =>
      this.#graph.parameter({
        key: order ? `${key} in kernel order` : key,
        shape: [channels],
        type: 'f32',
        sources,
        build: (get) => {
          const out = new Float32Array(channels);
          values(get).forEach((value, channel) => {
            out[order ? order(channel) : channel] = value;
          });
          return out;
        },
      });
    if (frozen) {
      const y = mulAdd(x, vector(`${name} scale`, normScale(name)), vector(`${name} shift`, normShift(name)));
      const sum = residual ? add(y, residual) : y;
      return activation ? pointwise(activation, [sum]) : sum;
    }
    const entry = (local: string): Tensor => {
      const full = `${name}.${local}`;
      return vector(full, { sources: [full], values: (get) => Float64Array.from(get(full)) });
    };
    const [weight, bias, runningMean, runningVar] = ['weight', 'bias', 'running_mean', 'running_var'].map(entry);
    const { y, mean, variance } = batchNormTrain(x, weight, bias, { residual, activation });
    this.statistics.push(
      { ...kernelTensors(`${name}.running_mean`, [channels], [runningMean]), batch: mean },
      { ...kernelTensors(`${name}.running_var`, [channels], [runningVar]), batch: variance },
    );
    return y;
  }
}
