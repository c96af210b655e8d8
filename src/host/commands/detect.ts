/** "backdrop detect": pictures in, boxes out, as a table, as JSON, and drawn. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readClasses } from '../../../weights-tools/commands.ts';
import { openModelWeights } from '../../../weights-tools/model-weights.ts';
import { openNodeFile } from '../../../weights-tools/node-files.ts';
import { BackdropError } from '../../errors.ts';
import { models } from '../../models/configs.ts';
import { adapterName } from '../adapter-name.ts';
import { numberOption, textOption } from '../args.ts';
import type { Command } from '../cli.ts';
import type { DetectReply, DetectRequest, DetectTimings, LoadProgress, LoadReply, LoadRequest } from '../detect-messages.ts';
import { outputNames, writeFileAtomic } from '../files.ts';
import { exitCodeOf, type Io, reportError } from '../io.ts';
import { embeddedModel, sampleScenes } from '../packaged.ts';
import type { PageSession } from '../session.ts';
import { softwareWarning, withSession } from '../with-session.ts';

export const detect: Command = {
  spec: {
    name: 'detect',
    aliases: ['predict'],
    summary: 'find objects in pictures',
    usage: '[IMAGE...] [--weights FILE] [options]',
    description: [
      'Prints score, label and box of every object, in pixels of the original picture, and writes each picture with its boxes ' +
        'as a PNG. Nothing leaves this machine. One bad picture does not stop the others; the exit code is then 1.',
      'Without --weights the embedded model looks (16 classes of painted scenes), without a picture it looks at the sample scenes.',
      `Models: ${[...models.keys()].join(', ')}.`,
    ].join('\n'),
    positionals: { name: 'picture', min: 0, max: 100_000 },
    options: {
      weights: {
        type: 'string',
        value: 'FILE',
        help: 'the trained model: .safetensors, .pth or .pt, as PyTorch or Hugging Face write it (default: embedded)',
      },
      model: { type: 'string', value: 'NAME', help: 'the architecture, such as association-detr-r34 (default: what the file says)' },
      classes: { type: 'string', value: 'FILE', help: "names of the classes, one a line (default: the file's, or COCO's 80)" },
      threshold: { type: 'string', value: 'N', help: 'least score, 0 to 1 (default 0.5)' },
      size: {
        type: 'string',
        value: 'N',
        help: "input size of the network, a multiple of 32 (default: the model's, 640 for the published ones)",
      },
      max: { type: 'string', value: 'N', help: 'at most so many objects a picture (default 300)' },
      out: { type: 'string', value: 'DIR', help: 'folder for the annotated pictures (default detections; with --json none)' },
    },
    examples: [
      'backdrop detect',
      'backdrop detect photo.jpg --weights model.safetensors',
      'backdrop detect *.jpg --weights rtdetr_r50vd_6x_coco.pth --threshold 0.3 --out boxes',
      'backdrop detect photo.jpg --weights model.safetensors --json > boxes.jsonl',
    ],
  },
  async run(args, io) {
    const images = args.positionals.length > 0 ? args.positionals : sampleScenes();
    const weights = textOption(args, 'weights') ?? embeddedModel;
    const threshold = numberOption(args, 'threshold', 0.5, { min: 0, max: 1 });
    const size = numberOption(args, 'size', 0, { min: 32, max: 4096, integer: true, multipleOf: 32 }) || undefined;
    const maxResults = numberOption(args, 'max', 300, { min: 1, max: 300, integer: true });
    const out = textOption(args, 'out') ?? (io.json ? undefined : 'detections');
    const classes = textOption(args, 'classes');
    const wanted = { model: textOption(args, 'model'), labels: classes === undefined ? undefined : await readClasses(classes) };
    // Before Chrome starts: a wrong file should cost no time.
    if (images.length === 1) checkPicture(images[0]!);
    await tellWeights(weights, wanted, io);
    const targets = out === undefined ? [] : outputNames(images, out, '.detected.png');
    return withSession(io, async (session) => {
      const loaded = await load(session, io, { url: session.file(weights), name: basename(weights), ...(size ? { size } : {}), ...wanted });
      if (loaded.adapter.software) io.warn(softwareWarning);
      for (const warning of loaded.warnings) io.warn(warning);
      io.print(`${loaded.model} on ${adapterName(loaded.adapter)}${loaded.adapter.software ? ' (software adapter)' : ''}`);
      let code = 0;
      for (const [i, image] of images.entries()) {
        io.signal.throwIfAborted();
        try {
          const options = { threshold, maxResults, target: targets[i], index: i, count: images.length };
          await detectOne(session, io, image, loaded, options);
        } catch (error) {
          // A picture that cannot be read concerns itself only; a lost device or Chrome concerns all that follow.
          const own = error instanceof BackdropError && error.code === 'E_IMAGE';
          if (!own || images.length === 1) throw error;
          reportError(io, error);
          code = exitCodeOf(error);
        }
      }
      return code;
    });
  },
};

/** Looks through the structure of the file of weights, and says what it is and how it fits. */
async function tellWeights(path: string, { model, labels }: Pick<LoadRequest, 'model' | 'labels'>, io: Io): Promise<void> {
  const file = await openNodeFile(path);
  try {
    const { config, report } = await openModelWeights(file, {
      fileName: file.fileName,
      signal: io.signal,
      ...(model === undefined ? {} : { model }),
      ...(labels === undefined ? {} : { labels }),
    });
    const { loaded, missing, unexpected, misshaped, ignored, reinitialised, added, messages } = report;
    for (const message of messages) io.note(message);
    if (reinitialised.length > 0) io.warn('the new heads have learnt nothing yet: train them before you believe a box');
    const lists = { missing, unexpected, misshaped, ignored, reinitialised, added };
    io.emit({ type: 'weights', file: path, model: config.name, classes: config.classes, loaded: loaded.length, ...lists, messages });
  } finally {
    await file.close();
  }
}

async function load(session: PageSession, io: Io, request: LoadRequest): Promise<LoadReply> {
  io.progress('loading weights', 0);
  const reply = await session.call<LoadReply>('detect load', request, {
    signal: io.signal,
    onProgress: ({ label, fraction }: LoadProgress) => io.progress(label, fraction),
  });
  io.progressDone();
  return reply;
}

interface OneOptions {
  threshold: number;
  maxResults: number;
  target: string | undefined;
  index: number;
  count: number;
}

async function detectOne(session: PageSession, io: Io, image: string, loaded: LoadReply, options: OneOptions): Promise<void> {
  const { threshold, maxResults, target, index, count } = options;
  checkPicture(image);
  io.progress(count === 1 ? `detecting in ${image}` : `detecting in ${count} pictures`, count === 1 ? undefined : index / count);
  const request: DetectRequest = { url: session.file(image), name: image, threshold, maxResults, annotate: target !== undefined };
  const reply = await session.call<DetectReply>('detect image', request, { signal: io.signal });
  if (target !== undefined && reply.png) writeFileAtomic(target, reply.png);
  if (count === 1) io.progressDone();
  io.emit({
    type: 'detections',
    image,
    width: reply.width,
    height: reply.height,
    detections: reply.detections.map(({ score, label, box }) => ({ score, label, box })),
    timings: reply.timings,
    model: loaded.model,
    adapter: { name: adapterName(loaded.adapter), software: loaded.adapter.software },
    ...(target === undefined ? {} : { annotated: target }),
  });
  io.print(`\n${io.paint('bold', image)}  ${reply.width} × ${reply.height}`);
  for (const line of detectionTable(reply)) io.print(line);
  io.print(io.paint('dim', timingLine(reply.timings)));
  if (target !== undefined) io.print(`written to ${target}`);
}

/** How the files begin that a browser can decode: JPEG, PNG, GIF, BMP, WebP, AVIF and its relatives. */
const PICTURES = /^(?:\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP|....ftyp)/s;

/** Throws E_IMAGE unless there is such a file and it begins like a picture. */
function checkPicture(path: string): void {
  const wrong = (says: string, hint?: string) =>
    new BackdropError('E_IMAGE', says, { ...(hint ? { hint } : {}), details: { image: path } });
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) throw wrong(stats ? `${path} is a folder, not a picture` : `there is no picture ${path}`);
  if (stats.size === 0) throw wrong(`${path}: the file is empty`);
  const file = openSync(path, 'r');
  const head = Buffer.alloc(16);
  try {
    readSync(file, head);
  } finally {
    closeSync(file);
  }
  if (!PICTURES.test(head.toString('latin1'))) throw wrong(`${path}: this is no picture`, 'JPEG, PNG, WebP, AVIF, GIF and BMP are read.');
}

/** Score, label and box of each detection, strongest first. */
export function detectionTable({ detections }: Pick<DetectReply, 'detections'>): string[] {
  if (detections.length === 0) return ['  nothing found above the threshold'];
  const width = Math.max(5, ...detections.map(({ label }) => label.length));
  const number = (value: number) => value.toFixed(1).padStart(8);
  return [
    `  score  ${'label'.padEnd(width)}     xmin    ymin    xmax    ymax`,
    ...detections.map(
      ({ score, label, box }) =>
        `  ${score.toFixed(3)}  ${label.padEnd(width)} ${[box.xmin, box.ymin, box.xmax, box.ymax].map(number).join('')}`,
    ),
  ];
}

export function timingLine(timings: DetectTimings): string {
  const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  const { decode, preprocess, inference, postprocess } = timings;
  return `  decode ${ms(decode)}, pre ${ms(preprocess)}, inference ${ms(inference)}, post ${ms(postprocess)}`;
}
