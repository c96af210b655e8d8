/** Attention in float64, and what float32 may err by. */
import type { Reference } from '../setup/tolerance.ts';

export interface AttentionSizes {
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  /** Columns of a head. */
  d: number;
}

/** [batch, queries or keys, heads * d] each. */
export interface AttentionArrays {
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

export interface AttentionCase {
  scale?: number;
  bias?: (n: number, h: number, i: number, j: number) => number;
  /** Wrong on purpose, for the mutation checks. */
  mutation?: 'last key' | 'last channel' | 'heads' | 'images';
}

/**
 * The magnitude is an error bound over u. A score errs by (d + 3) u sum|q k| scale, and a weight's relative error is that of
 * its score plus exp's (3 + 2|x| ulp); the softmax's sum adds the mean of the weights' errors; the sum over keys is a serial one.
 */
export function attentionReference(
  { batch, queries, keys, heads, d }: AttentionSizes,
  a: AttentionArrays,
  options: AttentionCase = {},
): Reference {
  const { scale = 1 / Math.sqrt(d), bias = () => 0, mutation } = options;
  const width = heads * d;
  const value = new Float64Array(batch * queries * width);
  const magnitude = new Float64Array(value.length);
  const count = keys - (mutation === 'last key' ? 1 : 0);
  for (let n = 0; n < batch; n++) {
    const from = mutation === 'images' ? 0 : n;
    for (let h = 0; h < heads; h++) {
      const of = mutation === 'heads' ? (h + 1) % heads : h;
      for (let i = 0; i < queries; i++) {
        const scores: number[] = [];
        const errors: number[] = [];
        for (let j = 0; j < count; j++) {
          let [sum, size] = [0, 0];
          for (let c = 0; c < d - (mutation === 'last channel' ? 1 : 0); c++) {
            const term = a.q[(n * queries + i) * width + h * d + c] * a.k[(from * keys + j) * width + of * d + c];
            sum += term;
            size += Math.abs(term);
          }
          const extra = bias(n, h, i, j);
          scores.push(sum * scale + extra);
          errors.push((d + 4) * size * Math.abs(scale) + 2 * Math.abs(extra));
        }
        const top = Math.max(...scores);
        const weights = scores.map((s) => Math.exp(s - top));
        const total = weights.reduce((x, y) => x + y, 0);
        const highest = Math.max(...errors.map((e, j) => (weights[j] > 1e-12 * total ? e : 0)));
        const relative = weights.map((_, j) => highest + errors[j] + 8 + 6 * Math.min(top - scores[j], 88));
        const mean = weights.reduce((x, w, j) => x + w * relative[j], 0) / total;
        for (let c = 0; c < d; c++) {
          const to = (n * queries + i) * width + h * d + c;
          for (let j = 0; j < count; j++) {
            const term = (weights[j] / total) * a.v[(n * keys + j) * width + h * d + c];
            value[to] += term;
            magnitude[to] += Math.abs(term) * (weights[j] > 0 ? relative[j] + mean + 3 * keys + 4 : 0);
          }
        }
      }
    }
  }
  return { value, magnitude };
}
