/** Worker: the graphics device, the model and its weights. A lost device is opened anew once for each call. */

import { BackdropError } from '../src/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { Detector, type DetectorImage, openDevice } from '../src/index.ts';
import { openModelWeights } from '../weights-tools/model-weights.ts';
import { type EngineCalls, leastScore, type ModelSummary, type OpenProgress, type OpenRequest } from './engine.ts';
import { type CallContext, serve } from './rpc.ts';

interface Loaded {
  readonly request: OpenRequest;
  readonly gpu: Gpu;
  readonly detector: Detector;
  readonly messages: readonly string[];
}

let loaded: Loaded | undefined;

/** One thing at a time on the device. */
let queue: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = queue.then(work);
  queue = result.catch(() => {});
  return result;
}

function unload(): void {
  loaded?.detector.dispose();
  loaded?.gpu.close();
  loaded = undefined;
}

async function load(request: OpenRequest, signal: AbortSignal, progress: (value: OpenProgress) => void): Promise<Loaded> {
  unload();
  progress({ stage: 'reading', fraction: null });
  const { source, config, labels, report } = await openModelWeights(request.file, {
    fileName: request.name,
    ...(request.model === undefined ? {} : { model: request.model }),
  });
  signal.throwIfAborted();
  const gpu = await openDevice();
  try {
    const detector = await Detector.load(source, {
      gpu,
      model: config,
      signal,
      ...(labels ? { labels } : {}),
      ...(request.size === undefined ? {} : { size: request.size }),
      onProgress: ({ stage, loaded: done, total }) => progress({ stage, fraction: total > 0 ? done / total : null }),
    });
    loaded = { request, gpu, detector, messages: [...report.messages, ...detector.warnings] };
    return loaded;
  } catch (error) {
    gpu.close();
    throw error;
  }
}

function summary({ request, detector, messages }: Loaded): ModelSummary {
  const { config, adapter, statistics, labels } = detector;
  const name = adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'unnamed adapter';
  return {
    name: config.name,
    classes: labels,
    size: request.size === undefined ? config.size : [request.size, request.size],
    associationEncoder: config.associationEncoder !== null,
    messages,
    adapter: { name, software: adapter.software },
    dispatches: statistics.dispatches,
    pipelines: statistics.pipelines,
    activations: statistics.activationBytes,
    parameters: statistics.parameterBytes,
  };
}

/** Runs work on the loaded model. Where the device is lost, the model is loaded again, once, and the work repeated. */
async function withModel<T>(signal: AbortSignal, work: (loaded: Loaded) => Promise<T>): Promise<{ result: T; recovered: boolean }> {
  if (!loaded) throw new BackdropError('E_INPUT', 'No model is loaded.', { hint: 'Choose a model first.' });
  try {
    return { result: await work(loaded), recovered: false };
  } catch (error) {
    if (!(error instanceof BackdropError) || error.code !== 'E_GPU_LOST') throw error;
    const again = await load(loaded.request, signal, () => {});
    return { result: await work(again), recovered: true };
  }
}

/** The pixels as stored, without premultiplied alpha. */
function pixelsOf(bitmap: ImageBitmap): DetectorImage {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new BackdropError('E_IMAGE', `The browser has no room for a picture of ${width} × ${height} pixels.`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

serve<EngineCalls>({
  open: (request, { signal, progress }: CallContext<OpenProgress>) => inTurn(async () => summary(await load(request, signal, progress))),

  detect: ({ bitmap }, { signal }) =>
    inTurn(async () => {
      const started = performance.now();
      const pixels = pixelsOf(bitmap);
      const decode = performance.now() - started;
      const { result, recovered } = await withModel(signal, ({ detector }) =>
        detector.detect(pixels, { threshold: leastScore, maxResults: 300, signal }),
      );
      return { ...result, timings: { ...result.timings, decode, total: result.timings.total + decode }, recovered };
    }),

  loseDevice: async () => {
    loaded?.gpu.device.destroy();
    return null;
  },
});
