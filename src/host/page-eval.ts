/** Page side of "backdrop eval": the weights of a file on a split of the served data set. */
import { openModelWeights } from '../../weights-tools/model-weights.ts';
import { httpDirectory } from '../data/directory.ts';
import { BatchLoader } from '../data/loader.ts';
import { loaderWorkers } from '../data/worker-preparer.ts';
import { evaluateDetections } from '../evaluation/coco.ts';
import { buildModel } from '../models/rt-detr.ts';
import { detectAll } from '../training/validator.ts';
import { adapterName } from './adapter-name.ts';
import type { EvalReply, EvalRequest } from './eval-messages.ts';
import { fetchBlob } from './page-files.ts';
import { openCheckedDevice } from './page-gpu.ts';
import { register } from './page-registry.ts';

register<EvalRequest>('eval', async (request, { progress, signal }): Promise<EvalReply> => {
  const { weights, model, categories, records, labels, batch } = request;
  const { source, config } = await openModelWeights(await fetchBlob(weights), {
    fileName: weights.name,
    signal,
    ...(model === null ? {} : { model }),
  });
  const size = request.size ?? config.size;
  const { gpu, kernels, variants, warnings } = await openCheckedDevice();
  const directory = await httpDirectory(new URL(request.data, location.href).href, []);
  const loader = new BatchLoader({
    directory,
    records,
    batch,
    size,
    augmentation: null,
    seed: 0,
    shuffle: false,
    workers: loaderWorkers(),
  });
  try {
    const begin = performance.now();
    const found = await detectAll(loader, {
      ...{ gpu, kernels, model: buildModel(config), weights: source, batch, size, variants },
      onProgress: (images) => progress(images / records.length),
      shouldStop: () => signal.aborted,
    });
    signal.throwIfAborted();
    const seconds = (performance.now() - begin) / 1000;
    // The file's classes may stand in another order than the data set's, or be more of them.
    const detections = (found ?? []).flatMap((d) => (labels[d.label] === null ? [] : [{ ...d, label: labels[d.label] as number }]));
    const evaluation = evaluateDetections(records, categories, detections);
    return {
      model: config.name,
      adapter: { name: adapterName(gpu.info), software: gpu.info.software },
      warnings,
      evaluation,
      detections,
      seconds,
    };
  } finally {
    loader.close();
    gpu.close();
  }
});
