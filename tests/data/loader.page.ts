/** A loader over pictures made in the page, for tests/data/loader.test.ts. */
import type { DataDirectory, ImageRecord } from '../../src/data/dataset.ts';
import { BatchLoader, type LoadedBatch, type LoaderOptions, type LoaderStats } from '../../src/data/loader.ts';
import { BackdropError } from '../../src/errors.ts';
import { register } from '../../src/host/page-registry.ts';
import { picture } from './augment/picture.ts';

export interface LoadRequest {
  records: ImageRecord[];
  options: Omit<LoaderOptions, 'directory' | 'records'>;
  /** Epoch, first batch, and how many are taken (all by default). */
  take: [epoch: number, firstBatch: number, count?: number][];
  /** Files that the directory does not have, and those that are damaged. */
  missing?: string[];
  damaged?: string[];
}

export interface LoadAnswer {
  batches: LoadedBatch[];
  stats: LoaderStats;
  /** Files in the order they were asked for. */
  read: string[];
}

async function png({ width, height }: ImageRecord): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d')!;
  const pixels = context.createImageData(width, height);
  const { data } = picture(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...data.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}

register<LoadRequest>('load batches', async ({ records, options, take, missing = [], damaged = [] }): Promise<LoadAnswer> => {
  const read: string[] = [];
  const directory: DataDirectory = {
    list: async () => records.map(({ file }) => file),
    async read(path) {
      read.push(path);
      if (missing.includes(path)) throw new BackdropError('E_DATA', `${path}: there is no such file`, { details: { file: path } });
      const blob = await png(records.find(({ file }) => file === path)!);
      return damaged.includes(path) ? blob.slice(0, blob.size / 2) : blob;
    },
  };
  const loader = new BatchLoader({ ...options, directory, records });
  const batches: LoadedBatch[] = [];
  try {
    for (const [epoch, first, count = Infinity] of take) {
      if (count === 0) continue;
      let taken = 0;
      for await (const batch of loader.batches(epoch, first)) {
        batches.push(batch);
        if (++taken === count) break;
      }
    }
    return { batches, stats: loader.stats, read };
  } finally {
    loader.close();
  }
});
