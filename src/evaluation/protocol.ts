/** COCO's detection protocol: the thresholds, size ranges and cut-offs that pycocotools 2.0 uses for boxes. */

export const areaNames = ['all', 'small', 'medium', 'large'] as const;

/** Square pixels, both ends belong to the range. */
export const areaRanges: readonly (readonly [number, number])[] = [
  [0, 1e10],
  [0, 32 ** 2],
  [32 ** 2, 96 ** 2],
  [96 ** 2, 1e10],
];

/** Detections that count in an image and class, best scores first. */
export const maxDetections: readonly number[] = [1, 10, 100];

/** 0.50, 0.55 ... 0.95 and 0, 0.01 ... 1, with the roundings of numpy's linspace. */
export const iouThresholds: readonly number[] = linspace(0.5, 0.95, 10);
export const recallThresholds: readonly number[] = linspace(0, 1, 101);

function linspace(first: number, last: number, count: number): number[] {
  const step = (last - first) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? last : i * step + first));
}

/** The mean as numpy computes it (pairwise in runs of 128 with eight sums), to the last bit; -1 of nothing. */
export function mean(values: ArrayLike<number>): number {
  return values.length === 0 ? -1 : pairwiseSum(values, 0, values.length) / values.length;
}

function pairwiseSum(values: ArrayLike<number>, start: number, count: number): number {
  if (count < 8) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[start + i];
    return sum;
  }
  if (count > 128) {
    const half = Math.floor(count / 2) - (Math.floor(count / 2) % 8);
    return pairwiseSum(values, start, half) + pairwiseSum(values, start + half, count - half);
  }
  const sums = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => values[start + i]);
  const whole = count - (count % 8);
  for (let i = 8; i < whole; i += 8) for (let j = 0; j < 8; j++) sums[j] += values[start + i + j];
  let sum = sums[0] + sums[1] + (sums[2] + sums[3]) + (sums[4] + sums[5] + (sums[6] + sums[7]));
  for (let i = whole; i < count; i++) sum += values[start + i];
  return sum;
}
