/** The function behind `backdrop convert`: any supported file to safetensors or .pth, in a stream that holds one tensor at a time. */
import { planSafetensors } from '../src/checkpoints/safetensors.ts';
import { type ExpectedTensors, fromFloat32, type TensorInfo, type TensorSource, toFloat32 } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { type FitReport, fitCheckpoint, toOfficialNames } from './fit.ts';
import { mapSource } from './mapped.ts';
import { toHuggingFace } from './names/hugging-face.ts';
import { versionOf } from './names/rt-detr.ts';
import { type Architecture, recognise } from './recognise.ts';
import { selectStateDict } from './select.ts';
import { statisticsOf } from './statistics.ts';
import { isTorchSource } from './torch-source.ts';
import { type PthTensor, type PthValue, pthTensor, writePth } from './write-pth.ts';

export interface ConvertOptions {
  readonly format: 'safetensors' | 'pth';
  /** Type of the floating-point tensors; integers keep theirs. Default: as in the file. */
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  /** Names in the output. Default 'official': Hugging Face and backbone names are translated, RT-DETR's version is kept. */
  readonly names?: 'official' | 'v1' | 'v2' | 'hugging-face' | 'keep';
  /** Write exactly this model's tensors; the file must hold all of them (heads may differ in classes and are then left out). */
  readonly expected?: ExpectedTensors;
  /** With `expected`: write what fits even if tensors are missing. */
  readonly partial?: boolean;
  /** Class names, stored beside the weights. Their number must be that of the score heads. */
  readonly classes?: readonly string[];
  /** For .pth: 'training' writes `{model, ema: {module}}`, which the official scripts resume and tune from; 'bare' the dictionary. */
  readonly layout?: 'training' | 'bare';
  readonly fileName?: string;
  readonly onProgress?: (progress: { done: number; total: number }) => void;
}

export interface Conversion {
  readonly architecture: Architecture;
  /** The file's bytes; to be consumed once. */
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly tensors: readonly TensorInfo[];
  /** Names with NaN or infinite values, found while the chunks were consumed. */
  readonly nonFinite: readonly string[];
  /** Only with `expected`. */
  readonly report?: FitReport;
  /** Lines for the user. */
  readonly messages: readonly string[];
}

/** Keys of what Backdrop stores beside the weights. */
export const METADATA = { classes: 'classes', model: 'model', config: 'config' } as const;

const FLOATS = new Set(['f32', 'f16', 'bf16', 'f64']);

/** Class names stored by {@link convertCheckpoint}, in either format. */
export function classNamesOf(source: TensorSource): string[] | undefined {
  let names: unknown;
  if (isTorchSource(source)) names = source.root instanceof Map ? source.root.get(METADATA.classes) : undefined;
  else {
    try {
      names = JSON.parse(source.metadata.get(METADATA.classes) ?? 'null');
    } catch {
      return undefined;
    }
  }
  return Array.isArray(names) && names.every((name) => typeof name === 'string') ? names : undefined;
}

/** Renames the weights as asked. */
function rename(
  weights: TensorSource,
  architecture: Architecture,
  names: ConvertOptions['names'],
): { source: TensorSource; dropped: string[] } {
  if (names === 'keep') return { source: weights, dropped: [] };
  const wanted = names === 'v1' ? 1 : names === 'v2' ? 2 : undefined;
  const { source, unknown } = toOfficialNames(weights, architecture, wanted ? { version: wanted } : {});
  if (names !== 'hugging-face') return { source, dropped: unknown };
  const version = versionOf(source.tensors.keys());
  if (!version) {
    throw new BackdropError('E_CKPT_ARCH', `${architecture.title} has no Hugging Face names here; RT-DETR has`, {
      hint: 'leave --names out',
    });
  }
  const mapped = toHuggingFace(source, version);
  return { source: mapSource(source, mapped.mapping), dropped: [...unknown, ...mapped.unknown] };
}

/**
 * Prepares a conversion. Nothing is read until `chunks` is consumed.
 *
 * @throws BackdropError E_CKPT_ARCH and E_CKPT_SHAPE (with `expected`), E_CKPT_DTYPE, E_INPUT (class names), and while the chunks
 * are consumed the reader's errors
 */
export function convertCheckpoint(file: TensorSource, options: ConvertOptions): Conversion {
  const { source: weights, path } = selectStateDict(file);
  const architecture = recognise(weights.tensors);
  const messages: string[] = [];
  let source: TensorSource;
  let report: FitReport | undefined;
  if (options.expected) {
    const fit = fitCheckpoint(file, options.expected, {
      partial: options.partial ?? false,
      ...(options.fileName === undefined ? {} : { fileName: options.fileName }),
    });
    ({ source, report } = fit);
    messages.push(...fit.report.messages);
    if (options.names === 'hugging-face') source = rename(source, recognise(source.tensors), 'hugging-face').source;
  } else {
    const renamed = rename(weights, architecture, options.names);
    source = renamed.source;
    messages.push(`${architecture.title}${path && `, from ${path}`}: ${source.tensors.size} tensors`);
    if (renamed.dropped.length > 0)
      messages.push(`left out, no name for them: ${renamed.dropped.slice(0, 5).join(', ')}${renamed.dropped.length > 5 ? ', …' : ''}`);
  }
  if (source.tensors.size === 0) {
    throw new BackdropError('E_CKPT_ARCH', `${options.fileName ?? 'the checkpoint'} holds no tensors to convert`, {
      hint: 'run `backdrop inspect` on it',
    });
  }
  if (options.names !== 'hugging-face' && versionOf(source.tensors.keys()) === 2 && !source.tensors.has('decoder.anchors')) {
    messages.push("version 2's buffers (decoder.anchors, valid_mask, num_points_scale) are not in the file: load it with strict=False");
  }
  checkClasses(options.classes, architecture);

  const nonFinite: string[] = [];
  const tensors = [...source.tensors.values()].map((info) =>
    options.dtype && FLOATS.has(info.dtype) ? { ...info, dtype: options.dtype } : info,
  );
  let done = 0;
  const read = async (info: TensorInfo): Promise<Uint8Array> => {
    const from = source.tensors.get(info.name)!.dtype;
    let bytes = await source.readBytes(info.name);
    if (FLOATS.has(from)) {
      const values = toFloat32(bytes, from, info.name);
      const broken = statisticsOf(values).nonFinite > 0;
      if (from !== info.dtype) bytes = fromFloat32(values, info.dtype, info.name);
      if (broken || (info.dtype === 'f16' && overflows(bytes))) nonFinite.push(info.name);
    }
    options.onProgress?.({ done: ++done, total: tensors.length });
    return bytes;
  };
  const model = architecture.model;
  const chunks =
    options.format === 'safetensors'
      ? safetensorsChunks(tensors, read, metadataOf(options.classes ?? classNamesOf(file), model, ownConfig(file, options)))
      : writePth(pthRoot(tensors, read, options, options.classes ?? classNamesOf(file), model));
  return { architecture, chunks, tensors, nonFinite, messages, ...(report ? { report } : {}) };
}

/** True if a float16 array holds an infinity: values beyond 65504 do not fit. */
function overflows(bytes: Uint8Array): boolean {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2).some((half) => (half & 0x7fff) === 0x7c00);
}

function checkClasses(classes: readonly string[] | undefined, architecture: Architecture): void {
  if (classes && architecture.classes !== undefined && classes.length !== architecture.classes) {
    throw new BackdropError(
      'E_INPUT',
      `${classes.length} class names were given; the checkpoint's heads have ${architecture.classes} classes`,
      {
        hint: 'one name a line, in the order of the class numbers',
      },
    );
  }
}

/** What a file that Backdrop trained says about its model, where the copy holds the same tensors under the same names. */
function ownConfig({ metadata }: TensorSource, { names, expected }: ConvertOptions): Map<string, string> {
  const same = names !== 'hugging-face' && expected === undefined;
  const kept = same ? [METADATA.model, METADATA.config].map((key) => [key, metadata.get(key)] as const) : [];
  return new Map(kept.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));
}

function metadataOf(
  classes: readonly string[] | undefined,
  model: string | undefined,
  own: ReadonlyMap<string, string>,
): Map<string, string> {
  const metadata = new Map([['format', 'pt'], ...own]);
  if (classes) metadata.set(METADATA.classes, JSON.stringify(classes));
  if (model) metadata.set(METADATA.model, model);
  return metadata;
}

async function* safetensorsChunks(
  tensors: readonly TensorInfo[],
  read: (info: TensorInfo) => Promise<Uint8Array>,
  metadata: ReadonlyMap<string, string>,
): AsyncGenerator<Uint8Array> {
  const plan = planSafetensors(tensors, metadata);
  yield plan.header;
  for (const info of plan.order) yield await read(info);
}

function pthRoot(
  tensors: readonly TensorInfo[],
  read: (info: TensorInfo) => Promise<Uint8Array>,
  options: ConvertOptions,
  classes: readonly string[] | undefined,
  model: string | undefined,
): PthValue {
  const state = new Map<string, PthTensor>(tensors.map((info) => [info.name, pthTensor(info, () => read(info))]));
  if (options.layout === 'bare') return state;
  // Both entries name the same storages, so the copy costs nothing.
  const root = new Map<string, PthValue>([
    ['model', state],
    ['ema', new Map<string, PthValue>([['module', state]])],
    ['last_epoch', -1],
  ]);
  if (classes) root.set(METADATA.classes, classes);
  if (model) root.set('architecture', model);
  return root;
}
