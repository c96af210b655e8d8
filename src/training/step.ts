/**
 * A training step, recorded once and replayed: forward and matching costs, one read-back, the assignment in TypeScript, then
 * losses, gradients, clipping, AdamW and the moving average. Nothing is created in a step. What a step has given (losses, gradient
 * norm, whether all was finite) travels with the next step's read-back.
 */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { type ParameterSource, ParameterStore } from '../graph/parameters.ts';
import { type OutputLocation, Program, type ProgramOptions } from '../graph/program.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
import type { KernelTensors } from '../nn/training.ts';
import { ArenaLayout, type ArenaTensor } from './arena.ts';
import { CriterionHost } from './criterion-host.ts';
import {
  attentionGroups,
  type DenoisingDraws,
  type DenoisingLayout,
  denoisingLayout,
  denoisingQueries,
  drawsFrom,
  seededDraws,
} from './denoising.ts';
import { checkCosts, checkImages, nonFiniteTensor } from './failures.ts';
import { type GroupRule, type ParameterGroup, parameterGroups } from './groups.ts';
import { Optimizer } from './optimizer.ts';
import { floats, ReadBack } from './read-back.ts';
import { averageDecay, rateFactor, type ScheduleOptions } from './schedule.ts';
import { checkArrays, readArrays, type TrainingState, writeArrays } from './state.ts';
import { mostTargets, type Targets } from './targets.ts';
import { LOSSES, type StepShape, type TracedStep, traceStep } from './trace.ts';

export interface TrainingConfig extends StepShape {
  /** Learning rate and weight decay; 1e-4 each when left out. */
  rate?: number;
  decay?: number;
  /** Parameter groups with rates and decays of their own. */
  rules?: readonly GroupRule[];
  betas?: readonly [number, number];
  eps?: number;
  /** The largest norm of the whole gradient, 0: not clipped; 0.1 when left out. */
  maxNorm?: number;
  /** The moving average; false keeps none. */
  average?: { decay?: number; warmups?: number } | false;
  schedule?: ScheduleOptions;
  /** Allows steps of several batches, whose gradients are summed. */
  accumulation?: boolean;
  /** Of the denoising queries' noise; 0 when left out. */
  seed?: number;
  program?: Pick<ProgramOptions, 'fuse' | 'reuseMemory' | 'variants' | 'onProgress'>;
}

export interface TrainingBatch {
  /** RGB in 0..1, [batch, height, width, 3] */
  readonly image: Float32Array;
  /** One an image. */
  readonly targets: readonly Targets[];
}

export interface StepOptions {
  /** For the schedule's milestones; 0 when left out. */
  epoch?: number;
  /** Recorded noise instead of the seed's; images are numbered through all batches of the step. */
  draws?: DenoisingDraws;
}

export interface StepReport {
  /** From 0. */
  readonly step: number;
  readonly loss: number;
  /** Weighted, under their official names. */
  readonly terms: Readonly<Record<string, number>>;
  /** Norm of the gradient before clipping. */
  readonly norm: number;
  /** Learning rate of each group. */
  readonly rates: readonly number[];
}

/** A part of a step that the GPU works on, or has: what to make of its results. */
interface Pending {
  readonly report: { step: number; loss: number; terms: Record<string, number>; rates: number[] };
  readonly layout: DenoisingLayout;
  readonly last: boolean;
}

export class TrainingStep {
  readonly program: Program;
  readonly optimizer: Optimizer;
  readonly groups: readonly ParameterGroup[];
  /** What is worth knowing about the groups' patterns. */
  readonly notes: readonly string[];
  readonly #gpu: Gpu;
  readonly #config: TrainingConfig;
  readonly #traced: TracedStep;
  readonly #host: CriterionHost;
  readonly #store: ParameterStore;
  readonly #readBack: ReadBack;
  readonly #costs: OutputLocation;
  #steps = 0;
  #updates = 0;
  #pending: Pending | null = null;
  /** Of the last step that is known to be good, when `step` has not given it yet. */
  #report: StepReport | null = null;
  #busy = false;

  private constructor(
    gpu: Gpu,
    config: TrainingConfig,
    traced: TracedStep,
    parts: { program: Program; optimizer: Optimizer; store: ParameterStore; groups: ParameterGroup[]; notes: string[] },
  ) {
    this.#gpu = gpu;
    this.#config = config;
    this.#traced = traced;
    this.program = parts.program;
    this.optimizer = parts.optimizer;
    this.#store = parts.store;
    this.groups = parts.groups;
    this.notes = parts.notes;
    const sets = traced.sets.map(({ suffix, boxes, denoising = false }) => ({ suffix, queries: boxes.rows, denoising }));
    this.#host = new CriterionHost(sets, config.batch, traced.criterion);
    this.#costs = this.program.locate('costs');
    const status = { buffer: this.optimizer.statusBuffer, offset: 0, bytes: 16 };
    this.#readBack = new ReadBack(gpu, [this.#costs, this.program.locate(LOSSES), status]);
  }

  /**
   * Traces, plans and compiles the step of a model, with its parameters from a checkpoint.
   * @throws BackdropError E_INPUT for a pattern that matches nothing, E_SHAPE, E_GPU_LIMIT, E_GPU_OOM, and the checkpoint's errors
   */
  static async build(
    gpu: Gpu,
    kernels: KernelCache,
    model: DetectionTransformer,
    source: ParameterSource,
    config: TrainingConfig,
  ): Promise<TrainingStep> {
    const traced = traceStep(model, config);
    const { graph, trained, statistics } = traced;
    const { groups, notes } = parameterGroups(
      trained.map(({ name }) => name),
      { rate: config.rate ?? 1e-4, decay: config.decay ?? 1e-4, rules: config.rules ?? [] },
    );
    const groupOf = new Map(groups.flatMap(({ names }, group) => names.map((name): [string, number] => [name, group])));
    const arenaTensors = (list: readonly KernelTensors[], kind: ArenaTensor['kind']): ArenaTensor[] =>
      list.flatMap(({ name, kernelKeys, tensors }) =>
        kernelKeys.map((key, i) => ({ name: key, size: tensors[i].size, kind, group: groupOf.get(name) ?? 0 })),
      );
    const layout = new ArenaLayout(
      [
        { name: LOSSES, size: graph.results.get(LOSSES)!.size, kind: 'watched' },
        ...arenaTensors(trained, 'trained'),
        ...arenaTensors(statistics, 'statistics'),
      ],
      gpu.device.limits.maxStorageBufferBindingSize,
    );
    const { betas = [0.9, 0.999], eps = 1e-8, maxNorm = 0.1, accumulation = false } = config;
    const optimizer = await Optimizer.create(gpu, kernels, layout, {
      ...{ betas, eps, maxNorm, accumulation },
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
    const program = await Program.build(gpu, kernels, graph, store, { ...config.program, results, readBack: false });
    return new TrainingStep(gpu, config, traced, { program, optimizer, store, groups, notes });
  }

  /** Launches of a step, the optimizer's included. */
  get dispatches(): number {
    return this.program.steps.length + this.optimizer.dispatches;
  }

  /**
   * Takes a step on one batch, or on several whose gradients are summed, and gives the report of the step before (null for the
   * first one, and after `finish`). Calls must not overlap.
   * @throws BackdropError E_INPUT for targets or images that cannot be, before anything is done; E_TRAIN_NAN when a number was not finite, in
   *   the outputs of this step, which is then not taken, or in losses or gradients of the step before, which has changed nothing
   */
  async step(batches: TrainingBatch | readonly TrainingBatch[], options: StepOptions = {}): Promise<StepReport | null> {
    return this.#alone(() => this.#step('image' in batches ? [batches] : batches, options));
  }

  /** The last step's report, when `step` has not given it yet. @throws BackdropError E_TRAIN_NAN as `step` */
  async finish(): Promise<StepReport | null> {
    return this.#alone(async () => {
      if (!this.#pending) return this.#takeReport();
      const [, losses, status] = await this.#readBack.submit(this.#gpu.device.createCommandEncoder());
      this.#settle(losses, status);
      return this.#takeReport();
    });
  }

  async #step(batches: readonly TrainingBatch[], { epoch = 0, draws }: StepOptions): Promise<StepReport | null> {
    const { batch, seed = 0, accumulation = false, schedule = {} } = this.#config;
    if (batches.length === 0 || (batches.length > 1 && !accumulation)) {
      throw new BackdropError('E_INPUT', `A step of ${batches.length} batches was asked for.`, {
        hint: 'Build the training step with `accumulation` to sum the gradients of several batches.',
      });
    }
    const { denoising } = this.#traced;
    const all = batches.flatMap(({ targets }) => targets);
    const layout = denoisingLayout(denoising, mostTargets(all));
    const prepared = batches.map(({ targets }) => this.#host.targets(targets, layout, all));
    checkImages(batches);
    const number = this.#steps;
    const noise = draws ?? seededDraws(seed, number);
    const rates = this.groups.map(({ rate }) => rate * rateFactor(number, epoch, schedule));
    const report: Pending['report'] = { step: number, loss: 0, terms: {}, rates };
    for (const [part, { image, targets }] of batches.entries()) {
      this.program.write('image', image);
      this.program.write('targets.table', prepared[part].table);
      this.program.write('targets.labels', prepared[part].labels);
      this.#writeDenoising(targets, layout, drawsFrom(noise, part * batch));
      const encoder = this.#gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      this.program.encode(pass, 0, this.#costs.ready);
      pass.end();
      const [words, losses, status] = await this.#readBack.submit(encoder);
      this.#settle(losses, status);
      if (part === 0) {
        this.#steps += 1;
        this.#configure(rates);
      }
      const costs = floats(words);
      checkCosts(this.#traced, number, costs);
      this.program.write('match', this.#host.match(costs, targets, layout));
      const last = part === batches.length - 1;
      this.#update(part === 0, last);
      this.#pending = { report, layout, last };
    }
    return this.#takeReport();
  }

  #writeDenoising(targets: readonly Targets[], layout: DenoisingLayout, draws: DenoisingDraws): void {
    const { denoising, queries } = this.#traced;
    if (denoising.denoising === 0) return;
    const { classes, boxes } = denoisingQueries(targets, denoising, draws, layout);
    this.program.write('denoising.classes', classes);
    this.program.write('denoising.boxes', boxes);
    this.program.write('denoising.groups', attentionGroups(denoising, layout, queries));
  }

  #configure(rates: readonly number[]): void {
    const step = this.#updates + 1;
    const groups = this.groups.map(({ decay }, i) => ({ rate: rates[i], decay }));
    const { average } = this.#config;
    this.optimizer.configure({ step, groups, ...(average === false ? {} : { decay: averageDecay(step, average) }) });
  }

  /** Losses, gradients, and with the step's last part the change of the parameters. */
  #update(first: boolean, last: boolean): void {
    const { device, counters } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.program.encode(pass, this.#costs.ready);
    if (this.#config.accumulation) this.optimizer.accumulate(pass, first);
    if (last) this.optimizer.encode(pass);
    pass.end();
    counters.submits += 1;
    device.queue.submit([encoder.finish()]);
  }

  /** Takes what was read about the part before. */
  #settle(losses: Uint32Array<ArrayBuffer>, status: Uint32Array): void {
    const pending = this.#pending;
    this.#pending = null;
    if (!pending) return;
    const { report, layout, last } = pending;
    const { loss, terms } = this.#host.losses(floats(losses), layout);
    report.loss += loss;
    for (const [name, value] of Object.entries(terms)) report.terms[name] = (report.terms[name] ?? 0) + value;
    if (!last) return;
    const { norm, nonFinite } = this.optimizer.status(status);
    if (nonFinite) throw nonFiniteTensor(this.#traced, report.step, nonFinite);
    this.#updates += 1;
    this.#report = { ...report, norm };
  }

  #takeReport(): StepReport | null {
    const report = this.#report;
    this.#report = null;
    return report;
  }

  /** All that a resumed run needs, once the last step is known to be good. @throws BackdropError E_INPUT before `finish` */
  async save(): Promise<TrainingState> {
    return this.#alone(async () => {
      if (this.#pending)
        throw new BackdropError('E_INPUT', 'The last step has not been looked at.', { hint: 'Call finish() before save().' });
      const { trained, statistics } = this.#traced;
      const { parameters, firstMoments, secondMoments, average } = this.optimizer;
      return {
        steps: this.#steps,
        updates: this.#updates,
        parameters: await readArrays(parameters, [...trained, ...statistics]),
        firstMoments: await readArrays(firstMoments, trained),
        secondMoments: await readArrays(secondMoments, trained),
        average: average && (await readArrays(average, [...trained, ...statistics])),
      };
    });
  }

  /** Continues where `save` was called. @throws BackdropError E_CKPT_ARCH, E_CKPT_SHAPE when the state is another model's */
  load(state: TrainingState): void {
    const { trained, statistics } = this.#traced;
    const { parameters, firstMoments, secondMoments, average } = this.optimizer;
    const both = [...trained, ...statistics];
    const lists = [
      { what: 'value', arena: parameters, arrays: state.parameters, tensors: both },
      { what: 'first moment', arena: firstMoments, arrays: state.firstMoments, tensors: trained },
      { what: 'second moment', arena: secondMoments, arrays: state.secondMoments, tensors: trained },
      ...(average ? [{ what: 'average', arena: average, arrays: state.average ?? {}, tensors: both }] : []),
    ];
    for (const { what, arrays, tensors } of lists) checkArrays(what, arrays, tensors);
    for (const { arena, arrays, tensors } of lists) writeArrays(arena, arrays, tensors);
    this.#steps = state.steps;
    this.#updates = state.updates;
    this.#pending = null;
    this.#report = null;
  }

  async #alone<T>(body: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new BackdropError('E_INPUT', 'A training step is running.', { hint: 'Await each call before the next.' });
    this.#busy = true;
    try {
      return await body();
    } finally {
      this.#busy = false;
    }
  }

  destroy(): void {
    this.program.destroy();
    this.optimizer.destroy();
    this.#store.destroy();
    this.#readBack.destroy();
  }
}
