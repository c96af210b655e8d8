/** Worker: fine-tuning with the command line's trainer. Pictures, run and weights lie in the browser's own storage (OPFS). */

import { openSafetensors } from '../src/checkpoints/index.ts';
import type { DataDirectory, Dataset, ImageRecord } from '../src/data/dataset.ts';
import { filesDirectory, handleDirectory } from '../src/data/directory.ts';
import { BatchLoader } from '../src/data/loader.ts';
import { openDataset } from '../src/data/open.ts';
import { BackdropError } from '../src/errors.ts';
import { KernelCache } from '../src/gpu/kernels.ts';
import { openDevice, runSelfTest } from '../src/index.ts';
import type { ModelConfig } from '../src/models/configs.ts';
import { writeFile } from '../src/training/directory-store.ts';
import { type RunConfig, readSettings, resolveRun } from '../src/training/run-config.ts';
import { openRun, type RunStore, readRunFacts } from '../src/training/run-files.ts';
import { BEST_WEIGHTS, LAST_STATE, LAST_WEIGHTS, Trainer, type TrainerEvent } from '../src/training/trainer.ts';
import { augmentationOf, trainerConfig } from '../src/training/trainer-config.ts';
import { openModelWeights } from '../weights-tools/model-weights.ts';
import { serve } from './rpc.ts';
import type { SamplePrediction, StoredRun, StoredSet, TrainCalls, TuneEvent, TuneSettings } from './train-calls.ts';

const folders = { data: 'finetune-data', run: 'finetune-run' };
const settingsFile = 'settings.json';
/** Share of the training pictures that is kept for validation where the set has none. */
const heldBack = 0.2;
const samples = 4;

const storage = () => navigator.storage.getDirectory();

async function folder(name: string): Promise<FileSystemDirectoryHandle> {
  return (await storage()).getDirectoryHandle(name, { create: true });
}

async function removeFolder(name: string): Promise<void> {
  await (await storage()).removeEntry(name, { recursive: true }).catch((error: DOMException) => {
    if (error.name !== 'NotFoundError') throw error;
  });
}

async function write(...file: Parameters<typeof writeFile>): Promise<void> {
  try {
    await writeFile(...file);
  } catch (cause) {
    if (!(cause instanceof BackdropError) || cause.details.reason !== 'QuotaExceededError') throw cause;
    throw new BackdropError('E_FILE_WRITE', 'The browser has no room for this.', {
      cause,
      hint: 'Delete stored models on the Model panel, free disk space, or use fewer pictures.',
    });
  }
}

async function read(directory: FileSystemDirectoryHandle, name: string): Promise<Blob | null> {
  const handle = await directory.getFileHandle(name).catch(() => null);
  return (await handle?.getFile()) ?? null;
}

async function runStore(): Promise<RunStore> {
  const directory = await folder(folders.run);
  return { write: (name, chunks) => write(directory, name, chunks) };
}

/** The pictures to train on and to validate with; a fifth is held back where the set has no validation split. */
function splits({ splits }: Dataset): { train: readonly ImageRecord[]; val: readonly ImageRecord[] } {
  const all = splits.get('train') ?? [];
  const val = splits.get('val') ?? splits.get('test');
  if (val) return { train: all, val };
  const every = Math.round(1 / heldBack);
  return { train: all.filter((_, i) => i % every !== 0), val: all.filter((_, i) => i % every === 0) };
}

async function summary(directory: DataDirectory): Promise<{ set: StoredSet; dataset: Dataset }> {
  const { dataset, problems } = await openDataset(directory);
  const { train, val } = splits(dataset);
  if (train.length === 0 || val.length === 0) {
    throw new BackdropError('E_DATA', `This set has ${train.length} pictures to train on and ${val.length} to validate with.`, {
      hint: 'A few dozen labelled pictures are the least.',
    });
  }
  const words = problems.filter(({ severity }) => severity !== 'info').map(({ message }) => message);
  const set = {
    format: dataset.format,
    classes: dataset.categories.map(({ name }) => name),
    train: train.length,
    val: val.length,
    problems: words,
  };
  return { set, dataset };
}

async function keep(files: readonly { path: string; file: File }[], progress: (share: number) => void): Promise<StoredSet> {
  // Read where it lies: a set that cannot be used leaves the one before in place.
  const { set } = await summary(filesDirectory(files));
  await removeFolder(folders.data);
  await removeFolder(folders.run);
  const root = await folder(folders.data);
  for (const [i, { path, file }] of files.entries()) {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.' && part !== '..');
    const name = parts.pop();
    if (name === undefined) continue;
    let directory = root;
    for (const part of parts) directory = await directory.getDirectoryHandle(part, { create: true });
    await write(directory, name, [file]);
    progress((i + 1) / files.length);
  }
  return set;
}

async function storedRun(): Promise<StoredRun | null> {
  const directory = await folder(folders.run);
  const [state, settings] = [await read(directory, LAST_STATE), await read(directory, settingsFile)];
  if (!state || !settings) return null;
  const { progress, steps } = readRunFacts(await openSafetensors(state, { fileName: LAST_STATE }), LAST_STATE);
  return { settings: JSON.parse(await settings.text()) as TuneSettings, epoch: progress.epoch, steps, bestAp: progress.best?.ap ?? null };
}

let stop = false;
let training = false;

function configOf({ epochs, batch, size, lr }: TuneSettings, model: ModelConfig): RunConfig {
  return resolveRun(readSettings({ data: folders.data, weights: 'model', epochs, batch, size, lr }, 'the page'), model);
}

async function train(
  settings: TuneSettings,
  weights: { file: Blob; name: string } | null,
  tell: (event: TuneEvent) => void,
): Promise<string> {
  const directory = await handleDirectory(await folder(folders.data));
  const { dataset } = await summary(directory);
  const { train: records, val } = splits(dataset);
  const labels = dataset.categories.map(({ name }) => name);
  if (weights) {
    await removeFolder(folders.run);
    await write(await folder(folders.run), settingsFile, [JSON.stringify(settings)]);
  }
  const state = weights ? null : await read(await folder(folders.run), LAST_STATE);
  const resume = state && (await openRun(state, LAST_STATE));
  if (!weights && !resume) throw new BackdropError('E_INPUT', 'There is no run to go on with.', { hint: 'Start a new one.' });
  const start = weights ? await openModelWeights(weights.file, { fileName: weights.name, labels, partial: true }) : null;
  const model = resume?.model ?? start!.config;
  const config = configOf(settings, model);
  const store = await runStore();
  const gpu = await openDevice();
  const loaders: BatchLoader[] = [];
  try {
    const kernels = new KernelCache(gpu);
    const { variants } = await runSelfTest(gpu, kernels);
    const trainer = trainerConfig(config, model, records);
    const { batch, size } = trainer;
    const common = { directory, batch, size, seed: config.seed };
    loaders.push(
      new BatchLoader({ ...common, records, augmentation: augmentationOf(config), shuffle: true, dropLast: true }),
      new BatchLoader({ ...common, records: val, augmentation: null, shuffle: false }),
    );
    if (loaders[0].batchesPerEpoch === 0) {
      throw new BackdropError('E_INPUT', `${records.length} pictures do not fill a batch of ${batch}.`, {
        hint: 'Choose a smaller batch.',
      });
    }
    const run = await Trainer.create({
      ...{ gpu, kernels, model, store, resume },
      categories: dataset.categories,
      weights: start?.source ?? resume!.weights,
      train: loaders[0],
      batchesPerEpoch: loaders[0].batchesPerEpoch,
      validation: { source: loaders[1], images: val },
      config: { ...trainer, program: { variants } },
      onEvent: (event) => void relay(event, directory, val, labels, tell),
      shouldStop: () => stop,
    });
    return await run.run();
  } finally {
    for (const loader of loaders) loader.close();
    gpu.close();
  }
}

/** Validations go to the page with a few pictures and what was found in them. */
async function relay(
  event: TrainerEvent,
  directory: DataDirectory,
  val: readonly ImageRecord[],
  labels: readonly string[],
  tell: (event: TuneEvent) => void,
): Promise<void> {
  if (event.type !== 'validation') return tell(event);
  const { epoch, evaluation, detections, best } = event;
  const shown: SamplePrediction[] = [];
  for (const { id, file } of val.slice(0, samples)) {
    const found = detections
      .filter(({ imageId, score }) => imageId === id && score >= 0.3)
      .map(({ label, score, box: [x, y, w, h] }) => ({ label: labels[label], score, box: { xmin: x, ymin: y, xmax: x + w, ymax: y + h } }));
    shown.push({ file: await directory.read(file), found });
  }
  tell({ type: 'validation', epoch, ap: evaluation.stats[0], ap50: evaluation.stats[1], best, lines: evaluation.lines, samples: shown });
}

serve<TrainCalls>({
  stored: async () => {
    const directory = await handleDirectory(await folder(folders.data));
    if ((await directory.list()).length === 0) return { set: null, run: null };
    return { set: (await summary(directory)).set, run: await storedRun() };
  },

  keep: ({ files }, { progress }) => keep(files, progress),

  train: async ({ settings, weights }, { progress }) => {
    if (training) throw new BackdropError('E_INPUT', 'A training is running.', { hint: 'Pause it first.' });
    training = true;
    stop = false;
    try {
      return { reason: await train(settings, weights, progress) };
    } finally {
      training = false;
    }
  },

  pause: () => {
    stop = true;
    return null;
  },

  weights: async () => {
    const directory = await folder(folders.run);
    return (await read(directory, BEST_WEIGHTS)) ?? (await read(directory, LAST_WEIGHTS));
  },

  discard: async () => {
    await removeFolder(folders.run);
    await removeFolder(folders.data);
    return null;
  },
});
