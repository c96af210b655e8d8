/** Numbers about one tensor's values, for inspect and for the warning about broken weights. */

export interface Statistics {
  /** Over the finite values; 0 where there is none. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Count of NaN and infinities. */
  readonly nonFinite: number;
}

/** One pass, sums in float64. */
export function statisticsOf(values: Float32Array): Statistics {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let nonFinite = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    // NaN and infinities are the values whose difference with themselves is not zero.
    if (value - value !== 0) {
      nonFinite++;
      continue;
    }
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
  }
  const finite = values.length - nonFinite;
  return finite > 0 ? { min, max, mean: sum / finite, nonFinite } : { min: 0, max: 0, mean: 0, nonFinite };
}
