/** Detectors with formula weights, in the page. */
import { type DetectOptions, Detector, type LoadOptions } from '../../src/detector/detector.ts';
import { runSelfTest } from '../../src/detector/self-test.ts';
import type { WeightSource } from '../../src/detector/weights.ts';
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { type CompileProgress, type Kernel, KernelCache, type KernelSpec } from '../../src/gpu/kernels.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import { FormulaSource, integers } from '../../src/verification/formula.ts';

let shared: Gpu | null = null;

/** One device for all tests: on a software adapter, compiling again would be most of the time. */
async function device(): Promise<Gpu> {
  if (!shared || shared.failure) shared = await openDevice();
  return shared;
}

function weightsOf(config: ModelConfig): WeightSource {
  const table = modelParameters(config);
  const source = new FormulaSource(new Map([...table].map(([name, { shape }]) => [name, shape])), 'detector');
  return { tensors: table, readFloat32: (name) => source.readFloat32(name) };
}

/** Noise in blocks, so that resizing leaves something of it. */
function picture(key: string, width: number, height: number): { data: Uint8ClampedArray; width: number; height: number } {
  const blocks = integers(key, 4096, 256);
  const data = new Uint8ClampedArray(width * height * 4).map((_, i) => {
    const [x, y] = [Math.floor(i / 4) % width, Math.floor(i / 4 / width)];
    return i % 4 === 3 ? 255 : blocks[((x >> 3) * 61 + (y >> 3) * 3 + (i % 4)) % 4096];
  });
  return { data, width, height };
}

register<{ config: ModelConfig; pictures: [string, number, number][]; options?: DetectOptions; together?: boolean }>(
  'detect',
  async ({ config, pictures, options = {}, together = false }) => {
    const gpu = await device();
    const before = gpu.counters.buffers;
    const progress: string[] = [];
    const load: LoadOptions = {
      model: config,
      gpu,
      onProgress: ({ stage, loaded, total }) => progress.push(`${stage} ${loaded}/${total}`),
    };
    const detector = await Detector.load(weightsOf(config), load);
    const results = [];
    const counters = [];
    const images = pictures.map(([key, width, height]) => picture(key, width, height));
    if (together) results.push(...(await Promise.all(images.map((image) => detector.detect(image, options)))));
    else {
      for (const image of images) {
        results.push(await detector.detect(image, options));
        counters.push({ ...gpu.counters });
      }
    }
    detector.dispose();
    detector.dispose();
    const left = gpu.counters.buffers - before;
    const after = await detector.detect(images[0]).then(
      () => 'it ran',
      (error) => error.message,
    );
    return { results, counters, progress, selfTest: detector.selfTest, labels: detector.labels, left, after };
  },
);

/** Aborts when the given stage of loading is reached, or before a detection. */
register<{ config: ModelConfig; at: string }>('detect abort', async ({ config, at }) => {
  const gpu = await device();
  const abort = new AbortController();
  const reason = new DOMException('the user left', 'AbortError');
  const before = gpu.counters.buffers;
  if (at === 'start') abort.abort(reason);
  const outcome = await Detector.load(weightsOf(config), {
    model: config,
    gpu,
    signal: abort.signal,
    onProgress: ({ stage }) => {
      if (stage === at) abort.abort(reason);
    },
  }).then(
    async (detector) => {
      const stop = new AbortController();
      const running = detector.detect(picture('a', 64, 64), { signal: stop.signal });
      stop.abort(reason);
      const failed = await running.then(
        () => 'it ran',
        (error) => error.message,
      );
      const next = await detector.detect(picture('a', 64, 64), { threshold: 0 });
      detector.dispose();
      return `${failed}; then ${next.detections.length > 0 ? 'it works' : 'nothing'}`;
    },
    (error) => error.message,
  );
  const leaked = gpu.counters.buffers - before;
  return { outcome, leaked };
});

/** A detector from the bytes of an image file. */
register<{ config: ModelConfig; file: Uint8Array }>('detect file', async ({ config, file }) => {
  const detector = await Detector.load(weightsOf(config), { model: config });
  try {
    return await detector.detect(new Blob([file as Uint8Array<ArrayBuffer>]), { threshold: 0, maxResults: 3 });
  } finally {
    detector.dispose();
  }
});

register('self-test of the kernels', async () => {
  const gpu = await device();
  const before = gpu.counters.buffers;
  const kernels = new KernelCache(gpu);
  const cold = await runSelfTest(gpu, kernels);
  const warm = await runSelfTest(gpu, kernels);
  const leaked = gpu.counters.buffers - before;
  return { cold, warm, leaked };
});

/** A driver that miscompiles some shaders: what they store is off by one. */
class FaultyKernels extends KernelCache {
  #faulty: (shader: string) => boolean;

  constructor(gpu: Gpu, faulty: (shader: string) => boolean) {
    super(gpu);
    this.#faulty = faulty;
  }

  override prepare(specs: readonly KernelSpec[], onProgress?: (progress: CompileProgress) => void): Promise<Kernel[]> {
    const changed = specs.map((spec) =>
      this.#faulty(spec.shader.name) ? { ...spec, hooks: { ...spec.hooks, epilogue: 'return v + 1.0;' } } : spec,
    );
    return super.prepare(changed, onProgress);
  }
}

register<{ faulty: string; sound?: string }>('self-test of a faulty driver', async ({ faulty, sound }) => {
  const gpu = await device();
  const result = await runSelfTest(gpu, new FaultyKernels(gpu, (name) => name.startsWith(faulty) && name !== sound));
  return result;
});

register<{ config: ModelConfig }>('inspect', async ({ config }) => {
  const gpu = await device();
  const image = picture('a', 150, 90);
  const detector = await Detector.load(weightsOf(config), { model: config, gpu });
  const bare = { ...config, associationEncoder: null };
  const plain = await Detector.load(weightsOf(bare), { model: bare, gpu });
  const inspection = await detector.inspect(image);
  const everything = { threshold: 0, maxResults: 300 };
  const reply = {
    background: inspection.background,
    points: Array.from({ length: config.queries }, (_, query) => inspection.samplingPoints(query)),
    without: (await detector.detect(image, { ...everything, background: false })).detections,
    never: (await plain.detect(image, everything)).detections,
    with: (await detector.detect(image, everything)).detections,
  };
  detector.dispose();
  plain.dispose();
  return reply;
});
