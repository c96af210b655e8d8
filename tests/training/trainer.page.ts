/** Page side of the trainer's tests: a data set in memory, a store in memory, and accidents on request. */
import type { Category, ImageRecord } from '../../src/data/dataset.ts';
import { BatchLoader } from '../../src/data/loader.ts';
import { BackdropError } from '../../src/errors.ts';
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { initialModel } from '../../src/models/initial-model.ts';
import type { BatchSource } from '../../src/training/batches.ts';
import { openRun, type RunStore } from '../../src/training/run-files.ts';
import { LAST_STATE, Trainer, type TrainerConfig, type TrainerEvent } from '../../src/training/trainer.ts';
import { memoryDirectory } from '../data/memory.ts';

export interface Pictures {
  files: Record<string, Uint8Array>;
  categories: Category[];
  train: ImageRecord[];
  validation: ImageRecord[];
}

export interface TrainerCase {
  model: ModelConfig;
  pictures: Pictures;
  config: TrainerConfig;
  /** New random order of the pictures in each epoch. */
  shuffle?: boolean;
  /** The files of a run that is to go on. */
  from?: Record<string, Uint8Array<ArrayBuffer>>;
  /** Told to stop, or the device destroyed, or the next image spoilt with a NaN, when this step has been told. */
  stopAt?: number;
  destroyAt?: number;
  spoilAt?: number;
  /** The store fails at its n-th file, from 0. */
  failAt?: number;
}

export interface TrainerAnswer {
  reason: string | null;
  error: { code: string; message: string; details: Record<string, unknown> } | null;
  events: Exclude<TrainerEvent, { type: 'compiling' | 'validating' }>[];
  files: Record<string, Uint8Array<ArrayBuffer>>;
  /** Names in the order they were stored. */
  written: string[];
  /** Buffers on the device that were there before and after. */
  buffers: [number, number];
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

function joined(chunks: Iterable<Uint8Array<ArrayBuffer>>): Uint8Array<ArrayBuffer> {
  const list = [...chunks];
  const out = new Uint8Array(list.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of list) {
    out.set(chunk, at);
    at += chunk.byteLength;
  }
  return out;
}

/** Validations' detections are many and are not needed here. */
function kept(event: TrainerEvent): TrainerAnswer['events'] {
  if (event.type === 'compiling' || event.type === 'validating') return [];
  return [event.type === 'validation' ? { ...event, detections: [] } : event];
}

function spoilt(source: BatchSource, when: () => boolean): BatchSource {
  return {
    close: () => source.close(),
    async *batches(epoch, first) {
      for await (const batch of source.batches(epoch, first)) {
        if (when()) batch.image[5] = Number.NaN;
        yield batch;
      }
    },
  };
}

register<TrainerCase>('trainer', async (given): Promise<TrainerAnswer> => {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  const { gpu, kernels } = shared;
  const { model, pictures, config, from, stopAt, destroyAt, spoilAt, failAt } = given;
  const { categories, train, validation } = pictures;
  const directory = memoryDirectory(pictures.files);
  const { batch, size } = config;
  const common = { directory, batch, size, seed: config.seed ?? 0, augmentation: null };
  const training = new BatchLoader({ ...common, records: train, shuffle: given.shuffle ?? true, dropLast: true });
  const validating = validation.length > 0 ? new BatchLoader({ ...common, records: validation, shuffle: false }) : null;
  const files: TrainerAnswer['files'] = { ...from };
  const written: string[] = [];
  const store: RunStore = {
    async write(name, chunks) {
      if (written.length === failAt) throw new BackdropError('E_FILE_WRITE', `cannot write ${name}: the disk is full`);
      files[name] = joined(chunks);
      written.push(name);
    },
  };
  const events: TrainerAnswer['events'] = [];
  let told = -1;
  const buffers = gpu.counters.buffers;
  const answer = (reason: string | null, error: TrainerAnswer['error']): TrainerAnswer => ({
    ...{ reason, error, events, files, written },
    buffers: [buffers, gpu.counters.buffers],
  });
  try {
    const trainer = await Trainer.create({
      ...{ gpu, kernels, model, categories, config, store },
      weights: initialModel(model, config.seed ?? 0),
      train: spoilAt === undefined ? training : spoilt(training, () => told + 1 >= spoilAt),
      batchesPerEpoch: training.batchesPerEpoch,
      validation: validating && { source: validating, images: validation },
      resume: from ? await openRun(new Blob([from[LAST_STATE]]), LAST_STATE) : null,
      onEvent: (event) => {
        events.push(...kept(event));
        if (event.type !== 'step') return;
        told = event.step;
        if (told === destroyAt) gpu.device.destroy();
      },
      shouldStop: () => stopAt !== undefined && told >= stopAt,
    });
    return answer(await trainer.run(), null);
  } catch (error) {
    if (!(error instanceof BackdropError)) throw error;
    const { code, message, details } = error;
    return answer(null, { code, message, details });
  } finally {
    training.close();
    validating?.close();
  }
});
