/** Page side of "backdrop detect": one detector, loaded once, then picture after picture. */
import { openModelWeights } from '../../weights-tools/model-weights.ts';
import { BackdropError } from '../errors.ts';
import { Detector, type LoadProgress as Progress } from '../index.ts';
import type { DetectReply, DetectRequest, LoadProgress, LoadReply, LoadRequest } from './detect-messages.ts';
import { annotatedPng, decodeImage, imagePixels } from './image.ts';
import { register } from './page-registry.ts';

const stageNames: Record<Progress['stage'], string> = { weights: 'loading weights', kernels: 'compiling kernels' };

let detector: Detector | undefined;

async function fetchBlob(url: string, name: string, signal: AbortSignal): Promise<Blob> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new BackdropError('E_FILE_MISSING', `${name} could not be read (status ${response.status})`);
  return response.blob();
}

register<LoadRequest>('detect load', async ({ url, name, model, labels, size }, { progress, signal }): Promise<LoadReply> => {
  detector?.dispose();
  detector = undefined;
  const weights = await openModelWeights(await fetchBlob(url, name, signal), {
    fileName: name,
    signal,
    ...(model === undefined ? {} : { model }),
    ...(labels === undefined ? {} : { labels }),
  });
  detector = await Detector.load(weights.source, {
    model: weights.config,
    ...(weights.labels === undefined ? {} : { labels: weights.labels }),
    ...(size === undefined ? {} : { size }),
    signal,
    onProgress: ({ stage, loaded, total }) => progress({ label: stageNames[stage], fraction: loaded / total } satisfies LoadProgress),
  });
  return { model: detector.config.name, adapter: detector.adapter, warnings: [...detector.warnings] };
});

register<DetectRequest>('detect image', async ({ url, name, threshold, maxResults, annotate }, { signal }): Promise<DetectReply> => {
  if (!detector) throw new BackdropError('E_INPUT', 'no model is loaded');
  const blob = await fetchBlob(url, name, signal);
  const start = performance.now();
  const bitmap = await decodeImage(blob, name);
  try {
    const pixels = imagePixels(bitmap, name);
    const decode = performance.now() - start;
    const { detections, timings } = await detector.detect(pixels, { threshold, maxResults, signal });
    const png = annotate ? await annotatedPng(bitmap, detections) : null;
    const { preprocess, inference, postprocess } = timings;
    return { width: bitmap.width, height: bitmap.height, detections, timings: { decode, preprocess, inference, postprocess }, png };
  } finally {
    bitmap.close();
  }
});
