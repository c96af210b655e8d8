/** Worker: the graphics device, the model and its weights. A lost device is opened anew once for each call. */

import { BackdropError } from '../src/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { Detector, type DetectorImage, type Inspection, models, openDevice } from '../src/index.ts';
import { type ModelWeights, openModelWeights } from '../weights-tools/model-weights.ts';
import { openCheckpoint } from '../weights-tools/open.ts';
import {
  type EngineCalls,
  inputSizes,
  leastScore,
  type Machine,
  type ModelSummary,
  type OpenProgress,
  type OpenRequest,
} from './engine.ts';
import { type CallContext, serve } from './rpc.ts';

interface Loaded {
  readonly request: OpenRequest;
  readonly gpu: Gpu;
  readonly detector: Detector;
  /** Of the square input; null: the model's own. */
  readonly size: number | null;
  readonly messages: readonly string[];
}

let loaded: Loaded | undefined;
let lastInspection: Inspection | undefined;

/** Everything that the page may want to show. */
const all = { threshold: leastScore, maxResults: 300 };

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
  lastInspection = undefined;
}

async function load(request: OpenRequest, signal: AbortSignal, progress: (value: OpenProgress) => void): Promise<Loaded> {
  unload();
  progress({ stage: 'reading', fraction: null });
  const weights = await openModelWeights(request.file, {
    fileName: request.name,
    ...(request.model === undefined ? {} : { model: request.model }),
  });
  signal.throwIfAborted();
  const wanted = request.size ?? Math.max(...weights.config.size);
  let small: BackdropError | null = null;
  for (const size of [wanted, ...inputSizes.filter((one) => one < wanted)]) {
    try {
      return await loadAt(size === request.size || small ? size : null, request, weights, small, signal, progress);
    } catch (error) {
      if (!(error instanceof BackdropError) || (error.code !== 'E_GPU_OOM' && error.code !== 'E_GPU_LIMIT')) throw error;
      small ??= error;
    }
  }
  throw small;
}

/** @param size null: the model's own @param tooLarge what a larger size failed with */
async function loadAt(
  size: number | null,
  request: OpenRequest,
  { source, config, labels, report }: ModelWeights,
  tooLarge: BackdropError | null,
  signal: AbortSignal,
  progress: (value: OpenProgress) => void,
): Promise<Loaded> {
  const gpu = await openDevice();
  try {
    const detector = await Detector.load(source, {
      gpu,
      model: config,
      signal,
      ...(labels ? { labels } : {}),
      ...(size === null ? {} : { size }),
      onProgress: ({ stage, loaded: done, total }) => progress({ stage, fraction: total > 0 ? done / total : null }),
    });
    const smaller = tooLarge ? [`${size} × ${size} is the largest input that fits: ${tooLarge.message}`] : [];
    loaded = { request, gpu, detector, size, messages: [...smaller, ...report.messages, ...detector.warnings] };
    return loaded;
  } catch (error) {
    gpu.close();
    throw error;
  }
}

function summary({ detector, size, messages }: Loaded): ModelSummary {
  const { config, adapter, statistics, labels } = detector;
  const name = adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'unnamed adapter';
  return {
    name: config.name,
    classes: labels,
    size: size === null ? config.size : [size, size],
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

  detect: ({ bitmap, inspect }, { signal, transfer }) =>
    inTurn(async () => {
      const started = performance.now();
      const pixels = pixelsOf(bitmap);
      const decode = performance.now() - started;
      const { result, recovered } = await withModel(signal, ({ detector }) => detector.detect(pixels, { ...all, inspect, signal }));
      const { inspection, timings, ...found } = result;
      lastInspection = inspection;
      const background = inspection?.background ?? null;
      // The inspection keeps its own.
      const copy = background && { ...background, values: background.values.slice() };
      if (copy) transfer(copy.values.buffer);
      const split = { ...timings, decode, total: timings.total + decode };
      return { ...found, timings: split, recovered, inspected: inspect, background: copy };
    }),

  points: ({ query }) => inTurn(async () => lastInspection?.samplingPoints(query) ?? []),

  without: ({ bitmap }, { signal }) =>
    inTurn(async () => {
      const pixels = pixelsOf(bitmap);
      const { result } = await withModel(signal, async ({ detector }) =>
        detector.config.associationEncoder ? (await detector.detect(pixels, { ...all, background: false, signal })).detections : null,
      );
      return result;
    }),

  tensors: async (_, { progress }) => {
    if (!loaded) throw new BackdropError('E_INPUT', 'No model is loaded.', { hint: 'Choose a model first.' });
    const { file, name } = loaded.request;
    const { formatInspection, inspectCheckpoint } = await import('../weights-tools/inspect.ts');
    const source = await openCheckpoint(file, { fileName: name });
    return formatInspection(await inspectCheckpoint(source, { onProgress: ({ done, total }) => progress(done / total) }));
  },

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
