/** Worker: the graphics device, the model and its weights. A lost device is opened anew once for each call. */

import { BackdropError } from '../src/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { Detector, type DetectorImage, models, openDevice } from '../src/index.ts';
import { openModelWeights } from '../weights-tools/model-weights.ts';
import { type EngineCalls, leastScore, type Machine, type ModelSummary, type OpenProgress, type OpenRequest } from './engine.ts';
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

function machine({ device, counters }: Gpu, { recording }: Detector): Machine {
  const limits: Record<string, number> = {};
  // The limits are getters of their class.
  for (const name in device.limits) limits[name] = Number(Reflect.get(device.limits, name));
  const tensors = recording.plan.placements.map(({ value, arena, offset, bytes, first, last }) => ({
    ...{ label: value.label, shape: [value.images, value.rows, value.columns] },
    ...{ arena, offset, bytes, first, last },
  }));
  const { steps, plan } = recording;
  const { buffers, bufferBytes } = counters;
  return { limits, features: [...device.features].sort(), arenas: plan.arenas, dispatches: steps.length, buffers, bufferBytes, tensors };
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
  architectures: () => [...models.keys()],

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

  inspect: ({ bitmap, query }, { signal }) =>
    inTurn(async () => {
      const pixels = pixelsOf(bitmap);
      const { result } = await withModel(signal, async ({ detector }) => {
        const inspection = await detector.inspect(pixels, { signal });
        const options = { threshold: leastScore, maxResults: 300, background: false, signal };
        const without = detector.config.associationEncoder ? (await detector.detect(pixels, options)).detections : null;
        const points = query === null ? [] : inspection.samplingPoints(query);
        return { background: inspection.background, points, without };
      });
      return result;
    }),

  machine: (_, { signal }) =>
    inTurn(async () => {
      const { result } = await withModel(signal, async ({ gpu, detector }) => machine(gpu, detector));
      return result;
    }),

  profile: (_, { signal, progress }) =>
    inTurn(async () => {
      // Most visitors never ask for it.
      const { profileSteps } = await import('../src/gpu/profiler.ts');
      const { result } = await withModel(signal, async ({ gpu, detector }) =>
        profileSteps(gpu, detector.recording.steps, { rounds: 1, onProgress: (done, total) => progress(done / total) }),
      );
      return { method: result.method, steps: result.steps };
    }),

  loseDevice: async () => {
    loaded?.gpu.device.destroy();
    return null;
  },
});
