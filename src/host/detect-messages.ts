/** What "backdrop detect" and the page say to each other. */
import type { AdapterInfo } from '../gpu/device.ts';
import type { Box } from './image.ts';

export interface LoadRequest {
  /** Address of the file of weights, and its name for messages. */
  url: string;
  name: string;
  /** Undefined: what the file's metadata or keys say. */
  model: string | undefined;
  /** Names of the classes; undefined: the file's, or COCO's. */
  labels: readonly string[] | undefined;
  /** The model's own when left out. */
  size?: number;
}

/** A stage of loading; the fraction is absent where it is not known. */
export interface LoadProgress {
  label: string;
  fraction?: number;
}

export interface LoadReply {
  model: string;
  adapter: AdapterInfo;
  /** What was chosen around a driver's fault. */
  warnings: string[];
}

export interface DetectRequest {
  url: string;
  name: string;
  threshold: number;
  maxResults: number;
  /** Draw the boxes into a PNG. */
  annotate: boolean;
}

/** Milliseconds. */
export interface DetectTimings {
  decode: number;
  preprocess: number;
  inference: number;
  postprocess: number;
}

export interface DetectReply {
  width: number;
  height: number;
  detections: Box[];
  timings: DetectTimings;
  png: Uint8Array | null;
}
