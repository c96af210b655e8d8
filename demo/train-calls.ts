/** The training worker: what it can be asked. */
import type { TrainerEvent } from '../src/training/trainer.ts';

/** What fine-tuning is started with. */
export interface TuneSettings {
  readonly epochs: number;
  readonly batch: number;
  /** Side of the square input. */
  readonly size: number;
  readonly lr: number;
}

/** A data set as it lies in the browser's storage. */
export interface StoredSet {
  readonly format: string;
  readonly classes: readonly string[];
  readonly train: number;
  readonly val: number;
  /** What was wrong with it, in words. */
  readonly problems: readonly string[];
}

/** A run that can go on. */
export interface StoredRun {
  readonly settings: TuneSettings;
  /** Epochs done, in whole and parts. */
  readonly epoch: number;
  readonly steps: number;
  readonly bestAp: number | null;
}

/** A validation picture with what the model finds in it and what it should. */
export interface SamplePrediction {
  readonly file: Blob;
  readonly found: readonly { label: string; score: number; box: { xmin: number; ymin: number; xmax: number; ymax: number } }[];
}

export type TuneEvent =
  | Exclude<TrainerEvent, { type: 'validation' }>
  | {
      type: 'validation';
      epoch: number;
      ap: number;
      ap50: number;
      best: boolean;
      lines: readonly string[];
      samples: readonly SamplePrediction[];
    };

export type TrainCalls = {
  /** What the storage holds from an earlier visit. */
  stored: { request: null; answer: { set: StoredSet | null; run: StoredRun | null } };
  /** Checks a data set and keeps a copy, in place of an earlier one. */
  keep: { request: { files: readonly { path: string; file: File }[] }; answer: StoredSet; progress: number };
  /** Trains until the end, or until `pause`. `weights`: where a new run starts from; null: goes on with the stored run. */
  train: {
    request: { settings: TuneSettings; weights: { file: Blob; name: string } | null };
    answer: { reason: string };
    progress: TuneEvent;
  };
  pause: { request: null; answer: null };
  /** best.safetensors, else last.safetensors. */
  weights: { request: null; answer: Blob | null };
  /** Deletes run and copy. */
  discard: { request: null; answer: null };
};
