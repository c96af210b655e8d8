/** A loader over pictures made in the page, for tests/data/loader.test.ts. */
import type { DataDirectory, ImageRecord } from '../../src/data/dataset.ts';
import { decodeRecord } from '../../src/data/decode.ts';
import { BatchLoader, type LoadedBatch, type LoaderOptions, type LoaderStats } from '../../src/data/loader.ts';
import { loaderWorkers } from '../../src/data/worker-preparer.ts';
import { readPixels } from '../../src/detector/image.ts';
import { BackdropError } from '../../src/errors.ts';
import { register } from '../../src/host/page-registry.ts';
import { picture } from './augment/picture.ts';

export interface LoadRequest {
  records: ImageRecord[];
  options: Omit<LoaderOptions, 'directory' | 'records' | 'workers'>;
  /** In the page's own thread by default. */
  workers?: number;
  /** The workers' script, when it is not the right one. */
  script?: string;
  /** Epoch, first batch, and how many are taken (all by default). */
  take: [epoch: number, firstBatch: number, count?: number][];
  /** Files that the directory does not have, and those that are damaged. */
  missing?: string[];
  damaged?: string[];
  /** The pictures' true sizes, when the records are wrong. */
  files?: Pick<ImageRecord, 'file' | 'width' | 'height'>[];
}

export interface LoadAnswer {
  batches: LoadedBatch[];
  stats: LoaderStats;
  /** Files in the order they were asked for. */
  read: string[];
}

async function png({ width, height }: Pick<ImageRecord, 'width' | 'height'>): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d')!;
  const pixels = context.createImageData(width, height);
  const { data } = picture(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...data.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}

register<LoadRequest>(
  'load batches',
  async ({ records, options, workers, script, take, missing = [], damaged = [], files = records }): Promise<LoadAnswer> => {
    const read: string[] = [];
    const directory: DataDirectory = {
      list: async () => records.map(({ file }) => file),
      async read(path) {
        read.push(path);
        if (missing.includes(path)) throw new BackdropError('E_DATA', `${path}: there is no such file`, { details: { file: path } });
        const blob = await png(files.find(({ file }) => file === path)!);
        return damaged.includes(path) ? blob.slice(0, blob.size / 2) : blob;
      },
    };
    const pool = workers ? loaderWorkers(workers, script) : null;
    const loader = new BatchLoader({ ...options, directory, records, workers: pool });
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
  },
);

/** A JPEG file as the loader decodes it, and as `detect` does: size, and whether all pixels are the same. */
register<{ file: Uint8Array<ArrayBuffer>; width: number; height: number }>('decode twice', async ({ file, width, height }) => {
  const blob = new Blob([file]);
  const record = await decodeRecord(blob, { id: 1, file: 'x.jpg', width, height, annotations: [] });
  const detect = await readPixels(blob);
  const same = record.data.every((v, i) => v === detect.data[4 * Math.floor(i / 3) + (i % 3)]);
  return { loader: [record.width, record.height], detect: [detect.width, detect.height], same };
});

/** What becomes of those who wait for a batch when the loader is closed, and of those who come later. */
register<{ records: ImageRecord[]; options: LoadRequest['options']; workers?: number }>(
  'close loader',
  async ({ records, options, workers }) => {
    const directory: DataDirectory = {
      list: async () => [],
      read: () => new Promise((resolve) => setTimeout(() => resolve(new Blob()), 200)),
    };
    const loader = new BatchLoader({ ...options, directory, records, workers: workers ? loaderWorkers(workers) : null });
    const outcome = (next: Promise<unknown>) =>
      next.then(
        () => 'a batch',
        ({ code, message }) => `${code} ${message}`,
      );
    const waiting = outcome(loader.batches(0).next());
    loader.close();
    loader.close();
    return [await waiting, await outcome(loader.batches(0).next())];
  },
);

/** The code and message of what the constructor throws. */
register<{ records: ImageRecord[]; options: LoadRequest['options']; workers?: number }>(
  'construct loader',
  ({ records, options, workers }) => {
    const directory: DataDirectory = { list: async () => [], read: () => Promise.reject(new Error('not asked for')) };
    new BatchLoader({ ...options, directory, records, workers: workers === undefined ? null : loaderWorkers(workers) }).close();
    return 'a loader';
  },
);
