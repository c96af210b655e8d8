/**
 * What every training step is made of: a graph with its gradients as a Program, parameters and optimizer in arenas, the schedule,
 * and the state that a run is continued from. `TrainingStep` and `GraphStep` differ in how they go through it.
 */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import type { FuseOptions } from '../graph/fuse.ts';
import { type ParameterLocation, type ParameterSource, ParameterStore } from '../graph/parameters.ts';
import { Program, type ProgramOptions } from '../graph/program.ts';
import { DEFAULT_RECOMPUTE, type Recompute, recompute } from '../graph/recompute.ts';
import type { KernelTensors } from '../nn/training.ts';
import { type Arena, ArenaLayout, type ArenaTensor } from './arena.ts';
import { type GroupRule, type ParameterGroup, parameterGroups } from './groups.ts';
import { Optimizer } from './optimizer.ts';
import { averageDecay, rateFactor, type ScheduleOptions } from './schedule.ts';
import { checkArrays, type NamedArrays, readArrays, type TrainingState, writeArrays } from './state.ts';
import { LOSSES, type TrainedGraph } from './trained-graph.ts';

export interface OptimizerConfig {
  /** Learning rate and weight decay; 1e-4 each when left out. */
  rate?: number;
  decay?: number;
  /** Parameter groups with rates and decays of their own. */
  rules?: readonly GroupRule[];
  /** Gradient descent with momentum in AdamW's place. */
  sgd?: { momentum: number };
  /** [0.9, 0.999] when left out. */
  betas?: readonly [number, number];
  /** 1e-8 when left out. */
  eps?: number;
  /** The largest norm of the whole gradient; 0: not clipped. */
  maxNorm?: number;
  /** The moving average; false keeps none. */
  average?: { decay?: number; warmups?: number } | false;
  schedule?: ScheduleOptions;
  /** Allows steps of several batches, whose gradients are summed. */
  accumulation?: boolean;
  /** What the backward pass computes a second time instead of keeping it; `DEFAULT_RECOMPUTE` when left out. The bits of a step are the same. */
  recompute?: Recompute;
  program?: Pick<ProgramOptions, 'fuse' | 'reuseMemory' | 'variants' | 'onProgress'>;
}

/** Fusion with recomputation behind it. */
export function fuseOptions({ program, recompute: what = DEFAULT_RECOMPUTE }: OptimizerConfig): FuseOptions {
  return { ...program?.fuse, rewrite: (graph, nodes) => recompute(graph, nodes, what) };
}

/**
 * Where everything that the optimizer goes over lies. @param maxBytes the device's binding limit
 * @throws BackdropError E_GPU_LIMIT
 */
export function arenaLayout(
  { graph, trained, statistics }: TrainedGraph,
  groups: readonly Pick<ParameterGroup, 'names'>[],
  maxBytes: number,
): ArenaLayout {
  const groupOf = new Map(groups.flatMap(({ names }, group) => names.map((name): [string, number] => [name, group])));
  const arenaTensors = (list: readonly KernelTensors[], kind: ArenaTensor['kind']): ArenaTensor[] =>
    list.flatMap(({ name, kernelKeys, tensors }) =>
      kernelKeys.map((key, i) => ({ name: key, size: tensors[i].size, kind, group: groupOf.get(name) ?? 0 })),
    );
  const losses: ArenaTensor = { name: LOSSES, size: graph.results.get(LOSSES)!.size, kind: 'watched' };
  return new ArenaLayout([losses, ...arenaTensors(trained, 'trained'), ...arenaTensors(statistics, 'statistics')], maxBytes);
}

export class TrainedProgram {
  readonly program: Program;
  readonly optimizer: Optimizer;
  readonly groups: readonly ParameterGroup[];
  readonly notes: readonly string[];
  readonly #config: OptimizerConfig;
  readonly #traced: TrainedGraph;
  readonly #store: ParameterStore;
  /** Steps begun, and steps taken: those with a number that was not finite are not. */
  steps = 0;
  updates = 0;

  private constructor(
    config: OptimizerConfig,
    traced: TrainedGraph,
    parts: { program: Program; optimizer: Optimizer; store: ParameterStore; groups: ParameterGroup[]; notes: string[] },
  ) {
    this.#config = config;
    this.#traced = traced;
    this.program = parts.program;
    this.optimizer = parts.optimizer;
    this.#store = parts.store;
    this.groups = parts.groups;
    this.notes = parts.notes;
  }

  /** @throws BackdropError E_INPUT for a pattern that matches nothing, E_GPU_LIMIT, E_GPU_OOM, and the checkpoint's errors */
  static async build(
    gpu: Gpu,
    kernels: KernelCache,
    traced: TrainedGraph,
    source: ParameterSource,
    config: OptimizerConfig,
  ): Promise<TrainedProgram> {
    const { graph, trained, statistics } = traced;
    const { groups, notes } = parameterGroups(
      trained.map(({ name }) => name),
      { rate: config.rate ?? 1e-4, decay: config.decay ?? 1e-4, rules: config.rules ?? [] },
    );
    const layout = arenaLayout(traced, groups, gpu.device.limits.maxStorageBufferBindingSize);
    const { sgd = null, betas = [0.9, 0.999], eps = 1e-8, maxNorm = 0, accumulation = false } = config;
    const optimizer = await Optimizer.create(gpu, kernels, layout, {
      ...{ sgd, betas, eps, maxNorm, accumulation },
      average: config.average !== false,
    });
    const store = new ParameterStore(gpu, source);
    for (const tensor of [...trained, ...statistics]) {
      const parts = tensor.fromPyTorch(await source.readFloat32(tensor.name));
      tensor.kernelKeys.forEach((key, i) => {
        store.place(key, optimizer.parameters.location(key));
        optimizer.parameters.write(key, parts[i]);
        optimizer.average?.write(key, parts[i]);
      });
    }
    const results = (name: string) => optimizer.gradients.location(name);
    const options = { ...config.program, fuse: fuseOptions(config), results, readBack: false };
    const program = await Program.build(gpu, kernels, graph, store, options);
    return new TrainedProgram(config, traced, { program, optimizer, store, groups, notes });
  }

  /** Launches of a step, the optimizer's included. */
  get dispatches(): number {
    return this.program.steps.length + this.optimizer.dispatches;
  }

  /** Where the optimizer says what it has found in a step (`Optimizer.status`). */
  get status(): ParameterLocation {
    return { buffer: this.optimizer.statusBuffer, offset: 0, bytes: 16 };
  }

  /** @throws BackdropError E_INPUT for a step of several batches that was not planned for */
  checkBatches(count: number): void {
    if (count === 1 || (count > 1 && this.#config.accumulation)) return;
    throw new BackdropError('E_INPUT', `A step of ${count} batches was asked for.`, {
      hint: 'Build the training step with `accumulation` to sum the gradients of several batches.',
    });
  }

  /** Learning rate of each group in the step that comes next. */
  rates(epoch: number): number[] {
    return this.groups.map(({ rate }) => rate * rateFactor(this.steps, epoch, this.#config.schedule ?? {}));
  }

  /** Begins a step: what the optimizer is to do at its end. */
  begin(rates: readonly number[]): void {
    this.steps += 1;
    const step = this.updates + 1;
    const groups = this.groups.map(({ decay }, i) => ({ rate: rates[i], decay }));
    const { average } = this.#config;
    this.optimizer.configure({ step, groups, ...(average === false ? {} : { decay: averageDecay(step, average) }) });
  }

  /** Records the Program from a launch on, and behind it what the optimizer does with a step's part. */
  encode(pass: GPUComputePassEncoder, from: number, part: { first: boolean; last: boolean }): void {
    this.program.encode(pass, from);
    if (this.#config.accumulation) this.optimizer.accumulate(pass, part.first);
    if (part.last) this.optimizer.encode(pass);
  }

  /** The moving average, or the parameters where none is kept, and the statistics. */
  async weights(): Promise<NamedArrays> {
    const { trained, statistics } = this.#traced;
    return readArrays(this.optimizer.average ?? this.optimizer.parameters, [...trained, ...statistics]);
  }

  /** All that a resumed run needs. */
  async save(): Promise<TrainingState> {
    const { trained, statistics } = this.#traced;
    const { parameters, firstMoments, secondMoments, average } = this.optimizer;
    return {
      steps: this.steps,
      updates: this.updates,
      parameters: await readArrays(parameters, [...trained, ...statistics]),
      firstMoments: await readArrays(firstMoments, trained),
      secondMoments: await readArrays(secondMoments, trained),
      average: average && (await readArrays(average, [...trained, ...statistics])),
    };
  }

  /** Continues where `save` was called. @throws BackdropError E_CKPT_ARCH, E_CKPT_SHAPE when the state is another model's */
  load(state: TrainingState): void {
    const { trained, statistics } = this.#traced;
    const { parameters, firstMoments, secondMoments, average } = this.optimizer;
    const both = [...trained, ...statistics];
    const lists: { what: string; arena: Arena; arrays: NamedArrays; tensors: readonly KernelTensors[] }[] = [
      { what: 'value', arena: parameters, arrays: state.parameters, tensors: both },
      { what: 'first moment', arena: firstMoments, arrays: state.firstMoments, tensors: trained },
      { what: 'second moment', arena: secondMoments, arrays: state.secondMoments, tensors: trained },
      ...(average ? [{ what: 'average', arena: average, arrays: state.average ?? {}, tensors: both }] : []),
    ];
    for (const { what, arrays, tensors } of lists) checkArrays(what, arrays, tensors);
    for (const { arena, arrays, tensors } of lists) writeArrays(arena, arrays, tensors);
    this.steps = state.steps;
    this.updates = state.updates;
  }

  destroy(): void {
    this.program.destroy();
    this.optimizer.destroy();
    this.#store.destroy();
  }
}

/** Keeps calls from overlapping. */
export class OneAtATime {
  #busy = false;

  /** @throws BackdropError E_INPUT while another call is running */
  async run<T>(body: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new BackdropError('E_INPUT', 'A training step is running.', { hint: 'Await each call before the next.' });
    this.#busy = true;
    try {
      return await body();
    } finally {
      this.#busy = false;
    }
  }
}
