/** What a training run prints and leaves in its directory beside the checkpoints. */
import { formatClassTable } from '../evaluation/class-rows.ts';
import type { CocoEvaluation } from '../evaluation/coco.ts';
import type { TrainerEvent } from '../training/trainer.ts';
import { duration, type Io } from './io.ts';
import type { RunDirectory } from './run-directory.ts';
import type { RunPlots } from './run-plots.ts';
import type { TrainMessage } from './train-messages.ts';
import { softwareWarning } from './with-session.ts';

type Event<T extends TrainerEvent['type']> = Extract<TrainerEvent, { type: T }>;

export const METRICS = 'metrics.jsonl';
export const RESULTS = 'results.csv';
export const LOG = 'log.txt';

const STATS = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl'] as const;

export interface ReportOptions {
  io: Io;
  run: RunDirectory;
  plots: RunPlots;
  epochs: number;
  accumulate: number;
  /** Steps between lines where there is no terminal. */
  logEvery: number;
}

const clock = (seconds: number): string => {
  const s = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
};

const bar = (fraction: number): string => {
  const full = Math.round(10 * fraction);
  return `▕${'█'.repeat(full)}${' '.repeat(10 - full)}▏`;
};

const named = (prefix: string, values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));

const rateNames = (rates: readonly number[]): Record<string, number> => Object.fromEntries(rates.map((rate, i) => [`lr/group${i}`, rate]));

const csvNumber = (n: number): string => String(Number(n.toPrecision(8)));

export class TrainReport {
  readonly #options: ReportOptions;
  /** Smoothed over the last steps. */
  #stepSeconds = 0;
  #waited = 0;
  #seconds = 0;
  #images = 0;
  #bytes = 0;
  #steps = 0;
  /** Of the epoch that ends, where it was validated. */
  #evaluation: CocoEvaluation | null = null;
  #saved: Event<'saved'> | null = null;
  #parameters = 0;

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  /** The last save that is on disk. */
  get saved(): Event<'saved'> | null {
    return this.#saved;
  }

  /** Steps that were told of. */
  get steps(): number {
    return this.#steps;
  }

  /** Of a step by now. */
  get stepSeconds(): number {
    return this.#stepSeconds;
  }

  /** Of buffers on the device, when the last step was told of. */
  get bytes(): number {
    return this.#bytes;
  }

  take(message: TrainMessage): void {
    const { io } = this.#options;
    switch (message.type) {
      case 'adapter':
        if (message.software) io.warn(softwareWarning);
        for (const warning of message.warnings) io.warn(warning);
        io.print(`adapter     ${message.name}${message.software ? ' (software adapter)' : ''}`);
        break;
      case 'compiling':
        io.progress('compiling kernels', message.compiled / message.total);
        return;
      case 'ready':
        this.#ready(message);
        break;
      case 'step':
        this.#step(message);
        break;
      case 'validating':
        io.progress('validating', message.images / message.total);
        return;
      case 'validation':
        this.#validation(message);
        return;
      case 'epoch':
        this.#epoch(message);
        break;
      case 'saved':
        this.#saved = message;
        break;
      case 'end':
        break;
    }
    io.emit(message);
  }

  #ready(message: Event<'ready'>): void {
    const { io } = this.#options;
    io.progressDone();
    this.#parameters = message.parameters;
    io.print(`parameters  ${message.parameters.toLocaleString('en')}, ${message.trainable.toLocaleString('en')} of them trained`);
    for (const { pattern, rate, decay, tensors } of message.groups) {
      io.print(`            ${tensors} tensors${pattern === null ? '' : ` matching ${pattern}`}: lr ${rate}, weight decay ${decay}`);
    }
    for (const note of message.notes) io.note(note);
    io.print(
      `a step      ${message.dispatches} launches, ${megabytes(message.bytes)} on the device; ${message.stepsPerEpoch} steps an epoch`,
    );
    if (message.steps > 0) io.print(`resumed     at step ${message.steps}, epoch ${message.epoch + 1}`);
  }

  #step(message: Event<'step'>): void {
    const { io, run, plots, epochs, accumulate, logEvery } = this.#options;
    const { epoch, step, batch, batches, loss, terms, norm, rates, seconds, waited, images, bytes } = message;
    this.#bytes = bytes;
    this.#steps += 1;
    this.#stepSeconds = this.#stepSeconds === 0 ? seconds : 0.9 * this.#stepSeconds + 0.1 * seconds;
    this.#seconds += seconds;
    this.#waited += waited;
    this.#images += images;
    plots.scalars(step, { 'train/loss': loss, 'train/grad_norm': norm, ...named('train/', terms), ...rateNames(rates) });
    run.append(METRICS, `${JSON.stringify({ step, epoch: epoch + 1, batch, loss, ...terms, norm, lr: rates, seconds, waited })}\n`);
    if (!io.live && step % logEvery !== 0 && batch < batches) return;
    const perBatch = this.#stepSeconds / accumulate;
    const left = (batches - batch) * perBatch;
    const later = (epochs - epoch - 1) * batches * perBatch;
    const short = (n: number | undefined) => (n ?? 0).toFixed(2);
    const line = [
      `Epoch ${epoch + 1}/${epochs} ${bar(batch / batches)} ${batch}/${batches}`,
      `${(this.#images / this.#seconds).toFixed(2)} img/s`,
      `eta ${clock(left)} (epoch) ${clock(left + later)} (run)`,
      `loss ${loss.toFixed(2)} vfl ${short(terms.loss_vfl)} l1 ${short(terms.loss_bbox)} giou ${short(terms.loss_giou)}`,
      `lr ${Number((rates[rates.length - 1] ?? 0).toPrecision(3))}`,
      `waits ${((100 * this.#waited) / this.#seconds).toFixed(1)} %`,
      `mem ${megabytes(this.#bytes)}`,
    ].join('  ');
    if (io.live) io.progress(line);
    else io.note(line);
  }

  #validation({ epoch, evaluation, detections, best, progress }: Event<'validation'>): void {
    const { io, plots } = this.#options;
    io.progressDone();
    this.#evaluation = evaluation;
    for (const line of evaluation.lines) io.print(line);
    io.print('');
    for (const line of formatClassTable(evaluation)) io.print(line);
    plots.validation(evaluation, detections);
    const top = progress.best;
    if (top) io.print(`best: epoch ${top.epoch + 1} AP ${top.ap.toFixed(3)} (now ${evaluation.stats[0].toFixed(3)})`);
    io.emit({ type: 'validation', epoch, stats: statsOf(evaluation), classes: evaluation.rows, best, bestSoFar: top });
  }

  #epoch({ epoch, step, loss, terms, rates, seconds }: Event<'epoch'>): void {
    const { io, run, plots } = this.#options;
    const evaluation = this.#evaluation;
    this.#evaluation = null;
    const numbers: Record<string, number | null> = {
      epoch: epoch + 1,
      time: seconds,
      'train/loss': loss,
      ...named('train/', terms),
      ...Object.fromEntries(STATS.map((name, i) => [`metrics/${name}`, evaluation ? evaluation.stats[i] : null])),
      ...rateNames(rates),
    };
    if (run.read(RESULTS) === null) run.append(RESULTS, `${Object.keys(numbers).join(',')}\n`);
    run.append(
      RESULTS,
      `${Object.values(numbers)
        .map((n) => (n === null ? '' : csvNumber(n)))
        .join(',')}\n`,
    );
    const entry = {
      train_loss: loss,
      ...named('train_', terms),
      ...(evaluation ? { test_coco_eval_bbox: evaluation.stats } : {}),
      ...{ epoch, n_parameters: this.#parameters },
    };
    run.append(LOG, `${JSON.stringify(entry)}\n`);
    if (evaluation) {
      plots.scalars(step, named('metrics/', statsOf(evaluation)));
      plots.results(run.read(RESULTS) ?? '');
    }
    io.progressDone();
    io.print(`epoch ${epoch + 1}: loss ${loss.toFixed(3)}, ${duration(1000 * seconds)} in all`);
  }
}

/** Logs of a run that goes on from a saved step: what came after it will come again. */
export function cutLogs(run: RunDirectory, { steps, epoch }: { steps: number; epoch: number }): void {
  run.filterLines(METRICS, (line) => fieldOf(line, 'step') < steps);
  run.filterLines(LOG, (line) => fieldOf(line, 'epoch') < epoch);
  run.filterLines(RESULTS, (line) => line.startsWith('epoch,') || Number(line.split(',')[0]) <= epoch);
}

function fieldOf(line: string, name: string): number {
  try {
    return Number((JSON.parse(line) as Record<string, unknown>)[name]);
  } catch {
    return Number.NaN;
  }
}

export const statsOf = (evaluation: CocoEvaluation): Record<string, number> =>
  Object.fromEntries(STATS.map((name, i) => [name, evaluation.stats[i]]));

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
