/**
 * The configuration of a training run: every key, what it may be, and what it is when left out. Plain data, from a file, flags or
 * code alike; keys may be written as the flags are (val-every) or as here (valEvery).
 */
import { BackdropError } from '../errors.ts';
import { DEFAULT_RECOMPUTE, type Recompute } from '../graph/recompute.ts';
import type { ModelConfig } from '../models/configs.ts';
import { modelParameters } from '../models/rt-detr.ts';
import { didYouMean } from '../spelling.ts';
import type { GroupRule } from './groups.ts';
import { type Recipe, recipe } from './recipes.ts';

export interface RunConfig {
  /** Directory of the data set. */
  data: string;
  /** A name; with `weights` and without a name, what the file says. */
  model?: string;
  /** Changes to the model: queries, denoising, associationEncoder, ... */
  modelConfig: Record<string, unknown>;
  /** A checkpoint to start from; starting values when left out. */
  weights?: string;
  epochs: number;
  batch: number;
  accumulate: number;
  /** [height, width]; the model's own when left out. */
  size?: [number, number];
  /** Learning rate. */
  lr: number;
  /** Of the backbone. */
  backboneLr: number;
  weightDecay: number;
  /** Largest norm of the gradient; 0: not clipped. */
  clip: number;
  /** Decay of the moving average that is validated and stored; 0: none is kept. */
  ema: number;
  /** Steps over which that decay rises. */
  emaWarmup: number;
  /** Steps over which the learning rate rises. */
  warmup: number;
  /** What it rises from, as a part of it; a step's share when left out. */
  warmupStart?: number;
  /** How it goes on from there to the last step. */
  schedule: 'constant' | 'cosine' | 'linear';
  /** What a falling rate ends with, as a part of it. */
  finalLr: number;
  /** Epochs at whose beginning the rate is multiplied with `gamma`. */
  milestones: number[];
  gamma: number;
  /** Groups of parameters with rates and decays of their own, the first that matches a name; the rest has `lr` and `weightDecay`. */
  rules: GroupRule[];
  /** Patterns of parameter names that are not trained. */
  freeze: string[];
  /** What the backward pass computes a second time instead of keeping it; the bits of a step do not depend on it. */
  recompute: Recompute;
  seed: number;
  /** Epochs between validations. */
  valEvery: number;
  /** Validations without a better AP until it ends; 0: all epochs. */
  patience: number;
  /** Minutes after which a long epoch is saved in between. */
  saveEvery: number;
  /** Seconds; 0: no limit. */
  maxTime: number;
  /** Train and validate on so many images of the training split, unchanged; 0: no. */
  overfit: number;
  augment: 'rtdetr' | 'light' | 'flip' | 'none';
  /** Epoch (from 0) from which pictures are only flipped. */
  plainFrom?: number;
}

/** Turns a value into what the key holds, or says what it should be. */
type Reader<T> = { expected: string; read(value: unknown): T | undefined };

const numberOf = (value: unknown): number =>
  typeof value === 'number' || (typeof value === 'string' && value.trim() !== '') ? Number(value) : Number.NaN;
const number = (min: number, max: number, integer = false): Reader<number> => ({
  expected: `a ${integer ? 'whole ' : ''}number from ${min}${max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : ''}`,
  read: (value) => {
    const n = numberOf(value);
    return n >= min && n <= max && (!integer || Number.isInteger(n)) ? n : undefined;
  },
});
const whole = (min: number, max = Number.MAX_SAFE_INTEGER) => number(min, max, true);
const text: Reader<string> = { expected: 'a text', read: (value) => (typeof value === 'string' && value !== '' ? value : undefined) };
const oneOf = <T extends string>(...values: T[]): Reader<T> => ({
  expected: values.join(', '),
  read: (value) => values.find((v) => v === value),
});
const listOf = <T>(item: Reader<T>): Reader<T[]> => ({
  expected: `a list, each ${item.expected}`,
  read: (value) => {
    const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',').map((part) => part.trim()) : [value];
    const read = list.map((one) => item.read(one));
    return read.every((one) => one !== undefined) ? (read as T[]) : undefined;
  },
});
const object: Reader<Record<string, unknown>> = {
  expected: 'keys with values',
  read: (value) => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined),
};
const recompute: Reader<Recompute> = {
  expected: 'none, normalised, or a list of patterns of blocks',
  read: (value) => (value === 'none' || value === 'normalised' ? value : listOf(text).read(value)),
};
const side = whole(32, 4096);
const size: Reader<[number, number]> = {
  expected: 'a multiple of 32, or height and width such as 480x640',
  read: (value) => {
    const parts = (Array.isArray(value) ? value : String(value).split('x')).map(side.read);
    const [height, width = height] = parts;
    if (parts.length > 2 || height === undefined || width === undefined || height % 32 || width % 32) return undefined;
    return [height, width];
  },
};
const units: Record<string, number> = { '': 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };
const duration: Reader<number> = {
  expected: 'a time such as 90s, 30m or 2h',
  read: (value) => {
    const [, amount, unit] =
      String(value)
        .trim()
        .match(/^(\d+(?:\.\d+)?)\s*([a-z]*)$/) ?? [];
    return amount !== undefined && Object.hasOwn(units, unit) ? Number(amount) * units[unit] : undefined;
  },
};
const rule: Reader<GroupRule> = {
  expected: 'an object of pattern, rate and decay',
  read: (value) => {
    const { pattern, rate, decay, ...others } = object.read(value) ?? {};
    const fits = (n: unknown) => n === undefined || number(0, 1).read(n) !== undefined;
    if (typeof pattern !== 'string' || !fits(rate) || !fits(decay) || Object.keys(others).length > 0) return undefined;
    return { pattern, ...(rate === undefined ? {} : { rate: Number(rate) }), ...(decay === undefined ? {} : { decay: Number(decay) }) };
  },
};

const readers: { [K in keyof Required<RunConfig>]: Reader<NonNullable<RunConfig[K]>> } = {
  data: text,
  model: text,
  modelConfig: object,
  weights: text,
  epochs: whole(1, 100_000),
  batch: whole(1, 4096),
  accumulate: whole(1, 4096),
  size,
  lr: number(0, 10),
  backboneLr: number(0, 10),
  weightDecay: number(0, 10),
  clip: number(0, 1e9),
  ema: number(0, 0.9999999),
  emaWarmup: whole(1),
  warmup: whole(0),
  warmupStart: number(0, 1),
  schedule: oneOf('constant', 'cosine', 'linear'),
  finalLr: number(0, 1),
  milestones: listOf(whole(0)),
  gamma: number(0, 1),
  rules: listOf(rule),
  freeze: listOf(text),
  recompute,
  seed: whole(0),
  valEvery: whole(1),
  patience: whole(0),
  saveEvery: number(0, 1e6),
  maxTime: duration,
  overfit: whole(0),
  augment: oneOf('rtdetr', 'light', 'flip', 'none'),
  plainFrom: whole(0),
};

export type RunConfigKey = keyof RunConfig;
export const runConfigKeys = Object.keys(readers) as RunConfigKey[];

/** valEvery as a flag: val-every. */
export const flagName = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const canonical = (key: string): string => key.toLowerCase().replaceAll(/[-_]/g, '');

/** The key that a name means. @throws BackdropError E_CONFIG with the nearest one */
function keyOf(name: string, where: string): RunConfigKey {
  const found = runConfigKeys.find((key) => canonical(key) === canonical(name));
  if (found) return found;
  const near = didYouMean(canonical(name), runConfigKeys.map(canonical));
  const meant = runConfigKeys.find((key) => canonical(key) === near);
  throw new BackdropError('E_CONFIG', `${where}: there is no setting "${name}"${meant ? `; did you mean "${meant}"?` : ''}`, {
    hint: `Settings: ${runConfigKeys.join(', ')}.`,
    details: { key: name, ...(meant ? { near: meant } : {}) },
  });
}

/**
 * Checks settings from one place; `modelConfig.queries` sets one key of an object.
 * @param where for messages: the file, or the flag
 * @throws BackdropError E_CONFIG naming the key, what was found and what was expected
 */
export function readSettings(settings: Readonly<Record<string, unknown>>, where: string): Partial<RunConfig> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(settings)) {
    const [first, ...path] = name.split('.');
    const key = keyOf(first, where);
    if (path.length > 0 && key === 'modelConfig') {
      out[key] = withValue(object.read(out[key]) ?? {}, path, value);
      continue;
    }
    const { expected, read } = readers[key] as Reader<unknown>;
    const found = path.length > 0 ? undefined : read(value);
    if (found === undefined) {
      throw new BackdropError('E_CONFIG', `${where}: ${name} is ${JSON.stringify(value)}, expected ${expected}`, {
        details: { key, found: value, expected },
      });
    }
    out[key] = found;
  }
  return out as Partial<RunConfig>;
}

/** The object with one value, at any depth, changed. */
function withValue(target: Readonly<Record<string, unknown>>, [name, ...rest]: readonly string[], value: unknown): Record<string, unknown> {
  return { ...target, [name]: rest.length === 0 ? value : withValue(object.read(target[name]) ?? {}, rest, value) };
}

type Defaults = Omit<RunConfig, 'data' | 'rules' | 'backboneLr'>;

/** From scratch: a larger rate, alike in all parts, that falls to nothing. */
const scratch: Defaults = {
  modelConfig: {},
  epochs: 72,
  batch: 4,
  accumulate: 1,
  lr: 4e-4,
  weightDecay: 1e-4,
  clip: 0.1,
  ema: 0.9999,
  emaWarmup: 2000,
  warmup: 500,
  schedule: 'cosine',
  finalLr: 0.01,
  milestones: [],
  gamma: 0.1,
  freeze: [],
  recompute: DEFAULT_RECOMPUTE,
  seed: 0,
  valEvery: 1,
  patience: 0,
  saveEvery: 10,
  maxTime: 0,
  overfit: 0,
  augment: 'rtdetr',
};

/** The recipe of the model, with small batches summed to its step. */
function tuned({ epochs, batch: images, plainFrom, training }: Recipe, batch: number): Defaults {
  const { rate, decay, maxNorm, average, schedule } = training;
  const { warmupSteps = 0, warmupStart, milestones = [], gamma = 0.1 } = schedule;
  const { decay: ema = 0, warmups: emaWarmup = 1 } = average === false ? {} : average;
  return {
    ...scratch,
    ...{ epochs, accumulate: Math.max(1, Math.round(images / batch)), lr: rate, weightDecay: decay, clip: maxNorm, ema, emaWarmup },
    ...{ warmup: warmupSteps, schedule: 'constant', milestones: [...milestones], gamma },
    ...(warmupStart === undefined ? {} : { warmupStart }),
    ...(plainFrom === null ? {} : { plainFrom }),
  };
}

/** Names that are trained: those of the model but what `freeze` matches. */
const trainedNames = (model: ModelConfig, freeze: readonly string[]): string[] =>
  [...modelParameters(model)]
    .filter(([name, { kind }]) => kind === 'param' && !freeze.some((pattern) => new RegExp(pattern).test(name)))
    .map(([name]) => name);

/**
 * A whole configuration: what was given, and for the rest the model's recipe when it starts from trained weights, else defaults for
 * training from scratch. Rules of the recipe that match no trained parameter are left out; given ones are taken as they are.
 * @throws BackdropError E_CONFIG without a data set
 */
export function resolveRun(given: Partial<RunConfig>, model: ModelConfig): RunConfig {
  const { data, weights, freeze = [] } = given;
  if (data === undefined) throw new BackdropError('E_CONFIG', 'no data set is named', { hint: 'Name its directory with --data.' });
  const pretrained = weights === undefined ? null : recipe(model);
  const defaults = pretrained ? tuned(pretrained, given.batch ?? scratch.batch) : scratch;
  const lr = given.lr ?? defaults.lr;
  const own = pretrained?.training.rules ?? [];
  const backboneLr = given.backboneLr ?? own.find(({ rate }) => rate !== undefined)?.rate ?? lr;
  // In all recipes it is the backbone's rules that name a rate.
  const rules = pretrained ? own.map((r) => (r.rate === undefined ? r : { ...r, rate: backboneLr })) : scratchRules(lr, backboneLr);
  const names = trainedNames(model, freeze);
  const matching = rules.filter(({ pattern }) => names.some((name) => new RegExp(pattern).test(name)));
  return {
    ...defaults,
    backboneLr,
    rules: matching,
    ...given,
    data,
    lr,
    model: model.name,
    size: given.size ?? [model.size[0], model.size[1]],
  };
}

/** Norms and biases are not decayed. */
function scratchRules(lr: number, backboneLr: number): GroupRule[] {
  const rest = { pattern: 'norm|bn|bias', decay: 0 };
  if (backboneLr === lr) return [rest];
  return [{ pattern: '^backbone\\..*norm', rate: backboneLr, decay: 0 }, { pattern: '^backbone\\.', rate: backboneLr }, rest];
}
