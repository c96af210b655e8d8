/**
 * From any file of weights to what a detector takes: which model it is for, the tensors under that model's names, and starting
 * values for what the file cannot bring (heads for other classes, a new Association Encoder).
 */
import type { FileLike } from '../src/checkpoints/bytes.ts';
import type { OpenOptions, TensorSource } from '../src/checkpoints/tensors.ts';
import { configFor, isOptional, type WeightSource } from '../src/detector/weights.ts';
import { BackdropError } from '../src/errors.ts';
import type { ModelConfig } from '../src/models/configs.ts';
import { initialModel } from '../src/models/initial-model.ts';
import { modelConfig } from '../src/models/resolve.ts';
import { modelParameters } from '../src/models/rt-detr.ts';
import { classNamesOf } from './convert.ts';
import { type FitReport, fitCheckpoint, toOfficialNames } from './fit.ts';
import { openCheckpoint } from './open.ts';
import { recognise } from './recognise.ts';
import { selectStateDict } from './select.ts';

export interface ModelWeightsOptions extends OpenOptions {
  /** A name such as association-detr-r34, or a configuration; what the file says when left out. */
  model?: string | ModelConfig;
  /** Take a part of a detector, such as a backbone alone, as a start for training: the rest gets starting values. */
  partial?: boolean;
  /** Names of the classes wanted. Where the file has another number, the heads start anew. */
  labels?: readonly string[];
}

export interface ModelWeights {
  /** Everything the model needs, for Detector.load. */
  readonly source: WeightSource;
  readonly config: ModelConfig;
  /** Names of the classes: as given, else as stored in the file; undefined where neither says. */
  readonly labels: readonly string[] | undefined;
  readonly report: FitReport;
}

/** An encoder that the file lacks gets a gate, zero at first: the outputs start as the file's own. */
function chooseModel(tensors: WeightSource, { model, labels }: ModelWeightsOptions): ModelConfig {
  let config = configFor(tensors, model);
  if (typeof model === 'object') return config;
  const hasEncoder = [...tensors.tensors.keys()].some((name) => name.startsWith('association_encoder.'));
  if (config.associationEncoder && !hasEncoder) config = modelConfig(config, { associationEncoder: { gate: 'scalar' } });
  return labels && labels.length !== config.classes ? modelConfig(config, { classes: labels.length }) : config;
}

/**
 * Opens a checkpoint of any supported kind for a detector. Structure is read and checked; values stay in the file.
 *
 * @throws BackdropError E_CKPT_*, E_ST_* (the readers' and fitCheckpoint's), E_MODEL_UNKNOWN, E_MODEL_CONFIG
 */
export async function openModelWeights(file: FileLike, options: ModelWeightsOptions = {}): Promise<ModelWeights> {
  const opened = await openCheckpoint(file, options);
  const fileName = options.fileName ?? (file instanceof Blob && 'name' in file ? String(file.name) : undefined);
  const { source: weights } = selectStateDict(opened);
  const named = toOfficialNames(weights, recognise(weights.tensors)).source;
  const config = chooseModel({ ...named, metadata: opened.metadata }, options);
  const table = modelParameters(config);
  // What inference does without need not be there.
  const expected = new Map(
    [...table].filter(([name]) => named.tensors.has(name) || !isOptional(name)).map(([name, { shape }]) => [name, shape]),
  );
  const fit = fitCheckpoint(opened, expected, fileName === undefined ? {} : { fileName });
  if (!options.partial) refusePart(fit.report, fileName);
  const fresh = new Set([...fit.report.reinitialised, ...fit.report.added, ...fit.report.missing]);
  const initial = initialModel(config);
  const tensors = new Map([...fit.source.tensors, ...[...fresh].map((name) => [name, { shape: table.get(name)!.shape }] as const)]);
  const source: WeightSource = {
    tensors,
    metadata: opened.metadata,
    readFloat32: async (name) =>
      fresh.has(name) || (isOptional(name) && !fit.source.tensors.has(name)) ? initial.readFloat32(name) : fit.source.readFloat32(name),
  };
  const labels = options.labels ?? storedLabels(opened, config);
  return { source, config, labels, report: fit.report };
}

/** A backbone or a module alone fits as a start for training, not for detecting. */
function refusePart({ architecture, missing }: FitReport, fileName = 'the checkpoint'): void {
  if (missing.length === 0) return;
  throw new BackdropError(
    'E_CKPT_ARCH',
    `${fileName} holds ${architecture.title}, not a whole detector: ${missing.length} tensors are missing`,
    {
      hint: 'choose the file of the trained detector',
      details: { missing: missing.slice(0, 5), found: architecture },
    },
  );
}

function storedLabels(file: TensorSource, { classes }: ModelConfig): readonly string[] | undefined {
  const names = classNamesOf(file);
  return names?.length === classes ? names : undefined;
}
