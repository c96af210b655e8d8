/** "backdrop data split": train, val and test by lot, every class divided alike. */
import { findDuplicates } from '../../../data/duplicates.ts';
import { splitDataset } from '../../../data/split.ts';
import { numberOption, usageError } from '../../args.ts';
import type { Command } from '../../cli.ts';
import {
  dataPositional,
  formatOption,
  fromOption,
  imageMode,
  imagesOption,
  openArgument,
  outFolder,
  outOption,
  writeOut,
} from './options.ts';

export const split: Command = {
  spec: {
    name: 'data split',
    summary: 'divide the images among train, val and test',
    usage: 'DATA --out DIR [--val 0.2] [--test 0] [--seed N] [options]',
    description:
      'All images of the set are divided anew, so that every class is divided alike; pictures with the same content stay together. ' +
      'The same seed gives the same splits.',
    positionals: dataPositional,
    options: {
      out: outOption,
      val: { type: 'string', value: 'PART', help: 'part of the images for val (default 0.2)' },
      test: { type: 'string', value: 'PART', help: 'part of the images for test (default 0)' },
      seed: { type: 'string', value: 'N', help: 'what the lot is drawn from (default 0)' },
      to: { type: 'string', value: 'coco|yolo|voc', help: 'the format to be written (default: that of DATA)' },
      images: imagesOption,
      from: fromOption,
    },
    examples: [
      'backdrop data split photos/ --out photos-split --val 0.15 --test 0.15',
      'backdrop data split photos/ --out again --seed 7 --images link',
    ],
  },
  async run(args, io) {
    const val = numberOption(args, 'val', 0.2, { min: 0, max: 1 });
    const test = numberOption(args, 'test', 0, { min: 0, max: 1 });
    const seed = numberOption(args, 'seed', 0, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    if (val + test >= 1) throw usageError(`--val ${val} and --test ${test} leave nothing for train`);
    const images = imageMode(args);
    const to = formatOption(args, 'to');
    const out = await outFolder(args);
    const { dataset, directory, root } = await openArgument(args, io);
    const together = await findDuplicates(dataset, directory, io.signal);
    if (together.size > 0) io.note(`${together.size} pictures have a twin with the same content; twins stay together`);
    const divided = splitDataset(dataset, { fractions: { train: 1 - val - test, val, test }, seed, together });
    await writeOut(divided, to ?? dataset.format, out, root, images, io);
    return 0;
  },
};
