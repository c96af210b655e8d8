/** "backdrop data check": everything that is wrong with a data set, before a night is spent on it. */
import { checkDataset } from '../../../data/check.ts';
import { groupProblems } from '../../../data/problems.ts';
import { datasetStats } from '../../../data/stats.ts';
import type { Command } from '../../cli.ts';
import { dataPlace } from '../../data-directory.ts';
import { dataPositional, fromOption, openOptions, printGroup } from './options.ts';

export const check: Command = {
  spec: {
    name: 'data check',
    summary: 'say what is wrong with a data set',
    usage: 'DATA [--strict] [--from coco|yolo|voc]',
    description:
      'DATA is the folder of a data set, or the file that describes it. Every label is read, every picture looked into, and pictures ' +
      'that are in two splits are found by their content. Exit code 1 when there are errors, and with --strict also for warnings.',
    positionals: dataPositional,
    options: {
      from: fromOption,
      strict: { type: 'boolean', help: 'warnings count as errors' },
    },
    examples: ['backdrop data check cells/', 'backdrop data check coco/annotations/instances_val2017.json --strict'],
  },
  async run(args, io) {
    const { directory, file } = await dataPlace(args.positionals[0]!);
    const { dataset, problems, counts } = await checkDataset(directory, openOptions(args, file, io));
    io.progressDone();
    for (const problem of problems) io.emit({ type: 'problem', ...problem });
    for (const group of groupProblems(problems)) printGroup(group, io, io.print);
    const splits = datasetStats(dataset).map(({ split, images, boxes }) => ({ split, images, boxes }));
    const sound = counts.error === 0 && (counts.warning === 0 || !args.values.strict);
    const classes = dataset.categories.map(({ name }) => name);
    io.emit({ type: 'data check', format: dataset.format, classes, splits, errors: counts.error, warnings: counts.warning, sound });
    const parts = splits.map(({ split, images, boxes }) => `${split} ${images} images with ${boxes} boxes`);
    io.print(`${dataset.format.toUpperCase()}, ${classes.length} classes: ${parts.join(', ')}`);
    const verdict = counts.error + counts.warning === 0 ? 'nothing wrong' : `${counts.error} errors, ${counts.warning} warnings`;
    io.print(io.paint(sound ? 'green' : 'red', verdict));
    return sound ? 0 : 1;
  },
};
