/**
 * Precision and recall of one class over all images, from what became of each detection.
 *
 * Detections of a class stand best score first. At each that is right, precision is tp / (fp + tp) and recall tp / labelled boxes;
 * precision is then made non-increasing from the right and read at 101 recalls.
 * Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py (accumulate).
 */
import { areaRanges, iouThresholds, maxDetections, recallThresholds } from './protocol.ts';

const T = iouThresholds.length;
const R = recallThresholds.length;
const A = areaRanges.length;
const M = maxDetections.length;

/** As pycocotools lays them out, -1 where a class has nothing labelled. T thresholds, R recalls, K classes, A size ranges, M cut-offs. */
export interface Accumulated {
  readonly classes: number;
  /** [T, R, K, A, M] */
  readonly precision: Float64Array;
  /** [T, R, K, A, M]: the score at which that recall is reached, 0 where it is not. */
  readonly scores: Float64Array;
  /** [T, K, A, M]: recall over all detections. */
  readonly recall: Float64Array;
}

export function emptyArrays(classes: number): Accumulated {
  return {
    classes,
    precision: new Float64Array(T * R * classes * A * M).fill(-1),
    scores: new Float64Array(T * R * classes * A * M).fill(-1),
    recall: new Float64Array(T * classes * A * M).fill(-1),
  };
}

/** What became of a detection. */
export const WRONG = 0;
export const RIGHT = 1;
export const IGNORED = 2;

/** The detections of one class, best score first (of equal ones: lower image id, then the order given). */
export interface ClassDetections {
  readonly score: Float64Array;
  /** Place of each among those of its image, best first. */
  readonly rank: Uint32Array;
  /** [A, T, detections] of WRONG, RIGHT, IGNORED */
  readonly outcome: Uint8Array;
  /** Labelled boxes that count, for each size range. */
  readonly boxes: readonly number[];
}

/** Writes the class's part of the arrays. */
export function accumulate(arrays: Accumulated, label: number, { score, rank, outcome, boxes }: ClassDetections): void {
  const { classes, precision, scores, recall } = arrays;
  const count = score.length;
  const right = new Float64Array(count);
  const rightScore = new Float64Array(count);
  for (let a = 0; a < A; a++) {
    if (boxes[a] === 0) continue;
    for (let t = 0; t < T; t++) {
      const first = (a * T + t) * count;
      for (let m = 0; m < M; m++) {
        let tp = 0;
        let fp = 0;
        for (let i = 0; i < count; i++) {
          if (rank[i] >= maxDetections[m]) continue;
          const result = outcome[first + i];
          if (result === RIGHT) {
            rightScore[tp] = score[i];
            tp++;
            right[tp - 1] = tp / (fp + tp + Number.EPSILON);
          } else if (result === WRONG) fp += 1;
        }
        recall[((t * classes + label) * A + a) * M + m] = tp / boxes[a];
        for (let i = tp - 1; i > 0; i--) if (right[i] > right[i - 1]) right[i - 1] = right[i];
        for (let r = 0, i = 0; r < R; r++) {
          // The first place where this recall is reached; for recall 0 that is the best detection, right or not.
          while (i < tp && (i + 1) / boxes[a] < recallThresholds[r]) i++;
          const at = (((t * R + r) * classes + label) * A + a) * M + m;
          precision[at] = i < tp ? right[i] : 0;
          scores[at] = r === 0 && count > 0 ? score[0] : i < tp ? rightScore[i] : 0;
        }
      }
    }
  }
}
