/** Which model a file of weights is for, and whether they fit. */
import { BackdropError } from '../errors.ts';
import type { AssociationEncoderConfig } from '../models/ae-config.ts';
import { type ModelConfig, models } from '../models/configs.ts';
import { type ModelChanges, modelConfig } from '../models/resolve.ts';
import { modelParameters } from '../models/rt-detr.ts';
import type { ParameterTable } from '../nn/parameters.ts';

/** A checkpoint as the detector reads it: what openSafetensors gives, or anything with the same members. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Row-major values as float32. */
  readFloat32(name: string): Promise<Float32Array>;
  /** `config` (a whole ModelConfig as JSON), `model` (a name) and `classes` (a JSON list of names) are used where they stand. */
  readonly metadata?: ReadonlyMap<string, string>;
}

type Shapes = WeightSource['tensors'];

/** Entries that inference works out by itself, or does not read. */
const OPTIONAL = /(^|\.)(num_batches_tracked|anchors|valid_mask|num_points_scale)$|^decoder\.denoising_class_embed\.weight$/;

export interface FitDifferences {
  missing: string[];
  unexpected: string[];
  misshaped: { name: string; found: readonly number[]; expected: readonly number[] }[];
}

export function compareWeights(tensors: Shapes, table: ParameterTable): FitDifferences {
  const differences: FitDifferences = { missing: [], unexpected: [], misshaped: [] };
  for (const [name, { shape }] of table) {
    const found = tensors.get(name)?.shape;
    if (OPTIONAL.test(name)) continue;
    if (!found) differences.missing.push(name);
    else if (found.join() !== shape.join()) differences.misshaped.push({ name, found, expected: shape });
  }
  for (const name of tensors.keys()) if (!table.has(name) && !OPTIONAL.test(name)) differences.unexpected.push(name);
  return differences;
}

/** Whether inference does without this entry of the state dictionary. */
export const isOptional = (name: string): boolean => OPTIONAL.test(name);

const count = ({ missing, unexpected, misshaped }: FitDifferences): number => missing.length + unexpected.length + misshaped.length;

/** The switches of the Association Encoder that leave a trace in names and shapes; null where there is none. */
function encoderChanges(tensors: Shapes): Partial<AssociationEncoderConfig> | null {
  const root = 'association_encoder.';
  const shape = (name: string): readonly number[] | undefined => tensors.get(root + name)?.shape;
  const parts = ['bam', 'am', 'el'].filter((part) => [...tensors.keys()].some((name) => name.startsWith(`${root}${part}.`)));
  if (parts.length === 0) return null;
  const changes: Partial<AssociationEncoderConfig> = { variant: parts.join('+') as AssociationEncoderConfig['variant'] };
  if (shape('gate')) changes.gate = 'scalar';
  if (shape('bam.proj.conv.weight')) changes.bamInput = 'own';
  const [reduced] = shape('bam.blocks.0.conv1.channel.fc1.weight') ?? [];
  if (reduced) changes.reduced = reduced;
  const table = shape('am.attn.rel_pos_bias');
  const qkv = shape('am.attn.qkv.weight');
  if (table && qkv) {
    changes.heads = table[1];
    changes.window = (Math.sqrt(table[0]) + 1) / 2;
    changes.headDim = qkv[0] / 3 / table[1];
  }
  const [hidden] = shape('am.ffn.fc1.weight') ?? [];
  if (hidden) changes.ffnHidden = hidden;
  const [wide] = shape('el.ffn.fc1.weight') ?? [];
  if (wide) changes.elFfn = wide;
  return changes;
}

/** Changes to a published model that the file's shapes ask for. */
function changesFor(tensors: Shapes): ModelChanges {
  const classes = tensors.get('decoder.enc_score_head.weight')?.shape[0];
  return { ...(classes ? { classes } : {}), associationEncoder: encoderChanges(tensors) };
}

/** The published model whose entries differ least from the file's, with the number of differences. */
function nearest(tensors: Shapes): { config: ModelConfig; differences: FitDifferences } | null {
  let best: { config: ModelConfig; differences: FitDifferences } | null = null;
  const changes = changesFor(tensors);
  for (const start of models.values()) {
    if ((start.associationEncoder === null) !== (changes.associationEncoder === null)) continue;
    try {
      const config = modelConfig(start, changes);
      const differences = compareWeights(tensors, modelParameters(config));
      if (!best || count(differences) < count(best.differences)) best = { config, differences };
    } catch {
      // Shapes that make no such model: it is not this one.
    }
  }
  return best;
}

/**
 * The model asked for, else the one that the metadata names, else the published one that names and shapes fit best; whether they
 * do fit is another question. Of a model given by name, the number of classes and the Association Encoder's switches are the file's.
 *
 * @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG, and E_CKPT_ARCH where nothing is asked for and nothing is near
 */
export function configFor(source: WeightSource, model?: string | ModelConfig): ModelConfig {
  const { tensors } = source;
  const asked = model ?? storedConfig(source) ?? knownName(source.metadata?.get('model'));
  if (typeof asked === 'object') return modelConfig(asked);
  if (asked !== undefined) {
    const { classes, associationEncoder } = changesFor(tensors);
    const encoder = associationEncoder && modelConfig(asked).associationEncoder ? { associationEncoder } : {};
    return modelConfig(asked, { ...(classes ? { classes } : {}), ...encoder });
  }
  const found = nearest(tensors);
  if (found) return found.config;
  throw new BackdropError('E_CKPT_ARCH', 'The file holds no model that Backdrop knows.', {
    hint: 'Name the model; `backdrop inspect` shows what a file holds.',
  });
}

/**
 * The model a file is for: as asked for, else as its metadata says, else the published one that its names and shapes fit.
 * Shapes do not tell discrete sampling (`…-dsp`), shift, wiring or orders apart: models that use them must be named.
 * A model given by name takes its number of classes from the file.
 *
 * @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG, E_CKPT_SHAPE, E_CKPT_ARCH
 */
export function modelFor(source: WeightSource, model?: string | ModelConfig): ModelConfig {
  const config = configFor(source, model);
  const differences = compareWeights(source.tensors, modelParameters(config));
  if (count(differences) > 0) refuse(config.name, differences, nearest(source.tensors));
  return config;
}

/** The configuration that Backdrop's own files bring, where it fits their shapes: another program may mean something else by the word. */
function storedConfig({ metadata, tensors }: WeightSource): ModelConfig | undefined {
  try {
    const config = modelConfig(JSON.parse(metadata?.get('config') ?? 'null') as ModelConfig);
    return count(compareWeights(tensors, modelParameters(config))) === 0 ? config : undefined;
  } catch {
    return undefined;
  }
}

/** A file may come from another program, whose name for its model means nothing here. */
function knownName(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  try {
    return modelConfig(name).name;
  } catch {
    return undefined;
  }
}

const list = (items: readonly string[]): string =>
  items.length > 5 ? `${items.slice(0, 5).join(', ')} and ${items.length - 5} more` : items.join(', ');

function refuse(model: string, differences: FitDifferences, near: { config: ModelConfig; differences: FitDifferences } | null): never {
  const { missing, unexpected, misshaped } = differences;
  const facts = [
    ...(misshaped.length ? [`of another shape: ${list(misshaped.map((m) => `${m.name} [${m.found}] instead of [${m.expected}]`))}`] : []),
    ...(missing.length ? [`missing: ${list(missing)}`] : []),
    ...(unexpected.length ? [`unexpected: ${list(unexpected)}`] : []),
  ];
  const fits = near && count(near.differences) === 0 ? near.config.name : null;
  throw new BackdropError(
    misshaped.length && !missing.length ? 'E_CKPT_SHAPE' : 'E_CKPT_ARCH',
    `The weights do not fit ${model}; ${facts.join('; ')}.`,
    {
      hint: fits ? `They fit ${fits}.` : 'Choose another model or file; `backdrop inspect` shows what a file holds.',
      details: { model, missing, unexpected, misshaped, ...(fits ? { fits } : {}) },
    },
  );
}
