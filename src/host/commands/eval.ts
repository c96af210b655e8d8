/** "backdrop eval": COCO's twelve numbers of a file of weights on a labelled set. */
import { basename } from 'node:path';
import { openModelWeights } from '../../../weights-tools/model-weights.ts';
import { openNodeFile } from '../../../weights-tools/node-files.ts';
import { type Category, splitNames } from '../../data/dataset.ts';
import { BackdropError } from '../../errors.ts';
import { formatClassTable } from '../../evaluation/class-rows.ts';
import { writeResults } from '../../evaluation/results-json.ts';
import { numberOption, textOption, usageError } from '../args.ts';
import type { Command } from '../cli.ts';
import type { EvalReply, EvalRequest } from '../eval-messages.ts';
import { writeFileAtomic } from '../files.ts';
import type { Io } from '../io.ts';
import { openData, splitOf } from '../open-data.ts';
import { statsOf } from '../train-report.ts';
import { softwareWarning, withSession } from '../with-session.ts';

export const evaluate: Command = {
  spec: {
    name: 'eval',
    aliases: ['val'],
    summary: 'measure a detector on labelled pictures',
    usage: '--data DATA --weights FILE [options]',
    description: "Prints COCO's twelve lines as pycocotools does, and a table of the classes. Exit code 1 below --min-ap.",
    positionals: { name: 'argument', min: 0, max: 0 },
    options: {
      data: { type: 'string', value: 'DATA', help: 'folder of the data set, or its data.yaml or JSON file' },
      weights: { type: 'string', value: 'FILE', help: 'the trained model: .safetensors, .pth or .pt' },
      model: { type: 'string', value: 'NAME', help: 'the architecture (default: what the file says)' },
      split: { type: 'string', value: 'NAME', help: 'train, val or test (default val)' },
      size: { type: 'string', alias: 'imgsz', value: 'N', help: "input size, a multiple of 32 (default: the model's)" },
      batch: { type: 'string', value: 'N', help: 'pictures at once (default 8)' },
      'save-json': {
        type: 'string',
        value: '[FILE]',
        alone: 'detections.json',
        help: "the detections in COCO's format for results (default detections.json)",
      },
      'min-ap': { type: 'string', value: 'X', help: 'fail where the AP is lower, 0 to 1' },
    },
    examples: [
      'backdrop eval --data pictures --weights runs/train/best.safetensors',
      'backdrop eval --data pictures --weights best.safetensors --split test --save-json detections.json --min-ap 0.5',
    ],
  },
  async run(args, io) {
    const need = (name: string): string => {
      const value = textOption(args, name);
      if (value === undefined) throw usageError(`eval needs --${name}`, '"backdrop eval --help" has examples.');
      return value;
    };
    const [data, weights] = [need('data'), need('weights')];
    const wanted = textOption(args, 'split') ?? 'val';
    const split = splitNames.find((name) => name === wanted);
    if (!split) throw usageError(`--split is "${wanted}"; expected ${splitNames.join(', ')}`);
    const size = numberOption(args, 'size', 0, { min: 32, max: 4096, integer: true, multipleOf: 32 });
    const batch = numberOption(args, 'batch', 8, { min: 1, max: 256, integer: true });
    const least = textOption(args, 'min-ap') === undefined ? null : numberOption(args, 'min-ap', 0, { min: 0, max: 1 });
    const json = textOption(args, 'save-json');
    const model = textOption(args, 'model') ?? null;
    const { dataset, root } = await openData(data, io);
    const records = splitOf(dataset, split);
    const { categories } = dataset;
    const labels = await labelsOf(weights, model, categories, io);
    return withSession(io, async (session) => {
      const request: EvalRequest = {
        ...{ model, categories, records, labels, batch },
        weights: { url: session.file(weights), name: basename(weights) },
        data: session.folder(root),
        size: size === 0 ? null : [size, size],
      };
      const reply = await session.call<EvalReply>('eval', request, {
        signal: io.signal,
        onProgress: (done: number) => io.progress(`detecting in ${records.length} pictures`, done),
      });
      io.progressDone();
      print(reply, split, records.length, io);
      if (json !== undefined) writeFileAtomic(json, writeResults(reply.detections, categories));
      const [ap] = reply.evaluation.stats;
      if (least === null || ap >= least) return 0;
      io.note(`AP ${ap.toFixed(3)} is below --min-ap ${least}`);
      return 1;
    });
  },
};

/** Where the file's classes stand in the data set. @throws BackdropError E_INPUT when none of them is in it */
async function labelsOf(path: string, model: string | null, categories: readonly Category[], io: Io): Promise<(number | null)[]> {
  const file = await openNodeFile(path);
  try {
    const { config, labels, report } = await openModelWeights(file, {
      fileName: file.fileName,
      signal: io.signal,
      ...(model === null ? {} : { model }),
    });
    for (const message of report.messages) io.note(message);
    const names = categories.map(({ name }) => name);
    if (!labels) {
      if (config.classes === names.length) return names.map((_, label) => label);
      throw new BackdropError('E_INPUT', `${path} does not name its ${config.classes} classes, and the data set has ${names.length}`);
    }
    const places = labels.map((label) => {
      const at = names.findIndex((name) => name.toLowerCase() === label.toLowerCase());
      return at < 0 ? null : at;
    });
    const missing = names.filter((_, label) => !places.includes(label));
    if (missing.length === names.length) {
      throw new BackdropError(
        'E_INPUT',
        `no class of the data set is among the model's: ${names.slice(0, 5).join(', ')} against ${labels.slice(0, 5).join(', ')}`,
      );
    }
    if (missing.length > 0) io.warn(`the model does not know ${missing.join(', ')}: their AP is 0`);
    return places;
  } finally {
    await file.close();
  }
}

function print(reply: EvalReply, split: string, images: number, io: Io): void {
  const { evaluation, adapter, model, seconds } = reply;
  if (adapter.software) io.warn(softwareWarning);
  for (const warning of reply.warnings) io.warn(warning);
  io.print(`${model} on ${adapter.name}, split ${split}: ${images} pictures in ${seconds.toFixed(1)} s`);
  for (const line of evaluation.lines) io.print(line);
  io.print('');
  for (const line of formatClassTable(evaluation)) io.print(line);
  io.emit({ type: 'evaluation', model, adapter, split, images, seconds, stats: statsOf(evaluation), classes: evaluation.rows });
}
