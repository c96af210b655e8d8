/** "backdrop data scenes": a labelled data set from nothing but a seed. */
import { numberOption, textOption, usageError } from '../../args.ts';
import type { Command } from '../../cli.ts';
import { writeScenes } from '../../scenes.ts';

export const scenes: Command = {
  spec: {
    name: 'data scenes',
    summary: 'make a data set of generated outdoor pictures, without a download',
    usage: '--out DIR --images N [options]',
    description:
      'Painted landscapes with 16 classes of objects, mostly where they belong, with exact boxes as COCO JSON and the region of every ' +
      'pixel. The same seed, size and number give the same files.',
    positionals: { name: 'argument', min: 0, max: 0 },
    options: {
      out: { type: 'string', value: 'DIR', help: 'a new folder' },
      images: { type: 'string', value: 'N', help: 'how many pictures' },
      seed: { type: 'string', value: 'N', help: 'a whole number (default 1)' },
      size: { type: 'string', value: 'WxH', help: 'pixels of a picture (default 640x480)' },
      split: { type: 'string', value: 'A,B,C', help: 'shares of train, val and test (default 0.8,0.1,0.1)' },
      elsewhere: { type: 'string', value: 'P', help: 'probability that an object is where it does not belong (default 0.15)' },
      'no-regions': { type: 'boolean', help: 'leave out the region maps (labels/*.regions.txt), which need more room than the pictures' },
    },
    examples: [
      'backdrop data scenes --out scenes --images 2000 --seed 1',
      'backdrop data scenes --out small --images 500 --size 320x240 --no-regions',
    ],
  },
  async run(args, io) {
    const out = textOption(args, 'out');
    if (out === undefined) throw usageError('data scenes needs --out DIR', 'It names the folder to make.');
    if (textOption(args, 'images') === undefined) throw usageError('data scenes needs --images N');
    const images = numberOption(args, 'images', 0, { min: 1, max: 1_000_000, integer: true });
    const seed = numberOption(args, 'seed', 1, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true });
    const elsewhere = numberOption(args, 'elsewhere', 0.15, { min: 0, max: 1 });
    const [width, height] = sizeOption(textOption(args, 'size') ?? '640x480');
    const split = splitOption(textOption(args, 'split') ?? '0.8,0.1,0.1');
    const start = performance.now();
    const set = { out, seed, images, width, height, split, elsewhere, regions: !args.values['no-regions'] };
    const counts = await writeScenes(set, (done) => io.progress('painting', done / images), io.signal);
    io.progressDone();
    const seconds = (performance.now() - start) / 1000;
    io.emit({ type: 'data scenes', out, seed, width, height, splits: counts, seconds });
    const parts = Object.entries(counts).filter(([, { images }]) => images > 0);
    io.print(parts.map(([name, { images, boxes }]) => `${name} ${images} pictures with ${boxes} boxes`).join(', '));
    io.print(`${out}: ${images} pictures in ${seconds.toFixed(1)} s, ${(images / seconds).toFixed(1)} a second`);
    return 0;
  },
};

function sizeOption(text: string): [number, number] {
  const match = /^(\d+)x(\d+)$/.exec(text);
  const [width, height] = [Number(match?.[1]), Number(match?.[2])];
  const fits = width >= 96 && width <= 4096 && height >= 0.4 * width && height <= 1.6 * width;
  if (!fits)
    throw usageError(
      `--size is "${text}"; expected WIDTHxHEIGHT, such as 640x480: a width from 96 to 4096, a height 0.4 to 1.6 times that`,
    );
  return [width, height];
}

function splitOption(text: string): [number, number, number] {
  const [train = NaN, val = NaN, test = NaN, ...more] = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  const shares = [train, val, test];
  if (more.length > 0 || !shares.every((share) => share >= 0) || Math.abs(train + val + test - 1) > 1e-6) {
    throw usageError(`--split is "${text}"; expected three shares that add up to 1, such as 0.8,0.1,0.1`);
  }
  return [train, val, test];
}
