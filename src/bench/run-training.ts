/** Page side of `bench train`: training steps beside forward passes of the same model, size and batch. */
import { type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { type KernelTiming, median, profileSteps, type StepTiming } from '../gpu/profiler.ts';
import { Graph } from '../graph/graph.ts';
import { targetOf } from '../graph/lower.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { formatPlan } from '../graph/plan.ts';
import { Program, type ProgramStatistics } from '../graph/program.ts';
import type { Recompute } from '../graph/recompute.ts';
import { buildModel } from '../models/rt-detr.ts';
import { planStep, type StepMemory } from '../training/memory.ts';
import { type TrainingConfig, TrainingStep } from '../training/step.ts';
import type { Targets } from '../training/targets.ts';
import { forwardMilliseconds } from './run-model.ts';
import type { BenchProgress } from './run-ops.ts';
import { benchImage, benchSource } from './weights.ts';

export interface TrainRequest {
  model: string;
  size: number;
  batch: number;
  rounds: number;
  variants: Record<string, string>;
  recompute: Recompute;
}

export interface TrainReport {
  model: string;
  size: number;
  batch: number;
  adapter: Gpu['info'];
  /** Milliseconds, one a round, in turn with the forward passes. */
  steps: number[];
  forwards: number[];
  /** Median of the rounds' ratios. */
  ratio: number;
  statistics: ProgramStatistics;
  /** With the optimizer's. */
  dispatches: number;
  forwardDispatches: number;
  recompute: Recompute;
  /** Planned with the recomputation asked for, and with none. */
  memory: StepMemory;
  keptMemory: StepMemory;
  /** Milliseconds, with nothing compiled. */
  build: number;
  /** Buffers, bind groups and pipelines that the timed steps created, and read-backs a step. */
  created: number;
  readbacks: number;
  /** Of the training Program; without the optimizer. */
  kernels: KernelTiming[];
  slowest: StepTiming[];
  plan: string;
}

/** Kernels that read what they change: counters and cursors of the deformable attention's buckets. */
const counting = new Set(['deformable/count', 'deformable/fill', 'copy/scan']);

/** Seven objects an image, about what COCO has. */
function benchTargets(batch: number, classes: number): Targets[] {
  return Array.from({ length: batch }, (_, image) => ({
    boxes: Array.from({ length: 7 }, (_, i) => [0.1 + 0.11 * i, 0.8 - 0.1 * i, 0.05 + 0.03 * i, 0.08 + 0.02 * (i + image)]).flat(),
    labels: Array.from({ length: 7 }, (_, i) => (i * 11 + image) % classes),
  }));
}

export async function benchTraining(request: TrainRequest, progress: (value: BenchProgress) => void): Promise<TrainReport> {
  const gpu = await openDevice();
  const kernels = new KernelCache(gpu);
  const { model: name, size, batch, rounds, variants, recompute } = request;
  try {
    const model = buildModel(name);
    const source = benchSource(model.parameters);
    const onProgress = ({ compiled, total }: { compiled: number; total: number }) =>
      progress({ label: `${name}: compiling`, fraction: compiled / total });
    const begin = performance.now();
    const program = { variants, onProgress };
    const config: TrainingConfig = { batch, size: [size, size], maxTargets: 16, program, recompute };
    const step = await TrainingStep.build(gpu, kernels, model, source, config);
    const build = performance.now() - begin;
    const parameters = new ParameterStore(gpu, source);
    const graph = new Graph();
    const { logits, boxes } = model.trace(graph, graph.input('image', [batch, size, size, 3]));
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    const forward = await Program.build(gpu, kernels, graph, parameters, { variants, onProgress });

    const one = benchImage(size);
    const image = new Float32Array(batch * one.length);
    for (let i = 0; i < batch; i++) image.set(one, i * one.length);
    const data = { image, targets: benchTargets(batch, model.config.classes) };
    const train = async (): Promise<number> => {
      const start = performance.now();
      await step.step(data);
      await gpu.guard(gpu.device.queue.onSubmittedWorkDone());
      return performance.now() - start;
    };
    forward.write('image', image);
    await train();
    await forwardMilliseconds(gpu, forward);
    const objects = () => gpu.counters.buffers + gpu.counters.bindGroups + gpu.counters.pipelines;
    const before = { objects: objects(), readbacks: gpu.counters.readbacks };
    const steps: number[] = [];
    const forwards: number[] = [];
    for (let round = 0; round < rounds; round++) {
      progress({ label: `${name}: steps and forwards in turn`, fraction: round / rounds });
      steps.push(await train());
      forwards.push(await forwardMilliseconds(gpu, forward));
    }
    const created = objects() - before.objects;
    const readbacks = (gpu.counters.readbacks - before.readbacks) / rounds;
    const profile = await profileSteps(gpu, step.program.steps, {
      rounds: Math.min(rounds, 3),
      once: ({ kernel }) => counting.has(kernel),
      onProgress: (done, total) => progress({ label: `${name}: timing its kernels`, fraction: done / total }),
    });
    const memoryOf = (what: Recompute) =>
      planStep(model, { ...config, recompute: what }, targetOf(gpu, variants), gpu.device.limits).memory;
    const report: TrainReport = {
      ...{ model: name, size, batch, steps, forwards, build, recompute },
      adapter: gpu.info,
      ratio: median(steps.map((time, i) => time / forwards[i])),
      statistics: step.program.statistics,
      dispatches: step.dispatches,
      forwardDispatches: forward.statistics.dispatches,
      memory: memoryOf(recompute),
      keptMemory: memoryOf('none'),
      created,
      readbacks,
      kernels: profile.kernels,
      slowest: [...profile.steps].sort((a, b) => b.microseconds - a.microseconds).slice(0, 12),
      plan: formatPlan(step.program.plan),
    };
    await step.finish();
    step.destroy();
    forward.destroy();
    parameters.destroy();
    return report;
  } finally {
    gpu.close();
  }
}
