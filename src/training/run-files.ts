/**
 * What a run keeps: weights for everybody (PyTorch's names, all entries of its state_dict), and the training state, from which a
 * run goes on bit for bit.
 */
import { openSafetensors, type TensorData, writeSafetensors } from '../checkpoints/safetensors.ts';
import type { TensorSource } from '../checkpoints/tensors.ts';
import { BackdropError } from '../errors.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { ModelConfig } from '../models/configs.ts';
import { modelParameters } from '../models/rt-detr.ts';
import type { ParameterInfo } from '../nn/parameters.ts';
import type { NamedArrays, TrainingState } from './state.ts';

/** Where a run's files go. */
export interface RunStore {
  /** Stores a file whole or not at all, in place of an earlier one. @throws BackdropError E_FILE_WRITE */
  write(name: string, chunks: Iterable<Uint8Array<ArrayBuffer>>): Promise<void>;
}

/** Everything about a run beside its tensors. Plain data: it is stored as JSON. */
export interface RunProgress {
  /** The epoch that is being worked on, from 0; the number of epochs when all are done. */
  epoch: number;
  /** Batches of it that are done. */
  batch: number;
  /** Of the epoch so far: steps, and sums over them of the loss and its terms. */
  sums: { steps: number; loss: number; terms: Record<string, number> };
  /** The best validation. */
  best: { epoch: number; ap: number; ap50: number } | null;
  /** Validations since. */
  sinceBest: number;
  /** Time trained. */
  seconds: number;
}

export const newProgress = (): RunProgress => ({
  epoch: 0,
  batch: 0,
  sums: { steps: 0, loss: 0, terms: {} },
  best: null,
  sinceBest: 0,
  seconds: 0,
});

/** A run as it was saved. */
export interface SavedRun {
  readonly state: TrainingState;
  readonly progress: RunProgress;
  readonly model: ModelConfig;
  /** What the trainer was given to recognise the run's data by. */
  readonly identity: Readonly<Record<string, string>>;
  /** All entries, the frozen ones too. */
  readonly weights: ParameterSource;
}

/** @throws BackdropError E_RUN_MISMATCH naming the first thing that is not as it was when the run was saved */
export function checkIdentity(saved: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): void {
  for (const [what, expected] of Object.entries(saved)) {
    if (now[what] === expected) continue;
    const message = `the data set has changed since this run was saved: ${what} is ${now[what]}, was ${expected}`;
    throw new BackdropError('E_RUN_MISMATCH', message, {
      hint: 'Restore it, or begin a new run with --weights.',
      details: { what, found: now[what] ?? null, expected },
    });
  }
}

const DTYPES = { float32: 'f32', int64: 'i64', bool: 'bool' } as const;

function encoded(name: string, { dtype, shape }: ParameterInfo, values: Float32Array<ArrayBuffer>): TensorData {
  if (dtype === 'int64') return { name, dtype: 'i64', shape, data: new Uint8Array(BigInt64Array.from(values, (n) => BigInt(n)).buffer) };
  return { name, dtype: DTYPES[dtype], shape, data: dtype === 'bool' ? Uint8Array.from(values) : values };
}

/** All of a state_dict's entries: those of `arrays`, and what training leaves alone from `source`. */
async function entries(config: ModelConfig, arrays: NamedArrays, source: ParameterSource, updates: number): Promise<TensorData[]> {
  const out: TensorData[] = [];
  for (const [name, info] of modelParameters(config)) {
    const counter = name.endsWith('.num_batches_tracked');
    const values = counter ? Float32Array.of(updates) : (arrays[name] ?? new Float32Array(await source.readFloat32(name)));
    out.push(encoded(name, info, values));
  }
  return out;
}

export interface WeightsToSave {
  config: ModelConfig;
  arrays: NamedArrays;
  source: ParameterSource;
  updates: number;
  /** Names of the classes. */
  classes: readonly string[];
}

/** A file that Backdrop and `load_state_dict(load_file(...), strict=True)` take. */
export async function weightsFile({ config, arrays, source, updates, classes }: WeightsToSave): Promise<Iterable<Uint8Array<ArrayBuffer>>> {
  const metadata = new Map([
    ['format', 'pt'],
    ['model', config.name],
    ['config', JSON.stringify(config)],
    ['classes', JSON.stringify(classes)],
  ]);
  return writeSafetensors(await entries(config, arrays, source, updates), metadata);
}

const PARTS = { model: 'parameters', exp_avg: 'firstMoments', exp_avg_sq: 'secondMoments', ema: 'average' } as const;

export interface RunToSave {
  config: ModelConfig;
  state: TrainingState;
  source: ParameterSource;
  progress: RunProgress;
  identity: Readonly<Record<string, string>>;
}

export async function stateFile({ config, state, source, progress, identity }: RunToSave): Promise<Iterable<Uint8Array<ArrayBuffer>>> {
  const tensors = (await entries(config, state.parameters, source, state.updates)).map((t) => ({ ...t, name: `model.${t.name}` }));
  const table = modelParameters(config);
  for (const [prefix, part] of Object.entries(PARTS)) {
    if (prefix === 'model') continue;
    for (const [name, data] of Object.entries(state[part] ?? {})) {
      tensors.push({ name: `${prefix}.${name}`, dtype: 'f32', shape: table.get(name)!.shape, data });
    }
  }
  const { steps, updates } = state;
  const run = JSON.stringify({ version: 1, steps, updates, average: state.average !== null, progress, identity, model: config });
  return writeSafetensors(tensors, new Map([['backdrop', run]]));
}

/** What a state file says about its run without its tensors. */
export interface RunFacts {
  readonly steps: number;
  readonly updates: number;
  readonly average: boolean;
  readonly progress: RunProgress;
  readonly identity: Readonly<Record<string, string>>;
  readonly model: ModelConfig;
}

/** @throws BackdropError E_CKPT_NOT_CHECKPOINT for a file that `stateFile` has not made */
export function readRunFacts({ metadata }: TensorSource, fileName: string): RunFacts {
  const text = metadata.get('backdrop');
  if (text !== undefined) return JSON.parse(text) as RunFacts;
  throw new BackdropError('E_CKPT_NOT_CHECKPOINT', `${fileName} is no training state of Backdrop.`, {
    hint: 'A run is resumed from its last.train.safetensors; weights alone are what --weights takes.',
  });
}

/** Reads what `stateFile` wrote. @throws BackdropError E_CKPT_NOT_CHECKPOINT for another file, and the reader's errors for a damaged one */
export async function openRun(file: Blob, fileName: string): Promise<SavedRun> {
  const source = await openSafetensors(file, { fileName });
  const { steps, updates, average, progress, identity, model } = readRunFacts(source, fileName);
  const read = async (prefix: string): Promise<NamedArrays> => {
    const arrays: NamedArrays = {};
    for (const [name, { dtype }] of source.tensors) {
      if (name.startsWith(`${prefix}.`) && dtype === 'f32') {
        arrays[name.slice(prefix.length + 1)] = (await source.readFloat32(name)) as Float32Array<ArrayBuffer>;
      }
    }
    return arrays;
  };
  const state: TrainingState = {
    steps,
    updates,
    parameters: await read('model'),
    firstMoments: await read('exp_avg'),
    secondMoments: await read('exp_avg_sq'),
    average: average ? await read('ema') : null,
  };
  return { state, progress, model, identity, weights: { readFloat32: (name) => source.readFloat32(`model.${name}`) } };
}
