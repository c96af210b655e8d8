/** What a training step takes of the GPU's memory, planned without one. */
import type { Dispatch, Target } from '../graph/graph.ts';
import { accessesOf, lower, planActivations, type ResultMemory, resultMemory } from '../graph/lower.ts';
import { parameterBytes } from '../graph/parameters.ts';
import type { MemoryPlan } from '../graph/plan.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
import type { TrainingConfig } from './step.ts';
import { traceStep } from './trace.ts';
import type { TrainedGraph } from './trained-graph.ts';
import { arenaLayout, fuseOptions, type OptimizerConfig } from './trained-program.ts';

/** In bytes. Not counted: uniform values, read-backs and the optimizer's sums, which are below 1 MiB. */
export interface StepMemory {
  /** Buffers that hold, one after another, what a step computes: activations, gradients of activations, and the kernels' scratch. */
  readonly activations: number;
  /** Parameters, gradients, moments, average, and summed gradients where there is accumulation. */
  readonly optimizer: number;
  /** Parameters that are not trained, position codes and other constants. */
  readonly constants: number;
  /** Images, targets, denoising queries. */
  readonly inputs: number;
  readonly total: number;
}

export interface PlannedStep {
  readonly memory: StepMemory;
  readonly plan: MemoryPlan;
  /** Without the optimizer's. */
  readonly dispatches: number;
}

/** Limits that every WebGPU device has. */
export const DEFAULT_LIMITS = { maxBufferSize: 256 * 2 ** 20, maxStorageBufferBindingSize: 128 * 2 ** 20 } as const;

/**
 * Plans a step as `TrainingStep.build` does. @throws BackdropError E_INPUT for a pattern that matches nothing, E_SHAPE
 * @param target,limits the device's
 */
export function planStep(
  model: DetectionTransformer,
  config: TrainingConfig,
  target: Target,
  limits: { readonly [K in keyof typeof DEFAULT_LIMITS]: number } = DEFAULT_LIMITS,
): PlannedStep {
  const traced = traceStep(model, config);
  const { graph, trained, statistics } = traced;
  const { dispatches, results } = lowerStep(traced, config, target, limits);
  const reuse = config.program?.reuseMemory !== false;
  const plan = planActivations(graph, dispatches.map(accessesOf), results, { reuse, maxArena: limits.maxBufferSize });
  const sum = (list: Iterable<number>) => [...list].reduce((a, b) => a + b, 0);
  const copies = 4 + (config.average === false ? 0 : 1) + (config.accumulation ? 1 : 0);
  const placed = new Set([...trained, ...statistics].flatMap(({ kernelKeys }) => kernelKeys));
  const parts = {
    activations: sum(plan.arenas),
    optimizer: copies * 4 * sum(arenaLayout(traced, [], limits.maxStorageBufferBindingSize).segments),
    constants: sum([...graph.parameters.values()].map(({ parameter }) => (placed.has(parameter!.key) ? 0 : parameterBytes(parameter!)))),
    inputs: sum([...graph.inputs.values()].map(({ size }) => size * 4)),
  };
  return { memory: { ...parts, total: sum(Object.values(parts)) }, plan, dispatches: dispatches.length };
}

/** The launches of a step without the optimizer's, gradients lying in its arenas. */
export function lowerStep(
  traced: TrainedGraph,
  config: OptimizerConfig,
  target: Target,
  limits: { readonly [K in keyof typeof DEFAULT_LIMITS]: number } = DEFAULT_LIMITS,
): { dispatches: Dispatch[]; results: ResultMemory<unknown> } {
  const layout = arenaLayout(traced, [], limits.maxStorageBufferBindingSize);
  const buffers = layout.segments.map((size) => ({ size: size * 4 }));
  const results = resultMemory(traced.graph, (name) => {
    const { segment, offset, size } = layout.place(name);
    return { buffer: buffers[segment], offset: offset * 4, bytes: size * 4 };
  });
  return { dispatches: lower(traced.graph, target, fuseOptions(config), results.places), results };
}
