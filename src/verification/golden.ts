/**
 * Golden files: safetensors with PyTorch's inputs and results. Their metadata says what they are; file names say nothing.
 */
import type { TensorSource } from '../checkpoints/tensors.ts';
import { tensorOf } from '../checkpoints/tensors.ts';
import { BackdropError } from '../errors.ts';
import type { SeedOverrides } from './formula.ts';

/** Error of PyTorch's own float32 run against float64. */
export interface RecordedError {
  readonly maxAbs: number;
  readonly relL2: number;
}

export interface GoldenTensor {
  readonly shape: readonly number[];
  /** As in the file: f32, i32, u8 (booleans). */
  readonly dtype: string;
  readonly values: Float32Array;
}

/**
 * One operation: inputs `<name>/in/<input>`, float64 results `<name>/out/<output>`, and for the gradients `<name>/gout/<output>`,
 * which arrive at the outputs of `upstream`, and `<name>/grad/<input>`, which leave at the inputs of `grads`.
 */
export interface OpsCase {
  readonly name: string;
  readonly op: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly upstream: readonly string[];
  readonly grads: readonly string[];
  /** By output, and by `grad/<input>`. */
  readonly recorded: ReadonlyMap<string, RecordedError>;
}

export interface OpsFile {
  readonly kind: 'ops';
  readonly source: TensorSource;
  readonly cases: readonly OpsCase[];
}

export interface Stage {
  readonly name: string;
  /** The whole tensor's, in PyTorch's layout. */
  readonly shape: readonly number[];
  readonly recorded: RecordedError | null;
}

/** A forward pass of a whole model with formula weights. */
export interface ModelFile {
  readonly kind: 'full' | 'eval';
  readonly source: TensorSource;
  readonly model: string;
  /** Sizes of a small model; absent where the name says all. */
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly seed: string;
  readonly overrides: SeedOverrides;
  /** Formula keys, one an image; or the photograph beside the file. */
  readonly images: readonly string[] | 'photo';
  /** [images, 3, height, width] */
  readonly inputShape: readonly [number, number, number, number];
  /** Classes where the metadata names them. */
  readonly classes: number | null;
  readonly stages: readonly Stage[];
  /** Of outputs and stages, by tensor name. */
  readonly recorded: ReadonlyMap<string, RecordedError>;
}

/** Whose batch norms take the batch's statistics: none, all but the backbone's, all. */
export type TrainingMode = 'frozen' | 'bbfrozen' | 'bntrain';

/** One training step of a small model (`train`), or twenty on one batch (`steps`). */
export interface TrainingFile {
  readonly kind: 'train' | 'steps';
  readonly source: TensorSource;
  readonly model: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly seed: string;
  readonly overrides: SeedOverrides;
  readonly mode: TrainingMode;
  /** A, B or C: see batches.ts. */
  readonly batch: string;
  /** The rest of the metadata: losses, errors, history. */
  readonly info: Readonly<Record<string, unknown>>;
}

export type GoldenFile = OpsFile | ModelFile | TrainingFile;

type Json = Record<string, unknown>;

function fail(message: string, hint?: string): never {
  throw new BackdropError('E_VERIFY', message, hint ? { hint } : {});
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parse(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BackdropError('E_VERIFY', `the metadata field "${field}" is not JSON`, { cause });
  }
}

function strings(value: unknown, what: string): string[] {
  if (!Array.isArray(value) || value.some((v) => typeof v !== 'string')) fail(`${what} is not a list of names`);
  return value;
}

function recordedError(value: unknown): RecordedError | null {
  if (!isObject(value) || typeof value.max_abs !== 'number' || typeof value.rel_l2 !== 'number') return null;
  return { maxAbs: value.max_abs, relL2: value.rel_l2 };
}

/**
 * Says what a file is.
 * @throws BackdropError E_VERIFY for files of another kind, naming it
 */
export function readGolden(source: TensorSource): GoldenFile {
  const cases = source.metadata.get('cases');
  if (cases !== undefined) return { kind: 'ops', source, cases: readCases(parse(cases, 'cases')) };
  const text = source.metadata.get('info');
  if (text === undefined) {
    fail(
      'this safetensors file has neither "cases" nor "info" in its metadata: it is not a golden file',
      'For weights, use `backdrop detect --weights`.',
    );
  }
  const info = parse(text, 'info');
  if (!isObject(info)) fail('the metadata field "info" is not an object');
  if ('sizes' in info || 'mean' in info || 'loss_weights' in info) {
    fail(`this is a file of the DETR family (${info.model}): verifying it comes with the importers of DETR and Deformable DETR`);
  }
  if ('history' in info) return readTraining('steps', info, source);
  if ('losses' in info || 'grad_err' in info) return readTraining('train', info, source);
  return readModel(info, source);
}

function readCases(list: unknown): OpsCase[] {
  if (!Array.isArray(list)) fail('the metadata field "cases" is not a list');
  return list.map((entry, i) => {
    if (!isObject(entry) || typeof entry.name !== 'string' || typeof entry.op !== 'string') fail(`case ${i} has no name or no op`);
    const recorded = new Map<string, RecordedError>();
    for (const [key, value] of Object.entries(isObject(entry.torch32) ? entry.torch32 : {})) {
      const error = recordedError(value);
      if (error) recorded.set(key.replace(/^out\//, ''), error);
    }
    return {
      name: entry.name,
      op: entry.op,
      attrs: isObject(entry.attrs) ? entry.attrs : {},
      inputs: strings(entry.inputs ?? [], `inputs of case ${entry.name}`),
      outputs: strings(entry.outputs ?? [], `outputs of case ${entry.name}`),
      upstream: strings(entry.upstream ?? [], `upstream gradients of case ${entry.name}`),
      grads: strings(entry.grads ?? [], `gradients of case ${entry.name}`),
      recorded,
    };
  });
}

function readTraining(kind: TrainingFile['kind'], info: Json, source: TensorSource): TrainingFile {
  const { model, seed, sizes: config, overrides } = identityOf(info);
  const { mode, batch } = info;
  // The sizes of a small model are those of its other files: a steps file does not repeat them.
  if (mode !== 'frozen' && mode !== 'bbfrozen' && mode !== 'bntrain') fail(`the metadata of ${model} names no mode of its batch norms`);
  if (typeof batch !== 'string') fail(`the metadata of ${model} names no batch`);
  return { kind, source, model, seed, overrides, mode, batch, info, config: config ?? {} };
}

/** Name, seed and sizes of a model. */
function identityOf(info: Json) {
  const { model, seed, config } = info;
  if (typeof model !== 'string' || typeof seed !== 'string') fail('the metadata names no model or no seed');
  const sizes = isObject(config) ? config : null;
  const overrides = (Array.isArray(info.overrides) ? info.overrides : []).map((pair, i): readonly [string, string] => {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') fail(`override ${i} is not a pair of texts`);
    try {
      new RegExp(pair[0]);
    } catch (cause) {
      throw new BackdropError('E_VERIFY', `override ${i}: ${pair[0]} is not a regular expression`, { cause });
    }
    return [pair[0], pair[1]];
  });
  return { model, seed, sizes, overrides };
}

function readModel(info: Json, source: TensorSource): ModelFile {
  const { model, seed, sizes, overrides } = identityOf(info);
  const recorded = new Map<string, RecordedError>();
  const stages: Stage[] = [];
  for (const [name, value] of Object.entries(isObject(info.stages) ? info.stages : {})) {
    const error = recordedError(value);
    if (error) recorded.set(name, error);
    if (!source.tensors.has(`stage/${name}.val`) && !source.tensors.has(`stage/${name}.val64`)) continue;
    const shape = isObject(value) && Array.isArray(value.shape) ? (value.shape as number[]) : fail(`stage ${name} has no shape`);
    stages.push({ name, shape, recorded: error });
  }
  for (const [name, value] of Object.entries(info)) {
    const error = recordedError(value);
    if (error && !recorded.has(name)) recorded.set(name, error);
  }
  const holds = (name: string) => source.tensors.has(name) || source.tensors.has(`${name}.f64`);
  if (!holds('pred_logits') || !holds('pred_boxes')) fail(`the file of ${model} holds no pred_logits and pred_boxes`);
  const images = imagesOf(info, seed);
  return {
    kind: sizes ? 'eval' : 'full',
    source,
    model,
    config: sizes,
    seed,
    overrides,
    images,
    inputShape: inputShapeOf(info, sizes, images),
    classes: typeof info.num_classes === 'number' ? info.num_classes : null,
    stages,
    recorded,
  };
}

function imagesOf(info: Json, seed: string): readonly string[] | 'photo' {
  const { input } = info;
  if (input === 'photo') return 'photo';
  if (input === 'formula' || input === undefined) return [typeof info.image_key === 'string' ? info.image_key : `${seed}/img`];
  // "adetr-1/train/B/img0..1": a batch.
  const range = typeof input === 'string' ? /^(.*?)(\d+)\.\.(\d+)$/.exec(input) : null;
  if (range) {
    const [first, last] = [Number(range[2]), Number(range[3])];
    if (last >= first && last - first < 64) return Array.from({ length: last - first + 1 }, (_, i) => `${range[1]}${first + i}`);
  }
  return fail(`the input "${String(input)}" is of no known kind (formula, photo, or KEY<first>..<last>)`);
}

function inputShapeOf(info: Json, config: Json | null, images: readonly string[] | 'photo'): [number, number, number, number] {
  const count = images === 'photo' ? 1 : images.length;
  const given = info.input_shape ?? (Array.isArray(config?.hw) ? [count, 3, ...(config.hw as number[])] : undefined);
  if (!Array.isArray(given) || given.length !== 4 || given.some((n) => !Number.isInteger(n) || n < 1))
    fail('the metadata gives no input size');
  if (given[0] !== count || given[1] !== 3) fail(`the input [${given.join(', ')}] is not ${count} RGB images`);
  return given as [number, number, number, number];
}

/** A tensor of the file. @throws BackdropError E_CKPT_ARCH when it is missing, and the reader's own errors */
export async function readTensor(source: TensorSource, name: string): Promise<GoldenTensor> {
  const { shape, dtype } = tensorOf(source, name);
  return { shape, dtype, values: await source.readFloat32(name) };
}

/** The float64 twin where the file has one, else PyTorch's float32 values. */
export async function readReference(source: TensorSource, name: string): Promise<GoldenTensor & { against: 'float64' | 'float32' }> {
  const twin = [`${name}.f64`, `${name}64`].find((n) => source.tensors.has(n));
  return { ...(await readTensor(source, twin ?? name)), against: twin ? 'float64' : 'float32' };
}
