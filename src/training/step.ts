/**
 * A training step, recorded once and replayed: forward and matching costs, one read-back, the assignment in TypeScript, then
 * losses, gradients, clipping, AdamW and the moving average. Nothing is created in a step. What a step has given (losses, gradient
 * norm, whether all was finite) travels with the next step's read-back.
 *
 * A number that is not finite is found in the step it appears in, by the GPU, which then leaves parameters, moments, average and
 * statistics as they were. The error comes from the same call where outputs or images show it, else from the next call of `step`
 * (which takes no step then) or `finish`; who wants it at once calls `finish` behind every `step`, for a second read-back.
 */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { OutputLocation, Program } from '../graph/program.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
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
import { checkCosts, checkImages, criterionLoss, nonFiniteTensor } from './failures.ts';
import type { ParameterGroup } from './groups.ts';
import type { Optimizer } from './optimizer.ts';
import { floats, ReadBack } from './read-back.ts';
import type { NamedArrays, TrainingState } from './state.ts';
import { mostTargets, type Targets } from './targets.ts';
import { type StepShape, type TracedStep, traceStep } from './trace.ts';
import { LOSSES } from './trained-graph.ts';
import { OneAtATime, type OptimizerConfig, TrainedProgram } from './trained-program.ts';

/** RT-DETR's own where left out: the gradient's norm is clipped at 0.1. */
export interface TrainingConfig extends StepShape, OptimizerConfig {
  /** Of the denoising queries' noise; 0 when left out. */
  seed?: number;
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
  readonly #gpu: Gpu;
  readonly #config: TrainingConfig;
  readonly #traced: TracedStep;
  readonly #trained: TrainedProgram;
  readonly #host: CriterionHost;
  readonly #readBack: ReadBack;
  readonly #costs: OutputLocation;
  readonly #alone = new OneAtATime();
  #pending: Pending | null = null;
  /** Of the last step that is known to be good, when `step` has not given it yet. */
  #report: StepReport | null = null;

  private constructor(gpu: Gpu, config: TrainingConfig, traced: TracedStep, trained: TrainedProgram) {
    this.#gpu = gpu;
    this.#config = config;
    this.#traced = traced;
    this.#trained = trained;
    const sets = traced.sets.map(({ suffix, boxes, denoising = false }) => ({ suffix, queries: boxes.rows, denoising }));
    this.#host = new CriterionHost(sets, config.batch, traced.criterion);
    const { program, status } = trained;
    this.#costs = program.locate('costs');
    this.#readBack = new ReadBack(gpu, [this.#costs, program.locate(LOSSES), status]);
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
    return new TrainingStep(gpu, config, traced, await TrainedProgram.build(gpu, kernels, traced, source, { maxNorm: 0.1, ...config }));
  }

  get program(): Program {
    return this.#trained.program;
  }

  get optimizer(): Optimizer {
    return this.#trained.optimizer;
  }

  get groups(): readonly ParameterGroup[] {
    return this.#trained.groups;
  }

  /** What is worth knowing about the groups' patterns. */
  get notes(): readonly string[] {
    return this.#trained.notes;
  }

  /** Launches of a step, the optimizer's included. */
  get dispatches(): number {
    return this.#trained.dispatches;
  }

  /**
   * Takes a step on one batch, or on several whose gradients are summed, and gives the report of the step before (null for the
   * first one, and after `finish`). Calls must not overlap.
   * @throws BackdropError E_INPUT for targets or images that cannot be, before anything is done; E_TRAIN_NAN when a number was not finite, in
   *   the outputs of this step, which is then not taken, or in losses or gradients of the step before, which has changed nothing
   */
  async step(batches: TrainingBatch | readonly TrainingBatch[], options: StepOptions = {}): Promise<StepReport | null> {
    return this.#alone.run(() => this.#step('image' in batches ? [batches] : batches, options));
  }

  /** The last step's report, when `step` has not given it yet. @throws BackdropError E_TRAIN_NAN as `step` */
  async finish(): Promise<StepReport | null> {
    return this.#alone.run(async () => {
      if (!this.#pending) return this.#takeReport();
      const [, losses, status] = await this.#readBack.submit(this.#gpu.device.createCommandEncoder());
      this.#settle(losses, status);
      return this.#takeReport();
    });
  }

  async #step(batches: readonly TrainingBatch[], { epoch = 0, draws }: StepOptions): Promise<StepReport | null> {
    const { batch, seed = 0 } = this.#config;
    this.#trained.checkBatches(batches.length);
    const { denoising } = this.#traced;
    const all = batches.flatMap(({ targets }) => targets);
    const layout = denoisingLayout(denoising, mostTargets(all));
    const prepared = batches.map(({ targets }) => this.#host.targets(targets, layout, all));
    checkImages(batches);
    const number = this.#trained.steps;
    const noise = draws ?? seededDraws(seed, number);
    const rates = this.#trained.rates(epoch);
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
      if (part === 0) this.#trained.begin(rates);
      const costs = floats(words);
      await checkCosts(this.#traced, number, costs, this.optimizer.parameters);
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

  /** Losses, gradients, and with the step's last part the change of the parameters. */
  #update(first: boolean, last: boolean): void {
    const { device, counters } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.#trained.encode(pass, this.#costs.ready, { first, last });
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
    if (nonFinite) throw nonFiniteTensor(this.#traced, report.step, nonFinite, (index) => criterionLoss(this.#traced, index));
    this.#trained.updates += 1;
    this.#report = { ...report, norm };
  }

  #takeReport(): StepReport | null {
    const report = this.#report;
    this.#report = null;
    return report;
  }

  /** All that a resumed run needs, once the last step is known to be good. @throws BackdropError E_INPUT before `finish` */
  async save(): Promise<TrainingState> {
    return this.#alone.run(async () => {
      this.#settled();
      return this.#trained.save();
    });
  }

  /**
   * What to detect with: the moving average, or the parameters where none is kept, and the statistics, by PyTorch's names. What is not
   * trained is not among them. @throws BackdropError E_INPUT before `finish`
   */
  async weights(): Promise<NamedArrays> {
    return this.#alone.run(async () => {
      this.#settled();
      return this.#trained.weights();
    });
  }

  #settled(): void {
    if (!this.#pending) return;
    throw new BackdropError('E_INPUT', 'The last step has not been looked at.', { hint: 'Call finish() first.' });
  }

  /** Steps begun: the number of the next one. */
  get steps(): number {
    return this.#trained.steps;
  }

  /** Steps taken. */
  get updates(): number {
    return this.#trained.updates;
  }

  /** Continues where `save` was called. @throws BackdropError E_CKPT_ARCH, E_CKPT_SHAPE when the state is another model's */
  load(state: TrainingState): void {
    this.#trained.load(state);
    this.#pending = null;
    this.#report = null;
  }

  destroy(): void {
    this.#trained.destroy();
    this.#readBack.destroy();
  }
}
