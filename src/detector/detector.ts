/** Weights in, detections out: the library's main object. */
import type { FileLike } from '../checkpoints/bytes.ts';
import { openSafetensors } from '../checkpoints/safetensors.ts';
import { BackdropError } from '../errors.ts';
import { type AdapterInfo, type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { Graph } from '../graph/graph.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { Program, type ProgramStatistics } from '../graph/program.ts';
import type { ModelConfig } from '../models/configs.ts';
import { checkInputSize, DetectionTransformer } from '../models/rt-detr.ts';
import { cocoClasses } from './coco.ts';
import { type DetectorImage, readPixels } from './image.ts';
import { Inspection, traceInspection } from './inspection.ts';
import { type Detection, postprocess } from './postprocess.ts';
import { Preprocessor } from './preprocessor.ts';
import { runSelfTest, type SelfTestResult } from './self-test.ts';
import { modelFor, type WeightSource } from './weights.ts';

/** [height, width], or one number for both; multiples of 32. */
export type InputSize = number | readonly [number, number];

export interface LoadProgress {
  stage: 'weights' | 'kernels';
  loaded: number;
  total: number;
}

export interface LoadOptions {
  /** A name such as association-detr-r34, or a configuration; what the file says when left out. */
  model?: string | ModelConfig;
  /** Input size of the network; the model's own (640) when left out. */
  size?: InputSize;
  /** Names of the classes; the file's, or COCO's 80, when left out. */
  labels?: readonly string[];
  onProgress?: (progress: LoadProgress) => void;
  /** Aborting rejects with the signal's reason, and frees what was made. */
  signal?: AbortSignal;
  /** A device of one's own; the detector opens one, and closes it, when left out. */
  gpu?: Gpu;
  /** Kernel variants forced by operation, for tests and reports: `{ gemm: 'registers' }`. */
  variants?: Readonly<Record<string, string>>;
}

export interface DetectOptions {
  /** Least score; 0.5. */
  threshold?: number;
  /** At most so many; 300. */
  maxResults?: number;
  /** Only these classes, by name. */
  classes?: readonly string[];
  /** Give COCO's category ids instead of class indices. */
  remap?: boolean;
  /** Input size of this call. */
  size?: InputSize;
  /** False leaves the Association Encoder out: the same weights without the background. */
  background?: boolean;
  /** True keeps inner results: the result has an `inspection`. */
  inspect?: boolean;
  signal?: AbortSignal;
}

/** What a recorded network gives: detections, detections without the Association Encoder, or a look inside. */
type Kind = 'detect' | 'plain' | 'inspect';

/** Milliseconds. */
export interface Timings {
  /** From the image to pixels; 0 where pixels were given. */
  decode: number;
  preprocess: number;
  inference: number;
  postprocess: number;
  total: number;
}

export interface DetectionResult {
  detections: Detection[];
  timings: Timings;
  /** Of the original image, in pixels. */
  width: number;
  height: number;
  /** Where `inspect` asked for it. */
  inspection?: Inspection;
}

/** Detectors on one device share what was compiled. */
const caches = new WeakMap<Gpu, KernelCache>();

function kernelsOf(gpu: Gpu): KernelCache {
  const kernels = caches.get(gpu) ?? new KernelCache(gpu);
  caches.set(gpu, kernels);
  return kernels;
}

function isWeights(source: WeightSource | FileLike | string | URL): source is WeightSource {
  return typeof source === 'object' && 'tensors' in source && 'readFloat32' in source;
}

async function openWeights(source: WeightSource | FileLike | string | URL, signal?: AbortSignal): Promise<WeightSource> {
  if (isWeights(source)) return source;
  if (typeof source !== 'string' && !(source instanceof URL)) return openSafetensors(source, signal ? { signal } : {});
  const response = await fetch(source, signal ? { signal } : {});
  if (!response.ok) throw new BackdropError('E_FILE_MISSING', `${source} answers ${response.status} ${response.statusText}.`);
  return openSafetensors(await response.blob(), { fileName: String(source), ...(signal ? { signal } : {}) });
}

function labelsOf(source: WeightSource, classes: number, given?: readonly string[]): readonly string[] {
  if (given) {
    if (given.length === classes) return given;
    throw new BackdropError('E_INPUT', `${given.length} labels were given for a model of ${classes} classes.`);
  }
  try {
    const names: unknown = JSON.parse(source.metadata?.get('classes') ?? 'null');
    if (Array.isArray(names) && names.length === classes && names.every((name) => typeof name === 'string')) return names;
  } catch {
    // Another program's metadata: no names then.
  }
  return classes === cocoClasses.length ? cocoClasses : Array.from({ length: classes }, (_, i) => `class ${i}`);
}

export class Detector {
  readonly config: ModelConfig;
  readonly labels: readonly string[];
  readonly selfTest: SelfTestResult;
  /** What was chosen around a driver's fault, in words; empty where nothing was. */
  readonly warnings: readonly string[];
  readonly #gpu: Gpu;
  readonly #ownsGpu: boolean;
  readonly #kernels: KernelCache;
  readonly #parameters: ParameterStore;
  readonly #preprocessor: Preprocessor;
  readonly #model: DetectionTransformer;
  readonly #variants: Readonly<Record<string, string>>;
  readonly #size: readonly [number, number];
  readonly #programs = new Map<string, Program>();
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;

  private constructor(
    gpu: Gpu,
    kernels: KernelCache,
    selfTest: SelfTestResult,
    source: WeightSource,
    config: ModelConfig,
    options: LoadOptions,
  ) {
    this.config = config;
    this.labels = labelsOf(source, config.classes, options.labels);
    this.selfTest = selfTest;
    this.warnings = selfTest.warnings;
    this.#gpu = gpu;
    this.#ownsGpu = options.gpu === undefined;
    this.#kernels = kernels;
    this.#parameters = new ParameterStore(gpu, source);
    this.#preprocessor = new Preprocessor(gpu, kernels, this.#parameters);
    this.#model = new DetectionTransformer(this.config);
    this.#variants = { ...selfTest.variants, ...options.variants };
    this.#size = sizeOf(options.size ?? this.config.size);
  }

  /**
   * Opens a device, checks it, loads weights (a safetensors file, its address, or an opened checkpoint) and records the
   * network for its input size.
   *
   * @throws BackdropError E_WEBGPU_*, E_GPU_*, E_MODEL_*, E_INPUT, E_CKPT_*, E_ST_*, E_FILE_MISSING; the signal's reason
   */
  static async load(source: WeightSource | FileLike | string | URL, options: LoadOptions = {}): Promise<Detector> {
    const { signal } = options;
    signal?.throwIfAborted();
    const weights = await openWeights(source, signal);
    // Before the device: what cannot be loaded should say so at once.
    const config = modelFor(weights, options.model);
    signal?.throwIfAborted();
    const gpu = options.gpu ?? (await openDevice());
    let detector: Detector | null = null;
    try {
      const kernels = kernelsOf(gpu);
      const selfTest = await runSelfTest(gpu, kernels);
      if (!selfTest.passed) throw selfTestError(selfTest, gpu.info);
      signal?.throwIfAborted();
      detector = new Detector(gpu, kernels, selfTest, weights, config, options);
      await detector.#program(detector.#size, options);
      signal?.throwIfAborted();
      return detector;
    } catch (error) {
      if (detector) detector.dispose();
      else if (!options.gpu) gpu.close();
      throw error;
    }
  }

  get adapter(): AdapterInfo {
    return this.#gpu.info;
  }

  /** Dispatches, memory and arithmetic of one forward pass at the size it was loaded for. */
  get statistics(): ProgramStatistics {
    return this.recording.statistics;
  }

  /** The recorded forward pass at that size: its steps, its memory plan. To look at; the detector owns it. */
  get recording(): Program {
    return this.#programs.get(this.#size.join('x'))!;
  }

  /**
   * Finds objects. Calls made while one runs wait for their turn.
   * @throws BackdropError E_IMAGE, E_INPUT, E_GPU_*; the signal's reason
   */
  detect(image: DetectorImage, options: DetectOptions = {}): Promise<DetectionResult> {
    const result = this.#queue.then(() => this.#detect(image, options));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #detect(image: DetectorImage, options: DetectOptions): Promise<DetectionResult> {
    if (this.#disposed) throw new BackdropError('E_INPUT', 'This detector was disposed of.');
    const { signal, threshold = 0.5, maxResults = 300, remap = false } = options;
    const only = options.classes ? this.#labelIds(options.classes) : null;
    signal?.throwIfAborted();
    const begin = performance.now();
    const pixels = await readPixels(image);
    signal?.throwIfAborted();
    const size = options.size === undefined ? this.#size : sizeOf(options.size);
    const kind = options.inspect ? 'inspect' : options.background === false ? 'plain' : 'detect';
    const program = await this.#program(size, signal ? { signal } : {}, kind);
    const decoded = performance.now();
    await this.#preprocessor.run(pixels, program, 'image');
    // Waits only so that the two times can be told apart.
    await this.#gpu.guard(this.#gpu.device.queue.onSubmittedWorkDone());
    signal?.throwIfAborted();
    const prepared = performance.now();
    const outputs = await program.run({});
    signal?.throwIfAborted();
    const inferred = performance.now();
    const { width, height } = pixels;
    const detections = postprocess(outputs.get('logits')!, outputs.get('boxes')!, {
      classes: this.config.classes,
      labels: this.labels,
      width,
      height,
      threshold,
      maxResults,
      only,
      remap,
    });
    const end = performance.now();
    const timings = {
      decode: decoded - begin,
      preprocess: prepared - decoded,
      inference: inferred - prepared,
      postprocess: end - inferred,
      total: end - begin,
    };
    const result: DetectionResult = { detections, timings, width, height };
    if (kind === 'inspect') result.inspection = new Inspection(this.config, program.graph, outputs);
    return result;
  }

  /**
   * Runs the network with its inner results kept.
   * @throws BackdropError as `detect`
   */
  async inspect(image: DetectorImage, options: Pick<DetectOptions, 'size' | 'signal'> = {}): Promise<Inspection> {
    return (await this.detect(image, { ...options, inspect: true })).inspection!;
  }

  #trace(size: readonly [number, number], kind: Kind): Graph {
    if (kind === 'inspect') return traceInspection(this.#model, size);
    const model = kind === 'plain' ? new DetectionTransformer({ ...this.config, associationEncoder: null }) : this.#model;
    const graph = new Graph();
    const { logits, boxes } = model.trace(graph, graph.input('image', [1, ...size, 3]));
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    return graph;
  }

  /** The recorded network for an input size; made when it is first asked for. */
  async #program(
    size: readonly [number, number],
    options: Pick<LoadOptions, 'onProgress' | 'signal'>,
    kind: Kind = 'detect',
  ): Promise<Program> {
    const key = [...size, ...(kind === 'detect' ? [] : [kind])].join('x');
    const known = this.#programs.get(key);
    if (known) return known;
    const { onProgress, signal } = options;
    const graph = this.#trace(size, kind);
    const specs = [...graph.parameters.values()].map((t) => t.parameter!);
    await this.#parameters.load(specs, ({ loaded, total }) => {
      signal?.throwIfAborted();
      onProgress?.({ stage: 'weights', loaded, total });
    });
    const program = await Program.build(this.#gpu, this.#kernels, graph, this.#parameters, {
      variants: this.#variants,
      onProgress: ({ compiled, total }) => onProgress?.({ stage: 'kernels', loaded: compiled, total }),
    });
    this.#programs.set(key, program);
    return program;
  }

  #labelIds(names: readonly string[]): Set<number> {
    return new Set(
      names.map((name) => {
        const id = this.labels.indexOf(name);
        if (id >= 0) return id;
        throw new BackdropError('E_INPUT', `The model has no class "${name}".`, { hint: `It knows ${this.labels.join(', ')}.` });
      }),
    );
  }

  /** Frees everything on the GPU, the device too if the detector opened it. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
    this.#preprocessor.destroy();
    this.#parameters.destroy();
    if (this.#ownsGpu) this.#gpu.close();
  }
}

function selfTestError({ failures }: SelfTestResult, { vendor, architecture, description }: AdapterInfo): BackdropError {
  return new BackdropError('E_GPU_SELF_TEST', `This adapter computes wrong results: ${failures.join('; ')}.`, {
    hint: 'Update the graphics driver, or use another browser or adapter. Please report it with the adapter below.',
    details: { failures, vendor, architecture, description },
  });
}

function sizeOf(size: InputSize): readonly [number, number] {
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  checkInputSize(height, width);
  return [height, width];
}
