/**
 * The training loop: epochs of steps, validation of the averaged weights, best and last, an end. It knows neither Node nor files:
 * batches come from a source, everything it keeps goes to a store, and what happens is told in events.
 */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { BackdropError } from '../errors.ts';
import { type CocoEvaluation, evaluateDetections } from '../evaluation/coco.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { ModelConfig } from '../models/configs.ts';
import { buildModel, type DetectionTransformer } from '../models/rt-detr.ts';
import type { Batch, BatchSource } from './batches.ts';
import { checkIdentity, newProgress, type RunProgress, type RunStore, type SavedRun, stateFile, weightsFile } from './run-files.ts';
import { type StepReport, type TrainingConfig, TrainingStep } from './step.ts';
import { type DetectedBox, detectAll } from './validator.ts';

export interface TrainerConfig extends Omit<TrainingConfig, 'accumulation'> {
  epochs: number;
  /** Batches whose gradients make one step. */
  accumulate: number;
  size: readonly [number, number];
  /** Epochs between validations; the last epoch is always validated. */
  validateEvery: number;
  /** Validations without a better AP after which training ends; 0: never. */
  patience: number;
  /** Seconds after which a long epoch is saved in between. */
  saveEvery: number;
  /** Seconds of this session after which training stops as if it were told to; 0: never. */
  maxTime: number;
}

export interface TrainerOptions {
  gpu: Gpu;
  kernels: KernelCache;
  model: ModelConfig;
  /** Starting values of all entries of the model's state dictionary; not read when resuming. */
  weights: ParameterSource;
  categories: readonly Category[];
  /** Batches in the shape of the configuration, without a smaller last one, and how many an epoch has. */
  train: BatchSource;
  batchesPerEpoch: number;
  validation: { source: BatchSource; images: readonly ImageRecord[] } | null;
  config: TrainerConfig;
  store: RunStore;
  /** What a resumed run must have in common with this one, such as a hash of its data set; stored with it. */
  identity?: Readonly<Record<string, string>>;
  resume?: SavedRun | null;
  onEvent?: (event: TrainerEvent) => void;
  /** Asked after every step: true ends training after it is saved. */
  shouldStop?: () => boolean;
}

export type TrainerEvent =
  | { type: 'compiling'; compiled: number; total: number }
  | {
      type: 'ready';
      parameters: number;
      trainable: number;
      groups: { pattern: string | null; rate: number; decay: number; tensors: number }[];
      notes: readonly string[];
      dispatches: number;
      /** Of buffers on the device. */
      bytes: number;
      stepsPerEpoch: number;
      /** Where it begins. */
      epoch: number;
      batch: number;
      steps: number;
    }
  | {
      type: 'step';
      epoch: number;
      step: number;
      /** Batches of the epoch that are done. */
      batch: number;
      batches: number;
      loss: number;
      terms: Readonly<Record<string, number>>;
      norm: number;
      rates: readonly number[];
      /** Since the step before, data included; and of them, those in which the step waited for data. */
      seconds: number;
      waited: number;
      images: number;
      /** What there is on the device by now. */
      buffers: number;
      bytes: number;
    }
  | {
      type: 'epoch';
      epoch: number;
      step: number;
      steps: number;
      loss: number;
      terms: Record<string, number>;
      rates: readonly number[];
      seconds: number;
    }
  | { type: 'validating'; images: number; total: number }
  | { type: 'validation'; epoch: number; evaluation: CocoEvaluation; detections: DetectedBox[]; best: boolean; progress: RunProgress }
  | { type: 'saved'; epoch: number; step: number; batch: number }
  | { type: 'end'; reason: EndReason; epoch: number; step: number };

/** finished: all epochs; patience: nothing better came; stopped: told to; time: `maxTime` is over. */
export type EndReason = 'finished' | 'patience' | 'stopped' | 'time';

export const LAST_WEIGHTS = 'last.safetensors';
export const LAST_STATE = 'last.train.safetensors';
export const BEST_WEIGHTS = 'best.safetensors';

export class Trainer {
  readonly #options: TrainerOptions;
  readonly #model: DetectionTransformer;
  readonly #step: TrainingStep;
  /** Of entries that are not trained. */
  readonly #source: ParameterSource;
  readonly progress: RunProgress;
  readonly #started = performance.now();
  /** Time of earlier sessions. */
  readonly #before: number;
  #saved = performance.now();
  /** Nothing has been trained since the last save. */
  #isSaved = false;
  /** When the step before was over; saving and validating do not count. */
  #mark = 0;
  #rates: readonly number[] = [];
  /** Of the step whose report is not there yet. */
  #told: Pick<Extract<TrainerEvent, { type: 'step' }>, 'epoch' | 'batch' | 'batches' | 'waited' | 'images'> | null = null;

  private constructor(options: TrainerOptions, model: DetectionTransformer, step: TrainingStep, source: ParameterSource) {
    this.#options = options;
    this.#model = model;
    this.#step = step;
    this.#source = source;
    this.progress = options.resume ? structuredClone(options.resume.progress) : newProgress();
    this.#before = this.progress.seconds;
  }

  /**
   * Records and compiles the step, and loads what is resumed.
   * @throws BackdropError E_MODEL_CONFIG, E_INPUT, E_SHAPE, E_GPU_*, E_CKPT_*, E_RUN_MISMATCH when the saved run has another model or data set
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const { gpu, kernels, config, resume, onEvent } = options;
    if (options.batchesPerEpoch < 1) {
      throw new BackdropError('E_INPUT', 'The data set has not one batch to train on.', { hint: 'Use a smaller batch.' });
    }
    const model = buildModel(options.model);
    if (resume) {
      checkModel(resume.model, model.config);
      if (options.identity) checkIdentity(resume.identity, options.identity);
    }
    const source = resume?.weights ?? options.weights;
    const onProgress = ({ compiled, total }: { compiled: number; total: number }) => onEvent?.({ type: 'compiling', compiled, total });
    const step = await TrainingStep.build(gpu, kernels, model, source, {
      ...config,
      accumulation: config.accumulate > 1,
      program: { ...config.program, onProgress },
    });
    try {
      if (resume) step.load(resume.state);
      return new Trainer(options, model, step, source);
    } catch (error) {
      step.destroy();
      throw error;
    }
  }

  get #stepsPerEpoch(): number {
    return Math.ceil(this.#options.batchesPerEpoch / this.#options.config.accumulate);
  }

  /**
   * Trains until the last epoch, or until it is stopped; then everything is saved. Frees what was made.
   * @throws BackdropError E_TRAIN_NAN, E_GPU_*, E_FILE_WRITE, and what the source of batches throws
   */
  async run(): Promise<EndReason> {
    try {
      this.#ready();
      const reason = await this.#run();
      this.#emit({ type: 'end', reason, epoch: this.progress.epoch, step: this.#step.steps });
      return reason;
    } finally {
      this.#step.destroy();
    }
  }

  async #run(): Promise<EndReason> {
    const { config, batchesPerEpoch, resume, store } = this.#options;
    const { progress } = this;
    // Whoever saved the state may have been killed before the weights were written.
    if (resume) await store.write(LAST_WEIGHTS, await this.#weights(resume.state.average ?? resume.state.parameters));
    while (progress.epoch < config.epochs) {
      if (config.patience > 0 && progress.sinceBest >= config.patience) return 'patience';
      const stopped = await this.#trainEpoch();
      if (stopped && progress.batch < batchesPerEpoch) {
        await this.#save();
        return stopped;
      }
      if (this.#validatesAfter(progress.epoch)) {
        if (this.#tooOld()) await this.#save();
        if (!(await this.#validate())) {
          await this.#save();
          return 'stopped';
        }
      }
      const validated = this.#validatesAfter(progress.epoch);
      this.#endEpoch();
      if (validated || this.#tooOld() || progress.epoch === config.epochs) await this.#save();
      const stop = progress.epoch < config.epochs && this.#stop();
      if (stop) {
        if (!this.#isSaved) await this.#save();
        return stop;
      }
    }
    return 'finished';
  }

  #validatesAfter(epoch: number): boolean {
    const { validation, config } = this.#options;
    return validation !== null && ((epoch + 1) % config.validateEvery === 0 || epoch + 1 === config.epochs);
  }

  /** What is left of the epoch. Tells why it ended early. */
  async #trainEpoch(): Promise<'stopped' | 'time' | null> {
    const { train, config, batchesPerEpoch } = this.#options;
    const { progress } = this;
    const batches = train.batches(progress.epoch, progress.batch)[Symbol.asyncIterator]();
    let stopped: 'stopped' | 'time' | null = null;
    this.#mark = performance.now();
    try {
      while (progress.batch < batchesPerEpoch && !stopped) {
        const begin = performance.now();
        const parts: Batch[] = [];
        while (parts.length < Math.min(config.accumulate, batchesPerEpoch - progress.batch)) {
          const { value, done } = await batches.next();
          if (done) throw new BackdropError('E_INPUT', `The epoch ended after ${progress.batch} of ${batchesPerEpoch} batches.`);
          parts.push(value);
        }
        const waited = performance.now() - begin;
        this.#report(await this.#step.step(parts, { epoch: progress.epoch }));
        this.#isSaved = false;
        progress.batch += parts.length;
        const images = parts.reduce((sum, { targets }) => sum + targets.length, 0);
        this.#told = { epoch: progress.epoch, batch: progress.batch, batches: batchesPerEpoch, waited: waited / 1000, images };
        stopped = this.#stop();
        if (!stopped && progress.batch < batchesPerEpoch && this.#tooOld()) await this.#save();
      }
    } finally {
      await batches.return?.();
    }
    this.#report(await this.#step.finish());
    return stopped;
  }

  #stop(): 'stopped' | 'time' | null {
    const { config, shouldStop } = this.#options;
    if (shouldStop?.()) return 'stopped';
    return config.maxTime > 0 && performance.now() - this.#started >= 1000 * config.maxTime ? 'time' : null;
  }

  #report(report: StepReport | null): void {
    const told = this.#told;
    if (!report || !told) return;
    this.#told = null;
    const { step, loss, terms, norm, rates } = report;
    const { sums } = this.progress;
    sums.steps += 1;
    sums.loss += loss;
    for (const [name, value] of Object.entries(terms)) sums.terms[name] = (sums.terms[name] ?? 0) + value;
    this.#rates = rates;
    const now = performance.now();
    const seconds = (now - this.#mark) / 1000;
    this.#mark = now;
    const { buffers, bufferBytes: bytes } = this.#options.gpu.counters;
    this.#emit({ type: 'step', step, loss, terms, norm, rates, seconds, ...told, buffers, bytes });
  }

  /** Detects with the averaged weights and evaluates; keeps them where they are the best. False when it was stopped. */
  async #validate(): Promise<boolean> {
    const { gpu, kernels, validation, config, categories, store, shouldStop } = this.#options;
    if (!validation) return true;
    const { progress } = this;
    const arrays = await this.#step.weights();
    const weights: ParameterSource = { readFloat32: async (name) => arrays[name] ?? this.#source.readFloat32(name) };
    const total = validation.images.length;
    const detections = await detectAll(validation.source, {
      ...{ gpu, kernels, model: this.#model, weights, batch: config.batch, size: config.size },
      ...(config.program?.variants ? { variants: config.program.variants } : {}),
      ...(shouldStop ? { shouldStop } : {}),
      onProgress: (images) => this.#emit({ type: 'validating', images, total }),
    });
    if (!detections) return false;
    const evaluation = evaluateDetections(validation.images, categories, detections);
    const [ap, ap50] = evaluation.stats;
    const { best } = progress;
    // Of equal ones the earlier epoch stays.
    const better = best === null || ap > best.ap || (ap === best.ap && ap50 > best.ap50);
    if (better) {
      progress.best = { epoch: progress.epoch, ap, ap50 };
      progress.sinceBest = 0;
      await store.write(BEST_WEIGHTS, await this.#weights(arrays));
    } else progress.sinceBest += 1;
    this.#emit({ type: 'validation', epoch: progress.epoch, evaluation, detections, best: better, progress: structuredClone(progress) });
    return true;
  }

  #endEpoch(): void {
    const { progress } = this;
    const { steps, loss, terms } = progress.sums;
    const mean = (sum: number) => (steps > 0 ? sum / steps : 0);
    const means = Object.fromEntries(Object.entries(terms).map(([name, sum]) => [name, mean(sum)]));
    progress.seconds = this.#seconds();
    const { epoch, seconds } = progress;
    this.#emit({ type: 'epoch', epoch, step: this.#step.steps, steps, loss: mean(loss), terms: means, rates: this.#rates, seconds });
    progress.epoch += 1;
    progress.batch = 0;
    progress.sums = newProgress().sums;
  }

  #seconds(): number {
    return this.#before + (performance.now() - this.#started) / 1000;
  }

  #tooOld(): boolean {
    return performance.now() - this.#saved >= 1000 * this.#options.config.saveEvery;
  }

  /** The state first: it is what nothing else can be made from. */
  async #save(): Promise<void> {
    const { store, identity = {}, model } = this.#options;
    const { progress } = this;
    this.#report(await this.#step.finish());
    const state = await this.#step.save();
    progress.seconds = this.#seconds();
    await store.write(LAST_STATE, await stateFile({ config: model, state, source: this.#source, progress, identity }));
    await store.write(LAST_WEIGHTS, await this.#weights(state.average ?? state.parameters));
    this.#isSaved = true;
    this.#saved = performance.now();
    this.#mark = this.#saved;
    this.#emit({ type: 'saved', epoch: progress.epoch, step: this.#step.steps, batch: progress.batch });
  }

  #weights(arrays: Parameters<typeof weightsFile>[0]['arrays']): Promise<Iterable<Uint8Array<ArrayBuffer>>> {
    const { model, categories } = this.#options;
    const classes = categories.map(({ name }) => name);
    return weightsFile({ config: model, arrays, source: this.#source, updates: this.#step.updates, classes });
  }

  #ready(): void {
    const { gpu } = this.#options;
    const { parameters } = this.#model;
    this.#emit({
      type: 'ready',
      parameters: parameters.parameterCount,
      trainable: this.#step.groups.reduce(
        (sum, { names }) => sum + names.reduce((n, name) => n + sizeOf(parameters.get(name)!.shape), 0),
        0,
      ),
      groups: this.#step.groups.map(({ pattern, rate, decay, names }) => ({ pattern, rate, decay, tensors: names.length })),
      notes: this.#step.notes,
      dispatches: this.#step.dispatches,
      bytes: gpu.counters.bufferBytes,
      stepsPerEpoch: this.#stepsPerEpoch,
      epoch: this.progress.epoch,
      batch: this.progress.batch,
      steps: this.#step.steps,
    });
  }

  #emit(event: TrainerEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** @throws BackdropError E_RUN_MISMATCH naming the first difference */
function checkModel(saved: ModelConfig, asked: ModelConfig): void {
  for (const [key, value] of Object.entries(asked)) {
    const before = saved[key as keyof ModelConfig];
    if (JSON.stringify(value) === JSON.stringify(before)) continue;
    throw new BackdropError(
      'E_RUN_MISMATCH',
      `The run was begun with another model: ${key} was ${JSON.stringify(before)}, is ${JSON.stringify(value)}.`,
      {
        details: { key, found: value, expected: before },
      },
    );
  }
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
