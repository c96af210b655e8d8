/** What "backdrop eval" and its page say to each other. */
import type { Category, ImageRecord } from '../data/dataset.ts';
import type { CocoEvaluation } from '../evaluation/coco.ts';
import type { DetectedBox } from '../training/validator.ts';
import type { FileAddress } from './train-messages.ts';

export interface EvalRequest {
  weights: FileAddress;
  model: string | null;
  categories: readonly Category[];
  records: readonly ImageRecord[];
  /** Address of the data set's folder, with a slash at its end. */
  data: string;
  /** For each of the model's classes its position in the data set's, or null. */
  labels: readonly (number | null)[];
  batch: number;
  size: readonly [number, number] | null;
}

export interface EvalReply {
  model: string;
  adapter: { name: string; software: boolean };
  warnings: readonly string[];
  evaluation: CocoEvaluation;
  detections: DetectedBox[];
  /** Of loading, detecting and waiting; compiling included. */
  seconds: number;
}
