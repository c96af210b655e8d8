/** Pictures that are there twice under different names. */
import type { DataDirectory, Dataset } from './dataset.ts';
import { readPart } from './directory.ts';
import { fileHash } from './hash.ts';
import { inParallel } from './parallel.ts';

/**
 * For each file with the same bytes as another, what they have in common: files are the same if they map to the same. Only files of
 * equal size are read. @throws what the directory throws
 */
export async function findDuplicates(dataset: Dataset, directory: DataDirectory, signal?: AbortSignal): Promise<Map<string, string>> {
  const files = [...new Set([...dataset.splits.values()].flatMap((records) => records.map(({ file }) => file)))];
  const sizes = await inParallel(files, async (file) => (await readPart(directory, file, 0, 1)).size, signal);
  const bySize = groupBy(files, (_, i) => sizes[i]!);
  const suspects = [...bySize.values()].filter((group) => group.length > 1).flat();
  const hashes = await inParallel(suspects, (file) => fileHash(directory, file), signal);
  const byHash = groupBy(suspects, (_, i) => hashes[i]!);
  const same = [...byHash].filter(([, group]) => group.length > 1);
  return new Map(same.flatMap(([hash, group]) => group.map((file) => [file, hash] as const)));
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T, index: number) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  items.forEach((item, i) => {
    const key = keyOf(item, i);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  });
  return groups;
}
