/** "backdrop data check": everything that is wrong with a data set, before a night is spent on it. */
import { splitNames } from '../../../data/dataset.ts';
import { readDataset } from '../../../data/open.ts';
import { groupProblems, type ProblemGroup } from '../../../data/problems.ts';
import type { Command } from '../../cli.ts';
import { dataPlace } from '../../data-directory.ts';
import type { Io } from '../../io.ts';
import { formatOption, formatOptionSpec } from './options.ts';

export const check: Command = {
  spec: {
    name: 'data check',
    summary: 'say what is wrong with a data set',
    usage: 'DATA [--strict] [--from coco|yolo|voc]',
    description:
      'DATA is the folder of a data set, or the file that describes it. Every label is read and every picture looked into. ' +
      'Exit code 1 when there are errors, and with --strict also when there are warnings.',
    positionals: { name: 'data set (a folder or file)', min: 1, max: 1 },
    options: {
      from: formatOptionSpec,
      strict: { type: 'boolean', help: 'warnings count as errors' },
    },
    examples: ['backdrop data check cells/', 'backdrop data check coco/annotations/instances_val2017.json --strict'],
  },
  async run(args, io) {
    const { directory, file } = await dataPlace(args.positionals[0]!);
    const { dataset, problems } = await readDataset(directory, {
      ...formatOption(args, 'from'),
      ...(file === undefined ? {} : { file }),
      checkImages: true,
      signal: io.signal,
      onProgress: (done, total) => io.progress('looking into the pictures', done / total),
    });
    io.progressDone();
    for (const problem of problems) io.emit({ type: 'problem', ...problem });
    const groups = groupProblems(problems);
    for (const group of groups) printGroup(group, io);
    const count = (severity: string) => problems.filter((problem) => problem.severity === severity).length;
    const [errors, warnings] = [count('error'), count('warning')];
    const splits = splitNames.flatMap((split) => {
      const records = dataset.splits.get(split);
      return records
        ? [{ split, images: records.length, boxes: records.reduce((sum, { annotations }) => sum + annotations.length, 0) }]
        : [];
    });
    const sound = errors === 0 && (warnings === 0 || !args.values.strict);
    io.emit({
      type: 'data check',
      format: dataset.format,
      classes: dataset.categories.map(({ name }) => name),
      splits,
      errors,
      warnings,
      sound,
    });
    const parts = splits.map(({ split, images, boxes }) => `${split} ${images} images with ${boxes} boxes`);
    io.print(`${dataset.format.toUpperCase()}, ${dataset.categories.length} classes: ${parts.join(', ')}`);
    const verdict = errors + warnings === 0 ? 'nothing wrong' : `${errors} errors, ${warnings} warnings`;
    io.print(io.paint(sound ? 'green' : 'red', verdict));
    return sound ? 0 : 1;
  },
};

function printGroup({ severity, code, count, first }: ProblemGroup, io: Io): void {
  const style = { error: 'red', warning: 'yellow', info: 'dim' } as const;
  io.print(`${io.paint(style[severity], severity)} ${code}${count > 1 ? ` (${count})` : ''}`);
  for (const { message } of first) io.print(`  ${message}`);
  if (count > first.length) io.print(`  … and ${count - first.length} more`);
}
