/** The engine: a worker that owns the graphics device and the model. What it can be asked, and the page's way to ask it. */
import type { StepTiming } from '../src/gpu/profiler.ts';
import type { BackgroundMap, Detection, DetectionResult, SamplingPoint } from '../src/index.ts';
import { WorkerClient } from './rpc.ts';

export interface ModelSummary {
  readonly name: string;
  readonly classes: readonly string[];
  /** [height, width] of the input. */
  readonly size: readonly [number, number];
  readonly associationEncoder: boolean;
  /** How the file fitted, and what was chosen around a driver's fault. */
  readonly messages: readonly string[];
  readonly adapter: { readonly name: string; readonly software: boolean };
  readonly dispatches: number;
  readonly pipelines: number;
  /** Bytes. */
  readonly activations: number;
  readonly parameters: number;
}

export interface OpenRequest {
  readonly file: Blob;
  readonly name: string;
  /** Architecture; what the file says when left out. */
  readonly model?: string;
  /** Side of the square input; the model's own when left out. */
  readonly size?: number;
}

export type OpenProgress = { readonly stage: 'reading' | 'weights' | 'kernels'; readonly fraction: number | null };

export interface Found extends Omit<DetectionResult, 'detections' | 'inspection'> {
  readonly detections: readonly Detection[];
  /** The device had been lost and was opened anew for this. */
  readonly recovered: boolean;
  /** Inner results were kept. */
  readonly inspected: boolean;
  /** Null where they were not, and where the model has no Background Attention Module. */
  readonly background: BackgroundMap | null;
}

/** A tensor in the memory plan. */
export interface PlannedTensor {
  readonly label: string;
  readonly shape: readonly number[];
  readonly arena: number;
  /** Bytes. */
  readonly offset: number;
  readonly bytes: number;
  /** First and last dispatch that touches it. */
  readonly first: number;
  readonly last: number;
}

export interface Machine {
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  readonly dispatches: number;
  /** Buffers on the device, and their bytes. */
  readonly buffers: number;
  readonly bufferBytes: number;
  readonly tensors: readonly PlannedTensor[];
}

export type EngineCalls = {
  /** Names of the architectures. */
  architectures: { request: null; answer: readonly string[] };
  open: { request: OpenRequest; answer: ModelSummary; progress: OpenProgress };
  /** Everything above a low score; the page filters. The bitmap is closed. */
  detect: { request: { bitmap: ImageBitmap; inspect: boolean }; answer: Found };
  /** Where the decoder samples for a query of the picture looked at last with `inspect`. */
  points: { request: { query: number }; answer: readonly SamplingPoint[] };
  /** Detections of the same weights without the Association Encoder; null where the model has none. The bitmap is closed. */
  without: { request: { bitmap: ImageBitmap }; answer: readonly Detection[] | null };
  /** All tensors of the model's file with shapes and statistics, as text. */
  tensors: { request: null; answer: string; progress: number };
  machine: { request: null; answer: Machine };
  /** Times every dispatch of the last picture's forward pass; progress is the share done. */
  profile: { request: null; answer: { method: string; steps: readonly StepTiming[] }; progress: number };
  /** For tests: what happens when a driver resets the device. */
  loseDevice: { request: null; answer: null };
};

/** What the input can be set to, largest first. */
export const inputSizes = [800, 640, 480, 320, 256, 192];

/** Scores below this are not kept. */
export const leastScore = 0.05;

export type Engine = WorkerClient<EngineCalls>;

export const startEngine = (): Engine =>
  new WorkerClient<EngineCalls>(new Worker(new URL('engine-worker.js', import.meta.url), { type: 'module' }));
