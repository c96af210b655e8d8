/**
 * The table that Ultralytics' users know: for each class images, boxes, precision, recall, AP50 and AP.
 *
 * Precision and recall are read at one score for all classes: where the mean F1 of the labelled classes, smoothed over a tenth of the
 * axis, is highest. Curves over 1000 scores from 0 to 1 at IoU 0.5, straight between detections, as `yolo val` has them; matches and
 * AP are COCO's, so detections on a crowd count for nothing and AP is that of the twelve numbers.
 */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { type Accumulated, type ClassDetections, IGNORED, RIGHT } from './accumulate.ts';
import { iouThresholds } from './protocol.ts';
import { meanPrecision } from './summarize.ts';

export interface ClassRow {
  readonly category: Category;
  /** Images with at least one box of the class that counts. */
  readonly images: number;
  /** Labelled boxes, crowds not counted. */
  readonly boxes: number;
  /** At `bestScore` and IoU 0.5. This and the following are -1 where there are no boxes. */
  readonly precision: number;
  readonly recall: number;
  readonly ap50: number;
  readonly ap: number;
}

export interface OperatingPoint {
  /** One row a category, in their order. */
  readonly rows: readonly ClassRow[];
  /** Means over the classes that have boxes; images and boxes of the whole set. */
  readonly all: Omit<ClassRow, 'category'>;
  /** The score at which the smoothed mean F1 is highest. */
  readonly bestScore: number;
}

const STEPS = 1000;

export function classRows(
  images: readonly ImageRecord[],
  categories: readonly Category[],
  arrays: Accumulated,
  classes: readonly ClassDetections[],
): OperatingPoint {
  const imageCount = categories.map(() => 0);
  for (const { annotations } of images)
    for (const label of new Set(annotations.filter(({ crowd }) => !crowd).map((annotation) => annotation.label))) imageCount[label]++;

  const labelled = classes.map(({ boxes }) => boxes[0] > 0);
  const curves = classes.map((found, label) => (labelled[label] ? scoreCurves(found) : undefined));
  const best = bestStep(curves.flatMap((curve) => (curve ? [curve] : [])));
  const rows = categories.map((category, label): ClassRow => {
    const thresholds = iouThresholds.keys();
    return {
      category,
      images: imageCount[label],
      boxes: classes[label].boxes[0],
      precision: curves[label]?.precision[best] ?? -1,
      recall: curves[label]?.recall[best] ?? -1,
      ap50: meanPrecision(arrays, { thresholds: [0], area: 0, cut: 2, label }),
      ap: meanPrecision(arrays, { thresholds, area: 0, cut: 2, label }),
    };
  });
  const average = (key: 'precision' | 'recall') => {
    const values = rows.filter((_, label) => labelled[label]).map((row) => row[key]);
    return values.length === 0 ? -1 : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const all = {
    images: images.length,
    boxes: rows.reduce((sum, row) => sum + row.boxes, 0),
    precision: average('precision'),
    recall: average('recall'),
    ap50: meanPrecision(arrays, { thresholds: [0], area: 0, cut: 2 }),
    ap: meanPrecision(arrays, { thresholds: iouThresholds.keys(), area: 0, cut: 2 }),
  };
  return { rows, all, bestScore: best / (STEPS - 1) };
}

interface ScoreCurves {
  readonly precision: Float64Array;
  readonly recall: Float64Array;
}

/** Precision and recall of the detections at or above each score of the axis. */
function scoreCurves({ score, rank, outcome, boxes }: ClassDetections): ScoreCurves {
  const scores: number[] = [];
  const precisions: number[] = [];
  const recalls: number[] = [];
  let right = 0;
  for (let i = 0; i < score.length; i++) {
    // The first rows of `outcome`: all sizes, IoU 0.5.
    if (rank[i] >= 100 || outcome[i] === IGNORED) continue;
    if (outcome[i] === RIGHT) right++;
    scores.push(score[i]);
    precisions.push(right / scores.length);
    recalls.push(right / boxes[0]);
  }
  return { precision: onAxis(scores, precisions, scores.length === 0 ? 0 : 1), recall: onAxis(scores, recalls, 0) };
}

/** Values at falling scores, read at the axis by straight lines; `above` beyond the highest score, the last value below the lowest. */
function onAxis(scores: readonly number[], values: readonly number[], above: number): Float64Array {
  const result = new Float64Array(STEPS);
  for (let step = STEPS - 1, i = -1; step >= 0; step--) {
    const at = step / (STEPS - 1);
    while (i + 1 < scores.length && scores[i + 1] >= at) i++;
    if (i < 0) result[step] = above;
    else if (i === scores.length - 1) result[step] = values[i];
    else result[step] = values[i] + ((values[i + 1] - values[i]) * (scores[i] - at)) / (scores[i] - scores[i + 1]);
  }
  return result;
}

/** Where the mean F1, averaged over a tenth of the axis (ends repeated), is highest; the first such place. */
function bestStep(curves: readonly ScoreCurves[]): number {
  const f1 = new Float64Array(STEPS);
  for (const { precision, recall } of curves)
    for (let i = 0; i < STEPS; i++) f1[i] += (2 * precision[i] * recall[i]) / (precision[i] + recall[i] + 1e-16);
  const reach = STEPS / 20;
  let best = 0;
  let highest = -1;
  for (let i = 0; i < STEPS; i++) {
    let sum = 0;
    for (let j = i - reach; j <= i + reach; j++) sum += f1[Math.min(Math.max(j, 0), STEPS - 1)];
    if (sum > highest) {
      highest = sum;
      best = i;
    }
  }
  return best;
}

/** The table as text: a header, `all`, then one line a class. Numbers as in `yolo val`, '-' where there is nothing to measure. */
export function formatClassTable({ rows, all }: OperatingPoint): string[] {
  const width = Math.max(22, ...rows.map(({ category }) => category.name.length));
  const number = (value: number) => (value < 0 ? '-' : value.toFixed(3)).padStart(10);
  const line = (name: string, row: Omit<ClassRow, 'category'>) =>
    `${name.padStart(width)}${String(row.images).padStart(10)}${String(row.boxes).padStart(10)}` +
    [row.precision, row.recall, row.ap50, row.ap].map(number).join('');
  const header = `${'Class'.padStart(width)}${['Images', 'Boxes', 'P', 'R', 'AP50', 'AP'].map((name) => name.padStart(10)).join('')}`;
  return [header, line('all', all), ...rows.map((row) => line(row.category.name, row))];
}
