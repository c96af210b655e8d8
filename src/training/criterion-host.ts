/** The criterion's part that runs on the CPU: the table of targets, the matching, and the losses' names. */
import { BackdropError } from '../errors.ts';
import { type Assignment, assign } from './assignment.ts';
import { type CriterionOptions, LINE, linesOf } from './criterion.ts';
import type { DenoisingLayout } from './denoising.ts';
import { checkTargets, countTargets, type Targets } from './targets.ts';

/** A set of outputs as the CPU sees it. */
export interface SetShape {
  readonly suffix: string;
  readonly queries: number;
  readonly denoising?: boolean;
}

/** Stands where there is no target: it has an area, so that no overlap with it is undefined. */
const NO_BOX = [0.5, 0.5, 1, 1];

export class CriterionHost {
  readonly #options: CriterionOptions;
  readonly #sets: readonly SetShape[];
  readonly #batch: number;
  /** Rows of all sets together. */
  readonly rows: number;
  /** Rows of the matched sets together. */
  readonly matchedRows: number;

  constructor(sets: readonly SetShape[], batch: number, options: CriterionOptions) {
    this.#sets = sets;
    this.#batch = batch;
    this.#options = options;
    const sum = (list: readonly SetShape[]) => list.reduce((total, { queries }) => total + queries, 0);
    this.rows = sum(sets);
    this.matchedRows = sum(sets.filter(({ denoising }) => !denoising));
  }

  /**
   * The inputs `targets.table` and `targets.labels`.
   * @param step all images of the step, where the batch is a part of it: they decide the normalisation
   * @throws BackdropError E_INPUT as `checkTargets`
   */
  targets(
    batch: readonly Targets[],
    denoising: DenoisingLayout,
    step: readonly Targets[] = batch,
  ): { table: Float32Array<ArrayBuffer>; labels: Uint32Array<ArrayBuffer> } {
    const { classes, maxTargets, weights = { classification: 1, boxes: 5, giou: 2 } } = this.#options;
    this.#checkBatch(batch);
    checkTargets(batch, this.#options);
    const lines = linesOf(this.#options);
    const table = new Float32Array(this.#batch * lines * LINE);
    const labels = new Uint32Array(this.#batch * lines);
    const count = Math.max(1, countTargets(step));
    [false, true].forEach((noisy) => {
      const divisor = count * (noisy ? Math.max(1, denoising.groups) : 1);
      const [object, none] = this.#classWeights(step, noisy, denoising, divisor);
      const boxWeights = [weights.boxes / divisor, weights.giou / divisor];
      const start = noisy ? maxTargets + 2 : 0;
      batch.forEach((targets, image) => {
        for (let t = 0; t < maxTargets + 2; t++) {
          const at = image * lines + start + t;
          const real = t < targets.labels.length;
          const box = real ? [0, 1, 2, 3].map((k) => targets.boxes[4 * t + k]) : NO_BOX;
          const own = real ? [object, ...boxWeights] : [t === maxTargets ? none : 0, 0, 0];
          table.set([...box, ...own.map((w, i) => (i === 0 ? w * weights.classification : w))], at * LINE);
          labels[at] = real ? targets.labels[t] : t < maxTargets ? 0 : classes;
        }
      });
    });
    return { table, labels };
  }

  /** Weights of a row with and without an object: 1 / divisor, or with softmax each class's share of the weighted mean. */
  #classWeights(step: readonly Targets[], noisy: boolean, { groups, count }: DenoisingLayout, divisor: number): [number, number] {
    const { classification, noObject = 0.1 } = this.#options;
    if (classification !== 'labels') return [1 / divisor, 1 / divisor];
    const queries = noisy ? count : (this.#sets.find(({ denoising }) => !denoising)?.queries ?? 0);
    const pairs = noisy ? groups * countTargets(step) : step.reduce((sum, { labels }) => sum + Math.min(labels.length, queries), 0);
    const total = pairs + noObject * (step.length * queries - pairs);
    return total > 0 ? [1 / total, noObject / total] : [0, 0];
  }

  /**
   * The input `match`: each row's line of the table. Matched sets are assigned one by one, image by image; a denoising query
   * 2 M g + j has target j.
   * @param costs [batch, matchedRows, maxTargets], as read back
   * @throws BackdropError E_INPUT when a cost is not finite, naming set and image
   */
  match(costs: Float32Array, batch: readonly Targets[], denoising: DenoisingLayout): Uint32Array<ArrayBuffer> {
    this.#checkBatch(batch);
    const { maxTargets, shareMatches = false } = this.#options;
    const match = new Uint32Array(this.#batch * this.rows);
    batch.forEach(({ labels }, image) => {
      let row = image * this.rows;
      let cost = image * this.matchedRows;
      let shared: Assignment | null = null;
      for (const { suffix, queries, denoising: noisy } of this.#sets) {
        const own = match.subarray(row, row + queries);
        row += queries;
        if (noisy) {
          this.#matchDenoising(own, labels.length, denoising);
          continue;
        }
        const pairs: Assignment = (shareMatches ? shared : null) ?? this.#assign(costs, cost, queries, labels.length, suffix, image);
        shared ??= pairs;
        own.fill(maxTargets);
        pairs.rows.forEach((query, i) => {
          own[query] = pairs.columns[i];
        });
        cost += queries;
      }
    });
    return match;
  }

  #assign(costs: Float32Array, row: number, queries: number, targets: number, suffix: string, image: number): Assignment {
    const { maxTargets } = this.#options;
    try {
      return assign(costs, queries, targets, { offset: row * maxTargets, pitch: maxTargets });
    } catch (cause) {
      if (!(cause instanceof BackdropError)) throw cause;
      throw new BackdropError('E_INPUT', `Outputs ${suffix || 'of the last layer'} of image ${image} cannot be matched: ${cause.message}`, {
        hint: 'The model has produced numbers that are not finite: check the image and lower the learning rate.',
        details: { ...cause.details, image, outputs: suffix },
        cause,
      });
    }
  }

  #matchDenoising(own: Uint32Array, targets: number, { targets: most, count }: DenoisingLayout): void {
    const { maxTargets } = this.#options;
    const start = maxTargets + 2;
    own.fill(start + maxTargets + 1);
    for (let query = 0; query < count; query++) {
      const target = query % most;
      const positive = Math.floor(query / most) % 2 === 0 && target < targets;
      own[query] = start + (positive ? target : maxTargets);
    }
  }

  /**
   * The losses under their official names, weighted, summed over the images; `loss` is the sum of all.
   * @param terms [batch, sets, 3], as read back
   */
  losses(terms: Float32Array, denoising: DenoisingLayout): { loss: number; terms: Record<string, number> } {
    const { classification } = this.#options;
    const names = [classification === 'labels' ? 'loss_ce' : `loss_${classification}`, 'loss_bbox', 'loss_giou'];
    const found: Record<string, number> = {};
    let loss = 0;
    this.#sets.forEach(({ suffix, denoising: noisy }, set) => {
      if (noisy && denoising.groups === 0) return;
      names.forEach((name, k) => {
        let sum = 0;
        for (let image = 0; image < this.#batch; image++) sum += terms[(image * this.#sets.length + set) * names.length + k];
        found[name + suffix] = sum;
        loss += sum;
      });
    });
    return { loss, terms: found };
  }

  #checkBatch(batch: readonly Targets[]): void {
    if (batch.length !== this.#batch) {
      throw new BackdropError('E_INPUT', `There are targets of ${batch.length} images; this training step takes ${this.#batch}.`);
    }
  }
}
