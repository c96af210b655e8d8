/** COCO's twelve numbers and the lines pycocotools prints for them. */
import type { Accumulated } from './accumulate.ts';
import { areaNames, iouThresholds, maxDetections, mean, recallThresholds } from './protocol.ts';

export const statNames = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl'] as const;

/** Positions in `iouThresholds` (or all), `areaRanges` and `maxDetections` of each number. */
const rows: readonly { readonly recall: boolean; readonly threshold?: number; readonly area: number; readonly cut: number }[] = [
  { recall: false, area: 0, cut: 2 },
  { recall: false, threshold: 0, area: 0, cut: 2 },
  { recall: false, threshold: 5, area: 0, cut: 2 },
  { recall: false, area: 1, cut: 2 },
  { recall: false, area: 2, cut: 2 },
  { recall: false, area: 3, cut: 2 },
  { recall: true, area: 0, cut: 0 },
  { recall: true, area: 0, cut: 1 },
  { recall: true, area: 0, cut: 2 },
  { recall: true, area: 1, cut: 2 },
  { recall: true, area: 2, cut: 2 },
  { recall: true, area: 3, cut: 2 },
];

export interface Summary {
  /** In the order of `statNames`; -1 where nothing is labelled. */
  readonly stats: readonly number[];
  /** Exactly what pycocotools' summarize() prints. */
  readonly lines: readonly string[];
}

export function summarize(arrays: Accumulated): Summary {
  const stats = rows.map((row) => {
    const { area, cut } = row;
    const thresholds = row.threshold === undefined ? iouThresholds.keys() : [row.threshold];
    return row.recall ? meanRecall(arrays, { area, cut }) : meanPrecision(arrays, { thresholds, area, cut });
  });
  const lines = rows.map(({ recall, threshold, area, cut }, i) => {
    const title = `Average ${recall ? 'Recall' : 'Precision'}`.padEnd(18);
    const iou = (threshold === undefined ? '0.50:0.95' : iouThresholds[threshold].toFixed(2)).padEnd(9);
    const cutoff = String(maxDetections[cut]).padStart(3);
    return ` ${title} (A${recall ? 'R' : 'P'}) @[ IoU=${iou} | area=${areaNames[area].padStart(6)} | maxDets=${cutoff} ] = ${threeDigits(stats[i])}`;
  });
  return { stats, lines };
}

/** Average precision over thresholds, recalls and classes (or one class) that have labels. */
export function meanPrecision(
  { precision, classes }: Accumulated,
  { thresholds, area, cut, label }: { thresholds: Iterable<number>; area: number; cut: number; label?: number },
): number {
  const values: number[] = [];
  for (const t of thresholds)
    for (let r = 0; r < recallThresholds.length; r++)
      for (let k = label ?? 0; k < (label === undefined ? classes : label + 1); k++) {
        const value = precision[(((t * recallThresholds.length + r) * classes + k) * areaNames.length + area) * maxDetections.length + cut];
        if (value > -1) values.push(value);
      }
  return mean(values);
}

function meanRecall({ recall, classes }: Accumulated, { area, cut }: { area: number; cut: number }): number {
  const values: number[] = [];
  for (let t = 0; t < iouThresholds.length; t++)
    for (let k = 0; k < classes; k++) {
      const value = recall[((t * classes + k) * areaNames.length + area) * maxDetections.length + cut];
      if (value > -1) values.push(value);
    }
  return mean(values);
}

/** Python's '{:0.3f}': both languages round the exact value, but Python takes the even digit of a tie (0.0625 is 0.062). */
function threeDigits(value: number): string {
  if (!Number.isInteger(value * 16) || Number.isInteger(value * 8)) return value.toFixed(3);
  const below = Math.floor(value * 1000);
  return ((below + (below % 2)) / 1000).toFixed(3);
}

/** Precision at the 101 recalls, IoU 0.5, all sizes: of one class, or the mean of those that have labels. */
export function precisionCurve({ precision, classes }: Accumulated, label?: number): Float64Array {
  const cell = areaNames.length * maxDetections.length;
  return Float64Array.from(recallThresholds, (_, r) => {
    const labels = label === undefined ? Array.from({ length: classes }, (_, k) => k) : [label];
    const values = labels.map((k) => precision[(r * classes + k) * cell + maxDetections.length - 1]);
    return mean(values.filter((value) => value > -1));
  });
}
