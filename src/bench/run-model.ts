/** Page side of `bench model`: whole forward passes. */
import { type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { type KernelTiming, median, profileSteps, type StepTiming } from '../gpu/profiler.ts';
import { Graph } from '../graph/graph.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { formatPlan } from '../graph/plan.ts';
import { Program, type ProgramStatistics } from '../graph/program.ts';
import { buildModel } from '../models/rt-detr.ts';
import type { BenchProgress } from './run-ops.ts';
import { benchImage, benchSource } from './weights.ts';

export interface ModelRequest {
  model: string;
  size: number;
  rounds: number;
  variants: Record<string, string>;
  /** False leaves the kernels' times out. */
  profile: boolean;
}

export interface ModelReport {
  model: string;
  size: number;
  adapter: Gpu['info'];
  statistics: ProgramStatistics;
  /** Milliseconds. */
  forward: { median: number; min: number; max: number };
  /** Building with nothing compiled, weights uploaded before; then the first forward. */
  cold: { build: number; first: number };
  /** Building again with everything compiled. */
  warmBuild: number;
  weights: number;
  /** Microseconds of JavaScript a dispatch: one replay's command recording, with encoder, pass and finish. */
  javascript: number;
  /** Buffers, bind groups and pipelines that the timed replays created. */
  created: number;
  kernels: KernelTiming[];
  slowest: StepTiming[];
  plan: string;
}

/** A model on its device, ready to be replayed. */
export interface LoadedModel {
  program: Program;
  weights: number;
  build: number;
  first: number;
  rebuild(): Promise<Program>;
  destroy(): void;
}

export interface LoadModelOptions {
  size: number;
  variants?: Record<string, string>;
  /** Makes the best class logit of every token an output, too: `scores` [1, tokens, 1]. */
  scores?: boolean;
  progress?: (value: BenchProgress) => void;
}

export async function loadModel(gpu: Gpu, kernels: KernelCache, name: string, options: LoadModelOptions): Promise<LoadedModel> {
  const { size, variants = {}, progress = () => {} } = options;
  const model = buildModel(name);
  const parameters = new ParameterStore(gpu, benchSource(model.parameters));
  const trace = (): Graph => {
    const graph = new Graph();
    const { logits, boxes, tokenScores } = model.trace(graph, graph.input('image', [1, size, size, 3]));
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    if (options.scores) graph.output('scores', tokenScores);
    return graph;
  };
  const begin = performance.now();
  const specs = [...trace().parameters.values()].map(({ parameter }) => parameter!);
  await parameters.load(specs, ({ loaded, total }) => progress({ label: `${name}: making weights`, fraction: loaded / total }));
  await gpu.guard(gpu.device.queue.onSubmittedWorkDone());
  const weights = performance.now() - begin;
  const rebuild = () =>
    Program.build(gpu, kernels, trace(), parameters, {
      variants,
      onProgress: ({ compiled, total }) => progress({ label: `${name}: compiling`, fraction: compiled / total }),
    });
  const start = performance.now();
  const program = await rebuild();
  const built = performance.now();
  program.write('image', benchImage(size));
  await forwardMilliseconds(gpu, program);
  return {
    program,
    weights,
    build: built - start,
    first: performance.now() - built,
    rebuild,
    destroy() {
      program.destroy();
      parameters.destroy();
    },
  };
}

/** One replay, from submission until the queue has drained. */
export async function forwardMilliseconds(gpu: Gpu, program: Program): Promise<number> {
  const start = performance.now();
  program.submit();
  await gpu.guard(gpu.device.queue.onSubmittedWorkDone());
  return performance.now() - start;
}

/** Microseconds of JavaScript a dispatch. Recorded only: the commands are dropped, so that the adapter does not interfere. */
export function javascriptPerDispatch(gpu: Gpu, program: Program, replays = 100): number {
  const record = (times: number) => {
    const start = performance.now();
    for (let i = 0; i < times; i++) {
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      program.encode(pass);
      pass.end();
      encoder.finish();
    }
    return ((performance.now() - start) * 1000) / times / program.steps.length;
  };
  // The first ones run before the compiler has optimised the loop.
  record(20);
  return median([record(replays), record(replays), record(replays)]);
}

export async function benchModel(request: ModelRequest, progress: (value: BenchProgress) => void): Promise<ModelReport> {
  const gpu = await openDevice();
  const kernels = new KernelCache(gpu);
  const { model, size, rounds } = request;
  try {
    const loaded = await loadModel(gpu, kernels, model, { size, variants: request.variants, progress });
    const { program } = loaded;
    await forwardMilliseconds(gpu, program);
    const objects = () => gpu.counters.buffers + gpu.counters.bindGroups + gpu.counters.pipelines;
    const before = objects();
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      progress({ label: `${model}: forward`, fraction: round / rounds });
      times.push(await forwardMilliseconds(gpu, program));
    }
    const created = objects() - before;
    const javascript = javascriptPerDispatch(gpu, program);
    const profile = request.profile
      ? await profileSteps(gpu, program.steps, {
          rounds: Math.min(rounds, 3),
          onProgress: (done, total) => progress({ label: `${model}: timing its kernels`, fraction: done / total }),
        })
      : null;
    const again = performance.now();
    (await loaded.rebuild()).destroy();
    const report: ModelReport = {
      model,
      size,
      adapter: gpu.info,
      statistics: program.statistics,
      forward: { median: median(times), min: Math.min(...times), max: Math.max(...times) },
      cold: { build: loaded.build, first: loaded.first },
      warmBuild: performance.now() - again,
      weights: loaded.weights,
      javascript,
      created,
      kernels: profile?.kernels ?? [],
      slowest: [...(profile?.steps ?? [])].sort((a, b) => b.microseconds - a.microseconds).slice(0, 12),
      plan: formatPlan(program.plan),
    };
    loaded.destroy();
    return report;
  } finally {
    gpu.close();
  }
}

export interface CostRequest {
  /** The model with the addition, and the one without. */
  model: string;
  base: string;
  size: number;
  rounds: number;
  variants: Record<string, string>;
}

export interface CostReport {
  model: string;
  base: string;
  /** Milliseconds, one a round. */
  modelTimes: number[];
  baseTimes: number[];
  /** Median of the rounds' ratios, less one. */
  cost: number;
}

/** Two models in turn on one device: what one costs beyond the other, whatever else the machine does. */
export async function benchCost(request: CostRequest, progress: (value: BenchProgress) => void): Promise<CostReport> {
  const { model, base, size, rounds, variants } = request;
  const gpu = await openDevice();
  const kernels = new KernelCache(gpu);
  try {
    const [a, b] = [
      await loadModel(gpu, kernels, model, { size, variants, progress }),
      await loadModel(gpu, kernels, base, { size, variants, progress }),
    ];
    const modelTimes: number[] = [];
    const baseTimes: number[] = [];
    for (let round = 0; round < rounds; round++) {
      progress({ label: `${model} and ${base} in turn`, fraction: round / rounds });
      const time = (loaded: LoadedModel) => forwardMilliseconds(gpu, loaded.program);
      // Who goes first changes: a drift of the machine's speed then favours nobody.
      if (round % 2 === 0) modelTimes.push(await time(a));
      baseTimes.push(await time(b));
      if (round % 2 === 1) modelTimes.push(await time(a));
    }
    a.destroy();
    b.destroy();
    return { model, base, modelTimes, baseTimes, cost: median(modelTimes.map((time, i) => time / baseTimes[i])) - 1 };
  } finally {
    gpu.close();
  }
}
