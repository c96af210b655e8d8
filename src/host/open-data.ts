/** The data set of a training run or an evaluation: opened, its remarks printed, and summed up so that a change is noticed. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset, ImageRecord, Split } from '../data/dataset.ts';
import { openDataset } from '../data/open.ts';
import { BackdropError } from '../errors.ts';
import { dataPlace } from './data-directory.ts';
import type { Io } from './io.ts';

export interface OpenedData {
  readonly dataset: Dataset;
  /** The folder on the disk. */
  readonly root: string;
}

/** Remarks of one kind that are printed in full. */
const SHOWN = 5;

/** @throws BackdropError E_DATA */
export async function openData(path: string, io: Io): Promise<OpenedData> {
  const { directory, root, file } = await dataPlace(path);
  const { dataset, problems } = await openDataset(directory, {
    signal: io.signal,
    ...(file === undefined ? {} : { file }),
    onProgress: (done, total) => io.progress('looking at pictures', done / total),
  });
  io.progressDone();
  const warnings = problems.filter(({ severity }) => severity === 'warning');
  for (const { message } of warnings.slice(0, SHOWN)) io.warn(message);
  if (warnings.length > SHOWN) io.warn(`and ${warnings.length - SHOWN} more; "backdrop data check ${path}" lists them all`);
  return { dataset, root };
}

/** The images of a split. @throws BackdropError E_DATA when the set has none */
export function splitOf({ splits }: Dataset, split: Split): readonly ImageRecord[] {
  const records = splits.get(split);
  if (records && records.length > 0) return records;
  throw new BackdropError('E_DATA', `the data set has no pictures in its split "${split}"`, {
    hint: `It has ${[...splits.keys()].join(', ') || 'none'}. "backdrop data split" makes splits.`,
  });
}

/** What a split is, in a line: counts for people, and a hash over pictures' names and sizes in bytes, labels and classes. */
export function fingerprint({ categories }: Dataset, records: readonly ImageRecord[], root: string): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(categories));
  for (const record of records) {
    const bytes = statSync(join(root, record.file), { throwIfNoEntry: false })?.size ?? -1;
    hash.update(JSON.stringify([record, bytes]));
  }
  const boxes = records.reduce((sum, { annotations }) => sum + annotations.length, 0);
  return `${records.length} pictures, ${boxes} boxes, sha256 ${hash.digest('hex').slice(0, 16)}`;
}
