/**
 * From any supported file to the tensors one model needs: choose the state dictionary, rename, compare, report. What a model
 * needs is an argument (name to shape), so this file knows no model; `recognise.ts` names the likely one in messages.
 */
import { type ExpectedTensors, shapeText, type TensorSource } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { type Mapping, mapSource } from './mapped.ts';
import { fromBackgroundModule, fromPaddle, fromRfaConv, fromTorchvision } from './names/backbones.ts';
import { headsAreShared, tiedNames } from './names/detr.ts';
import { fromHuggingFace } from './names/hugging-face.ts';
import { toVersion, V2_BUFFERS, versionOf } from './names/rt-detr.ts';
import { type Architecture, recognise } from './recognise.ts';
import { selectStateDict } from './select.ts';

export interface FitReport {
  readonly architecture: Architecture;
  /** Where in the file the weights lay: 'ema.module', 'model', 'state_dict', ''. */
  readonly path: string;
  readonly loaded: readonly string[];
  /** Expected, not in the file, and not covered by the lists below. */
  readonly missing: readonly string[];
  /** In the file, of no use to the model. Their own names. */
  readonly unexpected: readonly string[];
  readonly misshaped: readonly { readonly name: string; readonly expected: readonly number[]; readonly found: readonly number[] }[];
  /** Quietly left aside or left to be computed: `num_batches_tracked`, v2's anchors. */
  readonly ignored: readonly string[];
  /** Prediction heads for another number of classes: to be initialised anew. */
  readonly reinitialised: readonly string[];
  /** Tensors of an Association Encoder the file's model does not have: to be initialised, with a zero gate. */
  readonly added: readonly string[];
  /** What to tell the user, one line each. */
  readonly messages: readonly string[];
}

export interface Fit {
  /** The loaded tensors under the model's names. */
  readonly source: TensorSource;
  readonly report: FitReport;
}

export interface FitOptions {
  /** Accept missing and mis-shaped tensors beyond heads and Association Encoder (a backbone alone, an experiment). */
  partial?: boolean;
  /** Also take the projection of a BAM pre-training file. */
  projection?: boolean;
  /** For messages. */
  fileName?: string;
}

/** A score head or a class embedding: its first extent follows from the number of classes. */
const HEAD = /(?:score_head|class_embed)(?:\.\d+)?\.(?:weight|bias)$/;
const COUNTER = /(?:^|\.)num_batches_tracked$/;
/** Families whose file is a part of a detector: everything else may be missing. */
const PARTS = new Set(['paddle-backbone', 'torchvision-resnet', 'rfaconv', 'background-module']);

/** Which family a set of expected names belongs to. */
function familyOf(expected: ExpectedTensors): Architecture['family'] {
  return recognise(new Map([...expected].map(([name, shape]) => [name, { name, dtype: 'f32', shape }]))).family;
}

/**
 * The file's tensors under official names: Hugging Face, Paddle, torchvision and RFAConv names are translated, RT-DETR's
 * version is changed to the one asked for. `unknown` holds names no map has a place for.
 */
export function toOfficialNames(
  source: TensorSource,
  architecture: Architecture,
  options: { version?: 1 | 2; projection?: boolean } = {},
): { source: TensorSource; unknown: string[] } {
  let official = source;
  const unknown: string[] = [];
  const apply = (mapped: { mapping: Mapping; unknown: readonly string[] }): void => {
    official = mapSource(official, mapped.mapping);
    unknown.push(...mapped.unknown);
  };
  if (architecture.huggingFace) apply(fromHuggingFace(source, options.version));
  else if (architecture.family === 'paddle-backbone') apply(fromPaddle(source));
  else if (architecture.family === 'torchvision-resnet') apply(fromTorchvision(source));
  else if (architecture.family === 'rfaconv') apply(fromRfaConv(source));
  else if (architecture.family === 'background-module') apply(fromBackgroundModule(source, options));
  if (options.version && (architecture.family === 'rt-detr' || architecture.family === 'background-module'))
    apply(toVersion(official, options.version));
  return { source: official, unknown };
}

/**
 * Fits a file to a model.
 *
 * @throws BackdropError E_CKPT_ARCH (another family, or tensors are missing), E_CKPT_SHAPE (tensors of other shapes); both say
 * what the file looks like and list the first differences. With `partial` only another family is an error.
 */
export function fitCheckpoint(file: TensorSource, expected: ExpectedTensors, options: FitOptions = {}): Fit {
  const { source: weights, path } = selectStateDict(file);
  const architecture = recognise(weights.tensors);
  const wanted = familyOf(expected);
  const part = PARTS.has(architecture.family);
  if (wanted !== 'unknown' && architecture.family !== 'unknown' && architecture.family !== wanted && !part) {
    throw new BackdropError(
      'E_CKPT_ARCH',
      `${options.fileName ?? 'the checkpoint'} holds ${architecture.title}; the model is of the family ${wanted}`,
      {
        hint: architecture.model ? `choose the model ${architecture.model}, or another file` : 'choose another file',
        details: { found: architecture, expected: wanted },
      },
    );
  }
  const version = versionOf(expected.keys());
  const official = toOfficialNames(weights, architecture, {
    ...(version ? { version } : {}),
    ...(options.projection === undefined ? {} : { projection: options.projection }),
  });

  const loaded: string[] = [];
  const missing: string[] = [];
  const ignored: string[] = [];
  const reinitialised: string[] = [];
  const added: string[] = [];
  const misshaped: { name: string; expected: readonly number[]; found: readonly number[] }[] = [];
  const found = official.source.tensors;
  // A tied tensor counts as found under any of its names.
  const aliases = new Map<string, string>();
  const shared = headsAreShared(new Set(found.keys()));
  for (const name of expected.keys()) {
    const alias = found.has(name) ? undefined : tiedNames(name).find((other, i) => found.has(other) && (i === 0 || shared));
    if (alias !== undefined && architecture.family === 'deformable-detr') aliases.set(name, alias);
  }
  const hasEncoder = [...found.keys()].some((name) => name.startsWith('association_encoder.'));
  let classes: [number, number] | undefined;
  for (const [name, shape] of expected) {
    const tensor = found.get(aliases.get(name) ?? name);
    if (!tensor) {
      if (COUNTER.test(name) || V2_BUFFERS.test(name)) ignored.push(name);
      else if (name.startsWith('association_encoder.') && (!hasEncoder || name === 'association_encoder.gate')) added.push(name);
      else missing.push(name);
    } else if (shapeText(tensor.shape) === shapeText(shape)) loaded.push(name);
    else if (V2_BUFFERS.test(name)) ignored.push(name);
    else if (HEAD.test(name) && shapeText(tensor.shape.slice(1)) === shapeText(shape.slice(1))) {
      reinitialised.push(name);
      // The class embedding has one row more than there are classes; a score head tells the number itself.
      if (!classes || !name.includes('denoising'))
        classes = name.includes('denoising') ? [tensor.shape[0]! - 1, shape[0]! - 1] : [tensor.shape[0]!, shape[0]!];
    } else misshaped.push({ name, expected: shape, found: tensor.shape });
  }
  const unexpected = [...official.unknown];
  for (const name of found.keys()) {
    if (expected.has(name)) continue;
    if (COUNTER.test(name) || V2_BUFFERS.test(name)) ignored.push(name);
    else unexpected.push(name);
  }
  const report: FitReport = { architecture, path, loaded, missing, unexpected, misshaped, ignored, reinitialised, added, messages: [] };
  if (!options.partial) refuse(report, part, options);
  const mapping: Mapping = new Map(loaded.map((name) => [name, [{ from: aliases.get(name) ?? name }]]));
  return { source: mapSource(official.source, mapping), report: { ...report, messages: messagesOf(report, classes) } };
}

/** DETR's heads count "no object" too; the message speaks of the heads' own numbers. */
function messagesOf(report: FitReport, classes: [number, number] | undefined): string[] {
  const { loaded, missing, unexpected, misshaped, ignored, reinitialised, added, architecture, path } = report;
  const aside = ignored.length > 0 ? `, ${ignored.length} ignored (counters and computed buffers)` : '';
  const messages = [`${architecture.title}${path && `, from ${path}`}: ${loaded.length} tensors loaded${aside}`];
  if (classes) messages.push(`${classes[0]} → ${classes[1]} classes: ${headPattern(reinitialised)} re-initialised`);
  if (added.length > 0)
    messages.push(
      `Association Encoder added: ${added.length} tensors initialised${added.includes('association_encoder.gate') ? ', gate zero' : ''}`,
    );
  if (missing.length > 0) messages.push(`missing: ${some(missing)}`);
  if (misshaped.length > 0) messages.push(`of another shape: ${some(misshaped.map(difference))}`);
  if (unexpected.length > 0) messages.push(`not used: ${some(unexpected)}`);
  return messages;
}

/** `decoder.*.score_head` for RT-DETR, `class_embed` for the DETR family. */
function headPattern(names: readonly string[]): string {
  return names.some((name) => name.includes('score_head')) ? 'decoder.*.score_head' : 'class_embed';
}

const difference = ({ name, expected, found }: FitReport['misshaped'][number]): string =>
  `${name} ${shapeText(found)} instead of ${shapeText(expected)}`;

/** The first five of a list, and how many more there are. */
function some(items: readonly string[]): string {
  return items.length <= 5 ? items.join(', ') : `${items.slice(0, 5).join(', ')} and ${items.length - 5} more`;
}

function refuse(report: FitReport, part: boolean, { fileName: file = 'the checkpoint', partial }: FitOptions): void {
  const { missing, misshaped, loaded, architecture } = report;
  const fits = architecture.model ? `the file fits the model ${architecture.model}` : 'choose another model or file';
  // Only where the caller has that choice.
  const hint = partial === undefined ? fits : `${fits}; --partial loads what fits`;
  const details = { missing: missing.slice(0, 5), misshaped: misshaped.slice(0, 5), loaded: loaded.length, found: architecture };
  if (loaded.length === 0) {
    throw new BackdropError('E_CKPT_ARCH', `${file} holds ${architecture.title}: none of its tensors fits the model`, { hint, details });
  }
  if (misshaped.length > 0) {
    const facts = `${misshaped.length} tensors have other shapes: ${some(misshaped.map(difference))}`;
    throw new BackdropError('E_CKPT_SHAPE', `${file} holds ${architecture.title}; ${facts}`, { hint, details });
  }
  if (missing.length > 0 && !part) {
    throw new BackdropError('E_CKPT_ARCH', `${file} holds ${architecture.title}; ${missing.length} tensors are missing: ${some(missing)}`, {
      hint,
      details,
    });
  }
}
