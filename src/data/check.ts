/** Everything that is wrong with a data set: what reading it shows, every picture looked into, and the same picture in two splits. */
import type { DataDirectory, Split } from './dataset.ts';
import { findDuplicates } from './duplicates.ts';
import { type OpenedDataset, type OpenOptions, readDataset } from './open.ts';
import { type DataProblem, ProblemList, type Severity } from './problems.ts';

export interface CheckedDataset extends OpenedDataset {
  readonly counts: Readonly<Record<Severity, number>>;
}

/** @throws BackdropError E_DATA where there is no data set to be checked */
export async function checkDataset(directory: DataDirectory, options: Omit<OpenOptions, 'checkImages'> = {}): Promise<CheckedDataset> {
  const { dataset, problems } = await readDataset(directory, { ...options, checkImages: true });
  const leaks = new ProblemList();
  const duplicates = await findDuplicates(dataset, directory, options.signal);
  const first = new Map<string, { file: string; split: Split }>();
  for (const [split, records] of dataset.splits) {
    for (const { file, id } of records) {
      const key = duplicates.get(file);
      if (key === undefined) continue;
      const twin = first.get(key);
      if (!twin) first.set(key, { file, split });
      else if (twin.split !== split && twin.file !== file) {
        leaks.add('warning', 'leak', `the same picture is in ${twin.split} as ${twin.file}`, { file, id });
      }
    }
  }
  const all = [...problems, ...leaks.all];
  return { dataset, problems: all, counts: countProblems(all) };
}

function countProblems(problems: readonly DataProblem[]): Record<Severity, number> {
  const counts = { error: 0, warning: 0, info: 0 };
  for (const { severity } of problems) counts[severity]++;
  return counts;
}
