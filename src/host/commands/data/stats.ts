/** "backdrop data stats": classes, sizes and shapes in numbers. */
import { datasetHash } from '../../../data/hash.ts';
import { datasetStats, type Quartiles, type SplitStats } from '../../../data/stats.ts';
import type { Command } from '../../cli.ts';
import type { Io } from '../../io.ts';
import { dataPositional, fromOption, openArgument } from './options.ts';

export const stats: Command = {
  spec: {
    name: 'data stats',
    summary: 'count the classes, boxes and sizes of a data set',
    usage: 'DATA [--from coco|yolo|voc]',
    positionals: dataPositional,
    options: { from: fromOption },
    examples: ['backdrop data stats cells/', 'backdrop data stats cells/ --json > cells.json'],
  },
  async run(args, io) {
    const { dataset, directory } = await openArgument(args, io);
    const splits = datasetStats(dataset);
    const hash = await datasetHash(dataset, directory, io.signal);
    io.emit({ type: 'data stats', format: dataset.format, hash, splits });
    io.print(`${dataset.format.toUpperCase()}, ${dataset.categories.length} classes, hash ${hash.slice(0, 16)}`);
    printClasses(splits, io);
    for (const split of splits) printSplit(split, io);
    return 0;
  },
};

/** One row a class: images and boxes of each split. */
function printClasses(splits: readonly SplitStats[], io: Io): void {
  const names = splits[0]?.classes.map(({ name }) => name) ?? [];
  const width = Math.max(5, ...names.map((name) => name.length));
  const row = (name: string, cells: readonly (readonly [string | number, string | number])[]) =>
    `  ${name.padEnd(width)}${cells.map(([images, boxes]) => `${String(images).padStart(10)}${String(boxes).padStart(9)}`).join('')}`;
  io.print('');
  io.print(io.paint('dim', `  ${''.padEnd(width)}${splits.map(({ split }) => split.padStart(19)).join('')}`));
  io.print(
    io.paint(
      'dim',
      row(
        'class',
        splits.map(() => ['images', 'boxes'] as const),
      ),
    ),
  );
  for (const [i, name] of names.entries())
    io.print(
      row(
        name,
        splits.map(({ classes }) => [classes[i]!.images, classes[i]!.boxes] as const),
      ),
    );
  io.print(
    io.paint(
      'bold',
      row(
        'all',
        splits.map(({ images, boxes }) => [images, boxes] as const),
      ),
    ),
  );
}

function printSplit({ split, images, boxes, crowds, background, small, medium, large, ...measured }: SplitStats, io: Io): void {
  const percent = (count: number) => `${count} (${Math.round((100 * count) / Math.max(1, boxes))} %)`;
  io.print(`\n${io.paint('bold', split)}: ${images} images, ${background} of them without a box; ${boxes} boxes and ${crowds} crowds`);
  io.print(`  small (below 32²) ${percent(small)}, medium ${percent(medium)}, large (above 96²) ${percent(large)}`);
  io.print(io.paint('dim', `  ${''.padEnd(30)}${['least', '25 %', 'median', '75 %', 'most'].map((head) => head.padStart(9)).join('')}`));
  const rows: [string, Quartiles | undefined, number][] = [
    ['boxes in an image', measured.boxesPerImage, 0],
    ['side of a box, % of the image', measured.relativeSize, 1],
    ['width / height of a box', measured.aspect, 2],
    ['width of an image', measured.imageWidth, 0],
    ['height of an image', measured.imageHeight, 0],
  ];
  for (const [name, values, digits] of rows) {
    if (values) io.print(`  ${name.padEnd(30)}${values.map((value) => value.toFixed(digits).padStart(9)).join('')}`);
  }
}
