/** Page side of "backdrop train": loaders over the served data set, the trainer, and a store whose files lie with the host. */
import { openModelWeights } from '../../weights-tools/model-weights.ts';
import { httpDirectory } from '../data/directory.ts';
import { BatchLoader } from '../data/loader.ts';
import { loaderWorkers } from '../data/worker-preparer.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import { initialModel } from '../models/initial-model.ts';
import { openRun, type RunStore } from '../training/run-files.ts';
import { Trainer, type TrainerEvent } from '../training/trainer.ts';
import { augmentationOf, trainerConfig } from '../training/trainer-config.ts';
import { adapterName } from './adapter-name.ts';
import { fetchBlob } from './page-files.ts';
import { openCheckedDevice } from './page-gpu.ts';
import { register } from './page-registry.ts';
import { askHost } from './page-runtime.ts';
import { foundBoxes, labelBoxes, samplesOf, samplesPng } from './page-samples.ts';
import type { EventAnswer, FilePiece, TrainMessage, TrainReply, TrainRequest } from './train-messages.ts';

const PIECE_BYTES = 4 << 20;

const hex = (bytes: ArrayBuffer): string => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, '0')).join('');

/** Files go to the host in pieces with checksums, each acknowledged before the next. */
export function hostStore(): RunStore {
  return {
    async write(name, chunks) {
      let offset = 0;
      let filled = 0;
      const piece = new Uint8Array(PIECE_BYTES);
      const send = async (): Promise<void> => {
        const bytes = piece.slice(0, filled);
        const sha256 = hex(await crypto.subtle.digest('SHA-256', bytes));
        await askHost('train piece', { name, offset, bytes, sha256 } satisfies FilePiece);
        offset += filled;
        filled = 0;
      };
      for (const chunk of chunks) {
        for (let at = 0; at < chunk.byteLength; ) {
          const taken = Math.min(PIECE_BYTES - filled, chunk.byteLength - at);
          piece.set(chunk.subarray(at, at + taken), filled);
          filled += taken;
          at += taken;
          if (filled === PIECE_BYTES) await send();
        }
      }
      if (filled > 0 || offset === 0) await send();
      await askHost('train file', { name, size: offset });
    },
  };
}

/** Sends events one behind the other without delaying the training; `settled` waits for those so far. */
class EventSender {
  #sent: Promise<void> = Promise.resolve();
  #waiting: TrainMessage[] = [];
  #error: unknown;
  stop = false;

  send(message: TrainMessage): void {
    this.#waiting.push(message);
    if (this.#waiting.length > 1) return;
    this.#sent = this.#sent.then(async () => {
      const messages = this.#waiting.splice(0);
      try {
        const { stop } = await askHost<EventAnswer>('train events', messages);
        this.stop ||= stop;
      } catch (error) {
        this.#error ??= error;
        this.stop = true;
      }
    });
  }

  /** @throws what the host could not do with an event */
  async settled(): Promise<void> {
    await this.#sent;
    if (this.#error) throw this.#error;
  }
}

register<TrainRequest>('train', async (request): Promise<TrainReply> => {
  const { config, model, categories, train, validation, identity } = request;
  const { gpu, kernels, variants, warnings } = await openCheckedDevice();
  const events = new EventSender();
  const loaders: BatchLoader[] = [];
  try {
    events.send({ type: 'adapter', name: adapterName(gpu.info), software: gpu.info.software, warnings });
    const settings = trainerConfig(config, model, train);
    const directory = await httpDirectory(new URL(request.data, location.href).href, []);
    const { batch, size } = settings;
    const { seed } = config;
    const workers = loaderWorkers();
    const training = new BatchLoader({
      ...{ directory, records: train, batch, size, seed, dropLast: true },
      augmentation: augmentationOf(config),
      shuffle: config.overfit === 0,
      workers,
    });
    loaders.push(training);
    const common = { directory, batch, size, seed, augmentation: null, shuffle: false, workers };
    const validating = validation.length > 0 ? new BatchLoader({ ...common, records: validation }) : null;
    if (validating) loaders.push(validating);
    const store = hostStore();
    const samples = samplesOf(validation);
    let drawn: Promise<void> = samples.length === 0 ? Promise.resolve() : drawLabels();
    async function drawLabels(): Promise<void> {
      await store.write('val_batch0_labels.png', [await samplesPng(directory, samples, (record) => labelBoxes(record, categories))]);
    }
    const onEvent = (event: TrainerEvent): void => {
      events.send(event);
      if (event.type !== 'validation') return;
      const { detections, evaluation } = event;
      drawn = drawn.then(async () => {
        const png = await samplesPng(directory, samples, (record) => foundBoxes(record, detections, categories, evaluation.bestScore));
        await store.write('val_batch0_pred.png', [png]);
      });
    };
    const trainer = await Trainer.create({
      ...{ gpu, kernels, model, categories, identity },
      weights: await startingWeights(request),
      train: training,
      batchesPerEpoch: training.batchesPerEpoch,
      validation: validating && { source: validating, images: validation },
      config: { ...settings, program: { variants } },
      // What was told before a save is with the host before it: a resumed run's log has no gap.
      store: {
        ...store,
        write: async (name, chunks) => {
          await events.settled();
          await store.write(name, chunks);
        },
      },
      resume: request.state && (await openRun(await fetchBlob(request.state), request.state.name)),
      onEvent,
      shouldStop: () => events.stop,
    });
    const reason = await trainer.run();
    await drawn;
    await events.settled();
    return { reason };
  } finally {
    for (const loader of loaders) loader.close();
    gpu.close();
  }
});

async function startingWeights({ weights, model, categories, config }: TrainRequest): Promise<ParameterSource> {
  if (!weights) return initialModel(model, config.seed);
  const labels = categories.map(({ name }) => name);
  return (await openModelWeights(await fetchBlob(weights), { fileName: weights.name, model, labels, partial: true })).source;
}
