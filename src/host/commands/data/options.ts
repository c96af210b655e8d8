/** What several sub-commands of "backdrop data" have in common. */
import type { DataDirectory, Dataset } from '../../../data/dataset.ts';
import { openDataset } from '../../../data/open.ts';
import { groupProblems, type ProblemGroup } from '../../../data/problems.ts';
import { writeDataset } from '../../../data/write.ts';
import { type Args, type OptionSpec, textOption, usageError } from '../../args.ts';
import { dataPlace } from '../../data-directory.ts';
import { refuseFullFolder, writeDatasetTo } from '../../data-write.ts';
import type { Io } from '../../io.ts';

type Format = Dataset['format'];
const formats: readonly Format[] = ['coco', 'yolo', 'voc'];

export const fromOption: OptionSpec = { type: 'string', value: 'coco|yolo|voc', help: 'the format DATA is in (default: found out)' };
export const outOption: OptionSpec = { type: 'string', value: 'DIR', help: 'the folder to be made; nothing is overwritten' };
export const imagesOption: OptionSpec = {
  type: 'string',
  value: 'copy|link',
  help: 'copy the pictures (default), or link to them where they are',
};
export const dataPositional = { name: 'data set (a folder or file)', min: 1, max: 1 };

/** One of the values that an option allows. Throws E_CLI_USAGE. */
export function choiceOption<T extends string>(args: Args, name: string, choices: readonly T[]): T | undefined {
  const text = textOption(args, name);
  if (text === undefined) return undefined;
  const choice = choices.find((known) => known === text.toLowerCase());
  if (!choice) throw usageError(`--${name} is "${text}"; expected one of ${choices.join(', ')}`);
  return choice;
}

export const formatOption = (args: Args, name: string): Format | undefined => choiceOption(args, name, formats);

/** Options for `readDataset` and `openDataset`, out of --from, the file that DATA may be, and the terminal. */
export function openOptions(args: Args, file: string | undefined, io: Io) {
  const format = formatOption(args, 'from');
  return {
    ...(format === undefined ? {} : { format }),
    ...(file === undefined ? {} : { file }),
    signal: io.signal,
    onProgress: (done: number, total: number) => io.progress('looking into the pictures', done / total),
  };
}

/** The data set that the first argument names, its warnings printed. Throws E_DATA when it has errors. */
export async function openArgument(args: Args, io: Io): Promise<{ dataset: Dataset; directory: DataDirectory; root: string }> {
  const { directory, root, file } = await dataPlace(args.positionals[0]!);
  const { dataset, problems } = await openDataset(directory, { ...openOptions(args, file, io), checkImages: true });
  io.progressDone();
  for (const group of groupProblems(problems)) printGroup(group, io, io.note);
  return { dataset, directory, root };
}

/** The first findings of a kind, and how many there are. */
export function printGroup({ severity, code, count, first }: ProblemGroup, io: Io, print: (text: string) => void): void {
  const style = { error: 'red', warning: 'yellow', info: 'dim' } as const;
  print(`${io.paint(style[severity], severity)} ${code}${count > 1 ? ` (${count})` : ''}`);
  for (const { message } of first) print(`  ${message}`);
  if (count > first.length) print(`  … and ${count - first.length} more`);
}

/** --out, checked before any work is done. Throws E_CLI_USAGE, E_FILE_EXISTS. */
export async function outFolder(args: Args): Promise<string> {
  const out = textOption(args, 'out');
  if (out === undefined) throw usageError('--out DIR is missing', 'It names the folder to be made.');
  await refuseFullFolder(out);
  return out;
}

export const imageMode = (args: Args): 'copy' | 'link' => choiceOption(args, 'images', ['copy', 'link']) ?? 'copy';

/** Writes the set and says what was written and what was lost. */
export async function writeOut(
  dataset: Dataset,
  format: Format,
  out: string,
  source: string,
  images: 'copy' | 'link',
  io: Io,
): Promise<void> {
  const written = writeDataset(dataset, format);
  await writeDatasetTo(out, written, {
    source,
    images,
    signal: io.signal,
    onProgress: (done, total) => io.progress(images === 'copy' ? 'copying the pictures' : 'linking the pictures', done / total),
  });
  io.progressDone();
  for (const loss of written.losses) io.warn(loss);
  const splits = [...dataset.splits].map(([split, records]) => ({ split, images: records.length }));
  io.emit({ type: 'data written', out, format, splits, losses: written.losses });
  io.print(`${format.toUpperCase()} in ${io.paint('bold', out)}: ${splits.map((one) => `${one.split} ${one.images}`).join(', ')} images`);
}
