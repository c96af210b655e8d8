/** From an image's file to a sample: decoded, or kept from an earlier epoch, then augmented. */
import { BackdropError } from '../errors.ts';
import { type AugmentationConfig, augment, type Sample } from './augment/augment.ts';
import { targetsOf } from './augment/frame.ts';
import type { OutputSize } from './augment/multi-scale.ts';
import type { RgbImage } from './augment/resample.ts';
import type { ImageRecord } from './dataset.ts';
import { decodeRecord } from './decode.ts';

/** What all samples of a loader have in common. */
export interface PrepareOptions {
  readonly augmentation: AugmentationConfig | null;
  readonly seed: number;
  /** Decoded images are kept until they take this many bytes. */
  readonly cacheBytes: number;
}

export interface PrepareTask {
  /** Position in the loader's records. */
  readonly index: number;
  readonly record: ImageRecord;
  readonly epoch: number;
  readonly size: OutputSize;
}

export interface Prepared extends Sample {
  /** Milliseconds; 0 for an image that was kept. */
  readonly decodeMs: number;
  readonly augmentMs: number;
}

/** Prepares samples where it is called, or elsewhere (worker-preparer.ts). */
export interface SamplePreparer {
  /** `read` gives the image's file; it is not asked when the image was kept. */
  prepare(task: PrepareTask, read: () => Promise<Blob>): Promise<Prepared>;
  close(): void;
}

export const closedError = (): BackdropError => new BackdropError('E_INPUT', 'The loader of images is closed.');

/** Decoded at the same time: two keep the decoder's thread busy without many large images in memory. */
const AT_ONCE = 2;

export class LocalPreparer implements SamplePreparer {
  readonly #options: PrepareOptions;
  readonly #kept = new Map<number, RgbImage>();
  #keptBytes = 0;
  #running = 0;
  #closed = false;
  readonly #waiting: (() => void)[] = [];

  constructor(options: PrepareOptions) {
    this.#options = options;
  }

  /** @throws BackdropError E_DATA, or E_INPUT after close() */
  async prepare({ index, record, epoch, size }: PrepareTask, read: () => Promise<Blob>): Promise<Prepared> {
    await this.#turn();
    try {
      if (this.#closed) throw closedError();
      const { augmentation: config, seed } = this.#options;
      let image = this.#kept.get(index);
      let decodeMs = 0;
      if (!image) {
        const blob = await read();
        if (this.#closed) throw closedError();
        const start = performance.now();
        image = await decodeRecord(blob, record);
        decodeMs = performance.now() - start;
        this.#keep(index, image);
      }
      const start = performance.now();
      const sample = augment(image, targetsOf(record), { config, seed, epoch, imageId: record.id, size });
      return { ...sample, decodeMs, augmentMs: performance.now() - start };
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  /** Is this image's file no longer needed? */
  has(index: number): boolean {
    return this.#kept.has(index);
  }

  close(): void {
    this.#closed = true;
    this.#kept.clear();
  }

  async #turn(): Promise<void> {
    while (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
  }

  /** The first images stay: epochs visit all of them in new orders, so none deserves its place more than another. */
  #keep(index: number, image: RgbImage): void {
    if (this.#kept.has(index) || this.#keptBytes + image.data.length > this.#options.cacheBytes) return;
    this.#kept.set(index, image);
    this.#keptBytes += image.data.length;
  }
}
