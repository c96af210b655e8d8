/** Batches for training and evaluation, made ahead of the GPU. */
import { BackdropError } from '../errors.ts';
import type { AugmentationConfig } from './augment/augment.ts';
import { checkAugmentation } from './augment/check.ts';
import { orderDraws, sizeDraws } from './augment/draws.ts';
import type { OutputSize } from './augment/multi-scale.ts';
import type { DataDirectory, ImageRecord } from './dataset.ts';
import { closedError, LocalPreparer, type Prepared, type SamplePreparer } from './preparer.ts';
import { type LoaderWorkers, WorkerPreparer } from './worker-preparer.ts';

/** A drawn square size for each batch; images are resized to `base` before. */
export interface MultiScale {
  readonly base: readonly [height: number, width: number];
  /** One is drawn for each batch; what stands there more often comes more often (multiScaleSizes in augment/multi-scale.ts). */
  readonly sizes: readonly number[];
  /** From this epoch on, counted from 0, `base` alone; null: never. */
  readonly stopEpoch: number | null;
}

export interface LoaderOptions {
  readonly directory: DataDirectory;
  readonly records: readonly ImageRecord[];
  /** Images in a batch. */
  readonly batch: number;
  readonly size: readonly [height: number, width: number] | MultiScale;
  /** null: resized as `detect` resizes. */
  readonly augmentation: AugmentationConfig | null;
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** A new order in each epoch, else that of the records. */
  readonly shuffle: boolean;
  /** Leave out the images that do not fill a last batch. Default false: the last batch is smaller. */
  readonly dropLast?: boolean;
  /** Batches made ahead of the one in use. Default 2. */
  readonly lookAhead?: number;
  /** Decoded images are kept in this much memory. Default 256 MiB. */
  readonly cacheBytes?: number;
  /** Where samples are made; without workers in the thread of the caller. loaderWorkers() in worker-preparer.ts gives the usual ones. */
  readonly workers?: LoaderWorkers | null;
}

export interface LoadedTargets {
  /** cx, cy, w, h of each object, in units of the image's sides. */
  readonly boxes: Float32Array;
  readonly labels: Int32Array;
}

export interface LoadedBatch {
  readonly epoch: number;
  /** In the epoch. */
  readonly index: number;
  readonly height: number;
  readonly width: number;
  /** [images, height, width, 3], 0 to 1. */
  readonly image: Float32Array;
  /** One an image. */
  readonly targets: readonly LoadedTargets[];
  readonly records: readonly ImageRecord[];
}

/** Sums over the loader's life, milliseconds. */
export interface LoaderStats {
  readonly batches: number;
  readonly images: number;
  /** What the caller waited for its batches. */
  readonly waitedMs: number;
  readonly decodeMs: number;
  readonly augmentMs: number;
}

const defaults = { dropLast: false, lookAhead: 2, cacheBytes: 256 * 2 ** 20, workers: null };

/** Pixels and order of a batch depend on the options, the epoch and its index; not on workers, look-ahead or what was loaded before. */
export class BatchLoader {
  readonly #options: Required<LoaderOptions>;
  readonly #preparer: SamplePreparer;
  /** Batches under way, by epoch and index. */
  readonly #pending = new Map<string, Promise<LoadedBatch>>();
  /** The order of an epoch, for the two that batches are made for at the same time. */
  readonly #orders = new Map<number, readonly number[]>();
  #stats: LoaderStats = { batches: 0, images: 0, waitedMs: 0, decodeMs: 0, augmentMs: 0 };
  #closed = false;

  /** @throws BackdropError E_INPUT for options that make no batches, or augmentations out of range */
  constructor(options: LoaderOptions) {
    this.#options = { ...defaults, ...options };
    checkOptions(this.#options);
    if (options.augmentation) checkAugmentation(options.augmentation);
    const { augmentation, seed, cacheBytes, workers } = this.#options;
    const shared = { augmentation, seed, cacheBytes };
    this.#preparer = workers ? new WorkerPreparer(shared, workers) : new LocalPreparer(shared);
  }

  get batchesPerEpoch(): number {
    const { records, batch, dropLast } = this.#options;
    return dropLast ? Math.floor(records.length / batch) : Math.ceil(records.length / batch);
  }

  get stats(): LoaderStats {
    return this.#stats;
  }

  /** The size of a batch: known before it is made, so that a program for it can be. */
  sizeOf(epoch: number, index: number): readonly [height: number, width: number] {
    return this.#outputSize(epoch, index).output;
  }

  /**
   * An epoch's batches, from `firstBatch` on. The following ones are made meanwhile, across the end of a shuffled epoch too.
   * @throws BackdropError E_DATA, with `file` in its details, for an image that is gone or damaged; E_INPUT after close()
   */
  async *batches(epoch: number, firstBatch = 0): AsyncGenerator<LoadedBatch, void, undefined> {
    for (let index = firstBatch; index < this.batchesPerEpoch; index++) {
      this.#makeAhead(epoch, index);
      const start = performance.now();
      const pending = this.#pending.get(keyOf(epoch, index))!;
      this.#pending.delete(keyOf(epoch, index));
      const batch = await pending;
      this.#count({ batches: 1, images: batch.records.length, waitedMs: performance.now() - start });
      yield batch;
    }
  }

  /** Ends everything under way; who waits for a batch gets E_INPUT. */
  close(): void {
    this.#closed = true;
    this.#pending.clear();
    this.#preparer.close();
  }

  /** Starts what is not yet under way of this batch and the next; forgets what is no longer ahead. */
  #makeAhead(epoch: number, index: number): void {
    const { shuffle, lookAhead } = this.#options;
    const wanted = new Map<string, [number, number]>();
    for (let ahead = 0; ahead <= lookAhead; ahead++) {
      const beyond = index + ahead >= this.batchesPerEpoch;
      // Without shuffling epochs are for evaluation, and the next one is far.
      if (beyond && !shuffle) break;
      const at: [number, number] = beyond ? [epoch + 1, index + ahead - this.batchesPerEpoch] : [epoch, index + ahead];
      if (at[1] < this.batchesPerEpoch) wanted.set(keyOf(...at), at);
    }
    for (const key of this.#pending.keys()) if (!wanted.has(key)) this.#pending.delete(key);
    for (const [key, at] of wanted) {
      if (this.#pending.has(key)) continue;
      const batch = this.#make(...at);
      // Whoever waits for the batch gets the error; nobody does for one that is never asked for.
      batch.catch(() => {});
      this.#pending.set(key, batch);
    }
  }

  async #make(epoch: number, index: number): Promise<LoadedBatch> {
    if (this.#closed) throw closedError();
    const { records, batch } = this.#options;
    const order = this.#orderOf(epoch).slice(index * batch, (index + 1) * batch);
    const size = this.#outputSize(epoch, index);
    const samples = await Promise.all(order.map((at) => this.#prepare(at, epoch, size)));
    const [height, width] = size.output;
    const image = new Float32Array(samples.length * height * width * 3);
    samples.forEach((sample, i) => {
      image.set(sample.image, i * height * width * 3);
      this.#count({ decodeMs: sample.decodeMs, augmentMs: sample.augmentMs });
    });
    const targets = samples.map(({ boxes, labels }) => ({ boxes, labels }));
    return { epoch, index, height, width, image, targets, records: order.map((at) => records[at]) };
  }

  async #prepare(index: number, epoch: number, size: OutputSize): Promise<Prepared> {
    const { directory, records } = this.#options;
    const record = records[index];
    try {
      return await this.#preparer.prepare({ index, record, epoch, size }, () => readFile(directory, record.file));
    } catch (error) {
      throw this.#closed ? closedError() : error;
    }
  }

  #orderOf(epoch: number): readonly number[] {
    const { records, seed, shuffle } = this.#options;
    let order = this.#orders.get(epoch);
    if (!order) {
      order = shuffle ? orderDraws(seed, epoch).permutation(records.length) : records.map((_, i) => i);
      for (const other of this.#orders.keys()) if (Math.abs(other - epoch) > 1) this.#orders.delete(other);
      this.#orders.set(epoch, order);
    }
    return order;
  }

  #outputSize(epoch: number, index: number): OutputSize {
    const { size, seed } = this.#options;
    if (!('base' in size)) return { resized: size, output: size };
    const { base, sizes, stopEpoch } = size;
    if (stopEpoch !== null && epoch >= stopEpoch) return { resized: base, output: base };
    const side = sizes[sizeDraws(seed, epoch, index).integer(sizes.length)];
    return { resized: base, output: [side, side] };
  }

  #count(more: Partial<LoaderStats>): void {
    const sum = { ...this.#stats };
    for (const [name, value] of Object.entries(more)) sum[name as keyof LoaderStats] += value;
    this.#stats = sum;
  }
}

const keyOf = (epoch: number, index: number): string => `${epoch}/${index}`;

async function readFile(directory: DataDirectory, file: string): Promise<Blob> {
  try {
    return await directory.read(file);
  } catch (cause) {
    if (cause instanceof BackdropError) throw cause;
    throw new BackdropError('E_DATA', `${file}: the file could not be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
      details: { file },
    });
  }
}

function checkOptions({ records, batch, size, seed, dropLast, lookAhead, workers }: Required<LoaderOptions>): void {
  const fail = (message: string, hint: string): never => {
    throw new BackdropError('E_INPUT', message, { hint });
  };
  const counts = {
    images: batch,
    ...('base' in size ? { height: size.base[0], width: size.base[1] } : { height: size[0], width: size[1] }),
  };
  for (const [name, value] of Object.entries(counts)) {
    if (!(Number.isSafeInteger(value) && value >= 1)) fail(`The ${name} of a batch is ${value}.`, 'It is a whole number from 1 on.');
  }
  if ('base' in size && !(size.sizes.length > 0 && size.sizes.every((side) => Number.isSafeInteger(side) && side >= 1)))
    fail(`The sizes of multi-scale training are [${size.sizes.join(', ')}].`, 'They are whole numbers from 1 on, at least one.');
  if (!(Number.isSafeInteger(seed) && seed >= 0)) fail(`The seed is ${seed}.`, 'Seeds are whole numbers from 0 to 2^53 - 1.');
  if (!(Number.isSafeInteger(lookAhead) && lookAhead >= 0)) fail(`lookAhead is ${lookAhead}.`, 'It is a number of batches.');
  if (workers && !(Number.isSafeInteger(workers.count) && workers.count >= 1))
    fail(`The number of workers is ${workers.count}.`, 'It is a whole number from 1 on; leave `workers` out for none.');
  if (records.length < (dropLast ? batch : 1))
    fail(`${records.length} images make no batch of ${batch}.`, 'Take a smaller batch, or a data set with more images.');
}
