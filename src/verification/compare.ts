/**
 * Comparisons with their limits. A limit comes from the error that PyTorch's own float32 run was measured to make, never from ours.
 */
import type { RecordedError } from './golden.ts';
import type { TensorReport } from './report.ts';

/** Largest |a - b|. Equal infinities differ by 0; anything else that is not finite, or another length, is infinitely wrong. */
export function maxAbsError(ours: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (ours.length !== reference.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < ours.length; i++) {
    if (ours[i] === reference[i]) continue;
    const difference = Math.abs(ours[i] - reference[i]);
    if (!Number.isFinite(difference)) return Number.POSITIVE_INFINITY;
    if (difference > worst) worst = difference;
  }
  return worst;
}

/** |a - b| / |b| in the Euclidean norm; where the reference is zero, |a|. */
export function relativeL2(ours: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (ours.length !== reference.length) return Number.POSITIVE_INFINITY;
  let error = 0;
  let norm = 0;
  for (let i = 0; i < ours.length; i++) {
    if (Number.isFinite(reference[i])) norm += reference[i] * reference[i];
    if (ours[i] === reference[i]) continue;
    const difference = ours[i] - reference[i];
    error += difference * difference;
  }
  if (!Number.isFinite(error)) return Number.POSITIVE_INFINITY;
  return Math.sqrt(norm > 0 ? error / norm : error);
}

function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Math.abs(values[i]);
    if (value > most && value < Number.POSITIVE_INFINITY) most = value;
  }
  return most;
}

/** Single operations: 8 times PyTorch's error, plus two units in the last place of the largest value. */
export function operationLimit(recorded: RecordedError | undefined, reference: ArrayLike<number>): number {
  return 8 * (recorded?.maxAbs ?? 0) + 2e-6 * largest(reference) + 1e-7;
}

/** Bytes against numbers before they are cut: where one is this near a whole number, float32 and float64 may part. */
const TIE = 1e-3;

/** Compares whole numbers with the floors of ours, except where ours lie next to a whole number: then either neighbour will do. */
export function compareFloored(name: string, ours: ArrayLike<number>, reference: ArrayLike<number>): TensorReport {
  const settled = Float64Array.from(ours, (v, i) =>
    Math.abs(v - Math.round(v)) < TIE && Math.abs(reference[i] + 0.5 - v) < 1 ? reference[i] : Math.floor(v),
  );
  const error = maxAbsError(settled, reference);
  return { name, metric: 'max abs', error, torch: null, limit: 0, ok: error === 0, against: 'float64' };
}

/** Compares an operation's result. Indices and flags (`exact`) must be equal. */
export function compareOperation(
  name: string,
  ours: ArrayLike<number>,
  reference: ArrayLike<number>,
  recorded: RecordedError | undefined,
  exact = false,
): TensorReport {
  const error = maxAbsError(ours, reference);
  const limit = exact ? 0 : operationLimit(recorded, reference);
  return { name, metric: 'max abs', error, torch: recorded?.maxAbs ?? null, limit, ok: error <= limit, against: 'float64' };
}

/** The gates of whole models: what they must keep whatever PyTorch's own error was. */
export const GATES = {
  full: { logits: 2e-4, boxes: 2e-5, stage: 3e-5 },
  eval: { logits: 1e-4, boxes: 1e-5, stage: 1e-5 },
} as const;

/**
 * The limit for a whole model's tensor: 20 times PyTorch's error (rounding errors grow alike through the same layers) and a
 * floor of a few units in the last place, but never more than the gate unless PyTorch itself comes close to it.
 */
export function modelLimit(gate: number, recorded: number | undefined, floor: number): number {
  if (recorded === undefined) return gate;
  return Math.max(8 * recorded, Math.min(gate, 20 * recorded + floor));
}

/** An output or stage of a model. `against` float32 adds PyTorch's own error to what is allowed. */
export function compareModel(
  name: string,
  metric: 'max abs' | 'rel L2',
  ours: ArrayLike<number>,
  reference: ArrayLike<number>,
  gate: number,
  recorded: RecordedError | null | undefined,
  against: 'float64' | 'float32',
): TensorReport {
  const error = metric === 'max abs' ? maxAbsError(ours, reference) : relativeL2(ours, reference);
  const torch = recorded ? (metric === 'max abs' ? recorded.maxAbs : recorded.relL2) : undefined;
  const floor = metric === 'max abs' ? 2e-6 * Math.max(1, largest(reference)) : 2e-6;
  const limit = modelLimit(gate, torch, floor);
  return { name, metric, error, torch: torch ?? null, limit, ok: error <= limit, against };
}

/** Neighbours in PyTorch's ranking whose scores differ by less than this may change places. */
export const ORDER_TOLERANCE = 5e-5;

export interface QueryMatch {
  /** Row of ours that holds the token of the reference's row i; -1 where we did not select it. */
  readonly rows: Int32Array;
  readonly missing: number;
  /** Largest reference-score distance between the two tokens of one rank. */
  readonly worstGap: number;
}

/**
 * Finds our row for every row of the reference by token number. Rows may hold a token twice (one-to-many selection):
 * its occurrences are matched in order.
 * @param score reference score of a token
 */
export function matchQueries(ours: ArrayLike<number>, reference: ArrayLike<number>, score: (token: number) => number): QueryMatch {
  const places = new Map<number, number[]>();
  for (let i = ours.length - 1; i >= 0; i--) {
    const list = places.get(ours[i]);
    if (list) list.push(i);
    else places.set(ours[i], [i]);
  }
  const rows = new Int32Array(reference.length);
  let missing = Math.max(0, ours.length - reference.length);
  let worstGap = 0;
  for (let i = 0; i < reference.length; i++) {
    rows[i] = places.get(reference[i])?.pop() ?? -1;
    if (rows[i] < 0) missing += 1;
    if (ours[i] === reference[i]) continue;
    const gap = Math.abs(score(ours[i]) - score(reference[i]));
    worstGap = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : Math.max(worstGap, gap);
  }
  return { rows, missing, worstGap };
}

/** The selection as a line of the report: same set, and an order that differs within the tolerance only. */
export function compareSelection(name: string, match: QueryMatch): TensorReport {
  const ok = match.missing === 0 && match.worstGap <= ORDER_TOLERANCE;
  const error = match.missing > 0 ? Number.POSITIVE_INFINITY : match.worstGap;
  const note =
    match.missing > 0
      ? `${match.missing} of ${match.rows.length} tokens differ`
      : 'same set; largest score gap between tokens out of order';
  return { name, metric: 'order', error, torch: null, limit: ORDER_TOLERANCE, ok, against: 'float64', note };
}

/**
 * Rows of a [images, queries, ...] tensor in the reference's order; rows we lack become NaN, which no comparison passes.
 * @param matches one per image
 */
export function reorderQueries(values: ArrayLike<number>, matches: readonly QueryMatch[]): Float32Array {
  const queries = matches[0].rows.length;
  const width = values.length / (matches.length * queries);
  const out = new Float32Array(values.length);
  matches.forEach(({ rows }, image) => {
    rows.forEach((from, to) => {
      for (let k = 0; k < width; k++) {
        out[(image * queries + to) * width + k] = from < 0 ? Number.NaN : values[(image * queries + from) * width + k];
      }
    });
  });
  return out;
}
