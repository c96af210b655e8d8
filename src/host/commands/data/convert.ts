/** "backdrop data convert": the same set in another format. */
import { usageError } from '../../args.ts';
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

export const convertData: Command = {
  spec: {
    name: 'data convert',
    summary: 'write a data set as COCO, YOLO or Pascal VOC',
    usage: 'DATA --to coco|yolo|voc --out DIR [options]',
    description: 'What the format cannot hold is named. Pictures that cannot be read, and boxes without area, are left behind.',
    positionals: dataPositional,
    options: {
      to: { type: 'string', value: 'coco|yolo|voc', help: 'the format to be written' },
      out: outOption,
      images: imagesOption,
      from: fromOption,
    },
    examples: [
      'backdrop data convert cells/ --to yolo --out cells-yolo',
      'backdrop data convert voc/ --to coco --out voc-coco --images link',
    ],
  },
  async run(args, io) {
    const to = formatOption(args, 'to');
    if (to === undefined) throw usageError('--to is missing: coco, yolo or voc');
    const images = imageMode(args);
    const out = await outFolder(args);
    const { dataset, root } = await openArgument(args, io);
    await writeOut(dataset, to, out, root, images, io);
    return 0;
  },
};
