import { KernelCache, modelConfig, openDevice } from 'backdrop';
import { BatchLoader, datasetHash, handleDirectory, type LoaderWorkers, openDataset } from 'backdrop/data';
import {
  augmentationOf,
  directoryStore,
  initialModel,
  type RunConfig,
  resolveRun,
  savedRun,
  Trainer,
  type TrainerEvent,
  trainerConfig,
} from 'backdrop/training';

/** In a page or a worker. `pictures` and `out` come from showDirectoryPicker(); a run that was saved in `out` goes on. */
export async function trainFolder(
  pictures: FileSystemDirectoryHandle,
  out: FileSystemDirectoryHandle,
  settings: Partial<RunConfig>, // as the command line's: epochs, batch, lr, ...
  workers: LoaderWorkers, // loaderWorkers() of backdrop/data
  onEvent: (event: TrainerEvent) => void,
  shouldStop: () => boolean, // asked after every step; true: save and end
) {
  const directory = await handleDirectory(pictures);
  const { dataset } = await openDataset(directory);
  const { categories, splits } = dataset;
  const [train, val] = [splits.get('train') ?? [], splits.get('val') ?? []];
  const resume = await savedRun(out);
  const model = resume?.model ?? modelConfig('association-detr-nano', { ...settings.modelConfig, classes: categories.length });
  const run = resolveRun({ ...settings, data: pictures.name }, model);
  const config = trainerConfig(run, model, train);

  const common = { directory, batch: config.batch, size: config.size, seed: run.seed, workers };
  const training = new BatchLoader({ ...common, records: train, augmentation: augmentationOf(run), shuffle: true, dropLast: true });
  const validating = val.length > 0 ? new BatchLoader({ ...common, records: val, augmentation: null, shuffle: false }) : null;
  const gpu = await openDevice();
  try {
    const trainer = await Trainer.create({
      ...{ gpu, kernels: new KernelCache(gpu), model, categories, config, resume, onEvent, shouldStop },
      weights: initialModel(model, run.seed), // or openModelWeights(file, { labels, partial: true }) of backdrop/weights-tools
      train: training,
      batchesPerEpoch: training.batchesPerEpoch,
      validation: validating && { source: validating, images: val },
      store: directoryStore(out), // last, best and the training state, as the command line writes them
      identity: { 'data set': await datasetHash(dataset, directory) }, // another one under a saved run is E_RUN_MISMATCH
    });
    return await trainer.run(); // 'finished', 'patience', 'stopped' or 'time'
  } finally {
    training.close();
    validating?.close();
    gpu.close();
  }
}
