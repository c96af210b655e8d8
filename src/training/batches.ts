/** What training and validation are fed with; src/data/loader.ts gives it from a data set's files. */
import type { ImageRecord } from '../data/dataset.ts';
import type { Targets } from './targets.ts';

export interface Batch {
  /** RGB in 0..1, [batch, height, width, 3] */
  readonly image: Float32Array;
  /** One an image, in units of the image's sides. */
  readonly targets: readonly Targets[];
  /** The images, as they lie on disk. */
  readonly records: readonly ImageRecord[];
}

export interface BatchSource {
  /** The batches of an epoch from the one numbered `firstBatch`: the same for the same epoch, whatever was asked for before. */
  batches(epoch: number, firstBatch?: number): AsyncIterable<Batch>;
  /** Ends workers and frees what is kept. */
  close(): void;
}
