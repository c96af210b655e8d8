/** "backdrop train": a folder of labelled pictures in, a trained detector out. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { openModelWeights } from '../../../weights-tools/model-weights.ts';
import { openNodeFile } from '../../../weights-tools/node-files.ts';
import { openSafetensors } from '../../checkpoints/safetensors.ts';
import type { Dataset, ImageRecord } from '../../data/dataset.ts';
import { parseYaml } from '../../data/yaml.ts';
import { BackdropError } from '../../errors.ts';
import { type ModelConfig, models } from '../../models/configs.ts';
import { type ModelChanges, modelConfig } from '../../models/resolve.ts';
import { flagName, type RunConfig, type RunConfigKey, readSettings, resolveRun, runConfigKeys } from '../../training/run-config.ts';
import { checkIdentity, type RunFacts, readRunFacts } from '../../training/run-files.ts';
import { BEST_WEIGHTS, LAST_STATE, LAST_WEIGHTS } from '../../training/trainer.ts';
import { objectsIn } from '../../training/trainer-config.ts';
import { type Args, listOption, numberOption, type OptionSpec, textOption, usageError } from '../args.ts';
import type { Command } from '../cli.ts';
import { duration, type Io } from '../io.ts';
import { fingerprint, openData, splitOf } from '../open-data.ts';
import { RunDirectory } from '../run-directory.ts';
import { RunPlots } from '../run-plots.ts';
import { megabytes, TrainReport } from '../train-report.ts';
import { trainRun } from '../train-run.ts';
import { version } from '../version.ts';

const CONFIG = 'config.json';
const DEFAULT_OUT = join('runs', 'train');
const DEFAULT_MODEL = 'association-detr-nano';
/** What a resumed run may change: how long it goes on, how often it looks and saves, and what memory it takes. */
const FREE: readonly RunConfigKey[] = ['data', 'epochs', 'valEvery', 'patience', 'saveEvery', 'maxTime', 'recompute'];

const flags: Record<Exclude<RunConfigKey, 'modelConfig' | 'rules' | 'warmupStart' | 'plainFrom'>, [value: string, help: string]> = {
  data: ['DATA', 'folder of the data set, or its data.yaml or JSON file'],
  model: ['NAME', `the architecture (default ${DEFAULT_MODEL}; with --weights what the file says)`],
  weights: ['FILE', 'a checkpoint to start from (default: from scratch)'],
  epochs: ['N', "times through the training pictures (default 72, with --weights the recipe's)"],
  batch: ['N', 'pictures at once (default 4)'],
  accumulate: ['N', 'batches that make one step (default 1; with --weights so many that it has 16 pictures)'],
  size: ['N', "input size, a multiple of 32, or HEIGHTxWIDTH (default: the model's)"],
  lr: ['X', 'learning rate (default 1e-4 with --weights, 4e-4 without)'],
  backboneLr: ['X', 'of the backbone (default 1e-5 with --weights, as --lr without)'],
  weightDecay: ['X', 'of all but norms and biases (default 1e-4)'],
  clip: ['X', "largest norm of a step's gradient, 0: any (default 0.1)"],
  ema: ['X', 'decay of the averaged weights that are validated and stored, 0: none (default 0.9999)'],
  emaWarmup: ['N', 'steps over which that decay rises (default 2000)'],
  warmup: ['N', 'steps over which the learning rate rises (default 500 from scratch, else 0)'],
  schedule: ['NAME', 'constant, cosine or linear (default cosine from scratch, else constant)'],
  finalLr: ['X', 'what a falling rate ends with, as a part of --lr (default 0.01)'],
  milestones: ['LIST', 'epochs at which the rate is multiplied with --gamma'],
  gamma: ['X', 'default 0.1'],
  freeze: ['LIST', 'patterns of parameter names that are not trained, such as ^backbone'],
  recompute: [
    'WHAT',
    'to need less memory: none, normalised (the default: maps that cost a pass over memory), or patterns of blocks such as ' +
      '^backbone\\.res_layers\\.\\d whose convolutions are computed a second time, too; the numbers stay the same',
  ],
  seed: ['N', 'of order, augmentation, noise and starting values (default 0)'],
  valEvery: ['N', 'epochs between validations (default 1)'],
  patience: ['N', 'validations without a better AP until it ends, 0: never (default 0)'],
  saveEvery: ['MINUTES', 'long epochs are saved in between (default 10)'],
  maxTime: ['TIME', 'stop and save after so long: 90s, 30m, 2h'],
  overfit: ['N', 'train and validate on the first N pictures, unchanged: they must be learnt by heart'],
  augment: ['NAME', 'rtdetr, light (flip and colours), flip or none (default rtdetr)'],
};
const otherNames: Partial<Record<RunConfigKey, Pick<OptionSpec, 'short' | 'alias'>>> = {
  weights: { short: 't' },
  size: { alias: 'imgsz' },
};
const flagKeys = Object.keys(flags) as (keyof typeof flags)[];

export const train: Command = {
  spec: {
    name: 'train',
    summary: 'train a detector on labelled pictures',
    usage: '--data DATA [options]',
    description: [
      'Reads COCO JSON, YOLO (data.yaml) and Pascal VOC. Validates with the averaged weights and prints the twelve COCO lines. The run has a ' +
        'folder of its own with last and best weights (safetensors, PyTorch names), logs and the resolved configuration; an earlier run is ' +
        'never overwritten. Ctrl-C once finishes the step and saves; --resume goes on bit for bit.',
      `Models: ${[...models.keys()].join(', ')}.`,
    ].join('\n'),
    positionals: { name: 'argument', min: 0, max: 0 },
    options: {
      ...Object.fromEntries(
        flagKeys.map((key) => {
          const [value, help] = flags[key];
          return [flagName(key), { type: 'string' as const, value, help, ...otherNames[key] }];
        }),
      ),
      config: {
        type: 'string',
        short: 'c',
        value: 'FILE',
        help: 'settings as YAML or JSON: any of these options, modelConfig, augmentation and rules',
      },
      set: {
        type: 'string',
        short: 'u',
        value: 'KEY=VALUE',
        repeated: true,
        help: 'one setting, such as modelConfig.queries=100; may be repeated',
      },
      out: { type: 'string', value: 'DIR', help: `folder of the run (default ${DEFAULT_OUT}; a number is added where there is one)` },
      resume: {
        type: 'string',
        short: 'r',
        value: '[RUN]',
        alone: 'last',
        help: 'go on with the newest run, or with this folder or training state',
      },
      'dry-run': {
        type: 'boolean',
        help: 'one step, validation and save with the pictures of most objects; tells time and memory, keeps nothing',
      },
      'log-every': { type: 'string', value: 'N', help: 'without a terminal, a line every N steps (default 10)' },
    },
    examples: [
      'backdrop train --data pictures --epochs 100 --batch 8 --size 256 --dry-run',
      'backdrop train --data pictures --epochs 100 --batch 8 --size 256',
      'backdrop train --data pictures --weights rtdetr_r18vd.pth --freeze ^backbone --patience 10',
      'backdrop train --resume',
      'backdrop train --data pictures --overfit 4 --epochs 200',
    ],
  },
  async run(args, io) {
    const resume = textOption(args, 'resume');
    const logEvery = numberOption(args, 'log-every', 10, { min: 1, max: 1e9, integer: true });
    const given = givenSettings(args);
    const out = textOption(args, 'out') ?? DEFAULT_OUT;
    const dryRun = args.values['dry-run'] === true;
    if (resume === undefined) return begin(given, out, logEvery, dryRun, io);
    if (dryRun) throw usageError('--dry-run begins a run of its own; leave --resume out');
    return goOn(resume, given, out, logEvery, io);
  },
};

/** Flags before --set before the configuration file. */
function givenSettings(args: Args): Partial<RunConfig> {
  const file = textOption(args, 'config');
  const fromFile = file === undefined ? {} : readSettings(readConfigFile(file), file);
  const fromSet = listOption(args, 'set').map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--set is "${pair}"; expected KEY=VALUE`);
    return readSettings({ [pair.slice(0, at)]: parsed(pair.slice(at + 1)) }, '--set');
  });
  const fromFlags = flagKeys.flatMap((key) => {
    const value = textOption(args, flagName(key));
    return value === undefined ? [] : [readSettings({ [key]: value }, `--${flagName(key)}`)];
  });
  return merged([fromFile, ...fromSet, ...fromFlags]);
}

function merged(places: readonly Partial<RunConfig>[]): Partial<RunConfig> {
  const changes = Object.assign({}, ...places.map(({ modelConfig: c }) => c)) as Record<string, unknown>;
  return { ...Object.assign({}, ...places), ...(Object.keys(changes).length > 0 ? { modelConfig: changes } : {}) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function readConfigFile(path: string): Record<string, unknown> {
  if (!existsSync(path)) throw new BackdropError('E_FILE_MISSING', `there is no configuration ${path}`);
  const { value } = parseYaml(readFileSync(path, 'utf8'), path, 'E_CONFIG');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new BackdropError('E_CONFIG', `${path} holds no settings: it should be keys with values`);
}

/** A run that begins. */
async function begin(given: Partial<RunConfig>, out: string, logEvery: number, dryRun: boolean, io: Io): Promise<number> {
  if (given.data === undefined) throw usageError('train needs --data DATA', '"backdrop train --help" has examples.');
  const { dataset, root } = await openData(given.data, io);
  const model = await chooseModel(given, dataset, io);
  const config = resolveRun(given, model);
  const parts = partsOf(dataset, config);
  const identity = identityOf(dataset, root);
  const run = RunDirectory.create(dryRun ? `${out}-dry-run` : out);
  try {
    run.write(CONFIG, `${JSON.stringify(config, null, 2)}\n`);
    return await work({ io, run, config, model, dataset, root, ...parts, identity, logEvery, dryRun });
  } finally {
    if (dryRun) run.remove();
    else run.close();
  }
}

/** A run that was saved. */
async function goOn(resume: string, given: Partial<RunConfig>, out: string, logEvery: number, io: Io): Promise<number> {
  const path = resume === 'last' ? RunDirectory.newest(out) : folderOf(resume);
  const run = RunDirectory.open(path);
  try {
    const text = run.read(CONFIG);
    if (text === null) throw new BackdropError('E_RUN_MISSING', `${path} has no ${CONFIG}`);
    const before = readSettings(JSON.parse(text) as Record<string, unknown>, run.file(CONFIG)) as RunConfig;
    for (const key of runConfigKeys) {
      const [was, now] = [before[key], given[key]];
      if (now === undefined || FREE.includes(key) || JSON.stringify(was) === JSON.stringify(now)) continue;
      throw new BackdropError('E_RUN_MISMATCH', `${path} was begun with ${key} ${JSON.stringify(was)}, not ${JSON.stringify(now)}`, {
        hint: `A run that goes on can change ${FREE.join(', ')}. Begin a new one with --weights ${join(path, 'last.safetensors')}.`,
        details: { key, found: now, expected: was },
      });
    }
    const config: RunConfig = { ...before, ...given };
    const facts = await factsOf(run);
    const { dataset, root } = await openData(config.data, io);
    const identity = identityOf(dataset, root);
    checkIdentity(facts.identity, identity);
    run.write(CONFIG, `${JSON.stringify(config, null, 2)}\n`);
    const parts = partsOf(dataset, config);
    return await work({ io, run, config, model: facts.model, dataset, root, ...parts, identity, logEvery, dryRun: false });
  } finally {
    run.close();
  }
}

function folderOf(path: string): string {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (!facts) throw new BackdropError('E_RUN_MISSING', `there is no run ${path}`);
  if (facts.isDirectory()) return path;
  if (basename(path) === LAST_STATE) return dirname(path);
  throw new BackdropError('E_RUN_MISSING', `${path} is no saved run`, { hint: `Name its folder, or the ${LAST_STATE} in it.` });
}

async function factsOf(run: RunDirectory): Promise<RunFacts> {
  const path = run.file(LAST_STATE);
  const file = await openNodeFile(path);
  try {
    return readRunFacts(await openSafetensors(file, { fileName: path }), path);
  } finally {
    await file.close();
  }
}

/** What is trained on and validated with. */
function partsOf(dataset: Dataset, { overfit, batch }: RunConfig): Pick<Work, 'records' | 'validation'> {
  const all = splitOf(dataset, 'train');
  const chosen = overfit > 0 ? all.slice(0, overfit) : all;
  if (chosen.length < batch) {
    throw new BackdropError('E_CONFIG', `a batch of ${batch} cannot be made of ${chosen.length} training pictures`, {
      hint: `Use --batch ${chosen.length} or less.`,
    });
  }
  return { records: chosen, validation: overfit > 0 ? chosen : (dataset.splits.get('val') ?? []) };
}

function identityOf(dataset: Dataset, root: string): Record<string, string> {
  const of = (split: 'train' | 'val') => fingerprint(dataset, dataset.splits.get(split) ?? [], root);
  return { 'split train': of('train'), 'split val': of('val') };
}

/** The model with a class for each of the data set's. */
async function chooseModel(
  { model, modelConfig: changes = {}, weights, size }: Partial<RunConfig>,
  { categories }: Dataset,
  io: Io,
): Promise<ModelConfig> {
  const labels = categories.map(({ name }) => name);
  if (weights === undefined) {
    const start = modelConfig(model ?? DEFAULT_MODEL);
    const unknown = Object.keys(changes).find((key) => !(key in start));
    if (unknown)
      throw new BackdropError('E_CONFIG', `modelConfig: ${start.name} has no "${unknown}"`, {
        hint: `It has ${Object.keys(start).join(', ')}.`,
      });
    return modelConfig(start, { ...(changes as ModelChanges), classes: labels.length, ...(size ? { size } : {}) });
  }
  if (Object.keys(changes).length > 0) throw new BackdropError('E_CONFIG', 'modelConfig changes the model, but --weights says what it is');
  const file = await openNodeFile(weights);
  try {
    const { config, report } = await openModelWeights(file, {
      fileName: file.fileName,
      signal: io.signal,
      labels,
      partial: true,
      ...(model ? { model } : {}),
    });
    for (const message of report.messages) io.note(message);
    return size ? modelConfig(config, { size }) : config;
  } finally {
    await file.close();
  }
}

interface Work {
  io: Io;
  run: RunDirectory;
  config: RunConfig;
  model: ModelConfig;
  dataset: Dataset;
  root: string;
  records: readonly ImageRecord[];
  validation: readonly ImageRecord[];
  identity: Record<string, string>;
  logEvery: number;
  /** One step, on the pictures that need most memory; nothing stays. */
  dryRun: boolean;
}

async function work({ io, run, config, model, dataset, root, records, validation, identity, logEvery, dryRun }: Work): Promise<number> {
  const { categories } = dataset;
  io.print(`backdrop ${version()}, ${model.name}, input ${model.size.join(' x ')}, seed ${config.seed}`);
  io.print(
    `data        ${resolve(config.data)}: ${records.length} pictures to train on, ${validation.length} to validate, ${categories.length} classes`,
  );
  io.print(`run         ${run.path}`);
  if (validation.length === 0) io.warn('there is no split "val": nothing will be validated, and there will be no best weights');
  const plots = new RunPlots(run, categories, validation);
  plots.labels(records);
  const { batch, accumulate } = config;
  const epochs = dryRun ? 1 : config.epochs;
  const most = [...records].sort((a, b) => objectsIn(b) - objectsIn(a)).slice(0, batch * accumulate);
  const parts = dryRun ? { train: most, validation: validation.slice(0, batch) } : { train: records, validation };
  const report = new TrainReport({ io, run, plots, epochs, accumulate, logEvery });
  const reply = await trainRun({
    ...{ io, run, report },
    request: { config: { ...config, epochs }, model, categories, ...parts, identity },
    dataFolder: root,
    weightsFile: config.weights ?? null,
    savedAt: async () => {
      if (!existsSync(run.file(LAST_STATE))) return null;
      const { steps, progress } = await factsOf(run);
      return { steps, epoch: progress.epoch };
    },
  });
  if (dryRun) {
    if (reply?.reason !== 'finished') return 130;
    tellDryRun(report, config, records.length, run, io);
    return 0;
  }
  const again = `backdrop train --resume ${run.path}`;
  const saved = existsSync(run.file(LAST_STATE));
  if (reply?.reason === 'finished' || reply?.reason === 'patience') {
    io.print(`${reply.reason === 'finished' ? 'done' : `stopped: no better AP in ${config.patience} validations`}; weights in ${run.path}`);
    return 0;
  }
  io.print(saved ? `saved; go on with\n  ${again}` : 'interrupted before anything was saved');
  if (saved) io.emit({ type: 'resume', command: again });
  return reply?.reason === 'time' ? 0 : 130;
}

function tellDryRun({ stepSeconds, bytes }: TrainReport, config: RunConfig, pictures: number, run: RunDirectory, io: Io): void {
  const { batch, accumulate, epochs } = config;
  const steps = Math.ceil(Math.floor(pictures / batch) / accumulate);
  const files = [LAST_STATE, LAST_WEIGHTS, BEST_WEIGHTS].map((name) => statSync(run.file(name), { throwIfNoEntry: false })?.size ?? 0);
  const stored = files.reduce((a, b) => a + b);
  const epoch = 1000 * steps * stepSeconds;
  io.print(
    `dry run     a step of ${batch * accumulate} pictures took ${duration(1000 * stepSeconds)}: an epoch of ${steps} steps about ${duration(epoch)}, ` +
      `${epochs} about ${duration(epochs * epoch)}, validations apart`,
  );
  io.print(
    `            ${megabytes(bytes)} on the device, ${megabytes(stored)} on the disk; training, validation and saving work, nothing was kept`,
  );
  io.emit({ type: 'dry-run', stepSeconds, steps, epochs, deviceBytes: bytes, diskBytes: stored });
}
