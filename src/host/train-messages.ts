/** What "backdrop train" and its page say to each other. */
import type { Category, ImageRecord } from '../data/dataset.ts';
import type { ModelConfig } from '../models/configs.ts';
import type { RunConfig } from '../training/run-config.ts';
import type { EndReason, TrainerEvent } from '../training/trainer.ts';

/** Where the page fetches a file, and what it is called. */
export interface FileAddress {
  url: string;
  name: string;
}

export interface TrainRequest {
  config: RunConfig;
  /** With as many classes as the data set has. */
  model: ModelConfig;
  categories: readonly Category[];
  train: readonly ImageRecord[];
  validation: readonly ImageRecord[];
  /** Address of the data set's folder, with a slash at its end. */
  data: string;
  /** A checkpoint to start from. */
  weights: FileAddress | null;
  /** The training state to go on from. */
  state: FileAddress | null;
  identity: Readonly<Record<string, string>>;
}

export interface TrainReply {
  reason: EndReason;
}

/** Of the page's events, with what only it knows. */
export type TrainMessage = TrainerEvent | { type: 'adapter'; name: string; software: boolean; warnings: readonly string[] };

/** A piece of a file: its SHA-256 is that of the bytes. */
export interface FilePiece {
  name: string;
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
  sha256: string;
}

/** What the host says to an event. */
export interface EventAnswer {
  stop: boolean;
}
