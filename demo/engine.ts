/** The engine: a worker that owns the graphics device and the model. What it can be asked, and the page's way to ask it. */
import type { Detection, DetectionResult } from '../src/index.ts';
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

export interface Found extends Omit<DetectionResult, 'detections'> {
  readonly detections: readonly Detection[];
  /** The device had been lost and was opened anew for this. */
  readonly recovered: boolean;
}

export type EngineCalls = {
  open: { request: OpenRequest; answer: ModelSummary; progress: OpenProgress };
  /** Everything above a low score; the page filters. The bitmap is closed. */
  detect: { request: { bitmap: ImageBitmap }; answer: Found };
  /** For tests: what happens when a driver resets the device. */
  loseDevice: { request: null; answer: null };
};

/** Scores below this are not kept. */
export const leastScore = 0.05;

export type Engine = WorkerClient<EngineCalls>;

export const startEngine = (): Engine =>
  new WorkerClient<EngineCalls>(new Worker(new URL('engine-worker.js', import.meta.url), { type: 'module' }));
