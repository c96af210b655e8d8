/** PyTorch's layouts to ours and back, on the host: [n, c, h, w] against [n, h, w, c]. */

/** Dimension i of the result is dimension order[i] of `values`, which has `shape`. */
export function transpose(values: ArrayLike<number>, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const sizes = order.map((d) => shape[d]);
  const steps = order.map((d) => strides[d]);
  const out = new Float32Array(values.length);
  const index = sizes.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = values[from];
    for (let d = sizes.length - 1; d >= 0; d--) {
      from += steps[d];
      index[d] += 1;
      if (index[d] < sizes[d]) break;
      from -= steps[d] * sizes[d];
      index[d] = 0;
    }
  }
  return out;
}

export const toNhwc = (values: ArrayLike<number>, [n, c, h, w]: readonly number[]): Float32Array =>
  transpose(values, [n, c, h, w], [0, 2, 3, 1]);

/** `shape` is the result's, [n, c, h, w]. */
export const toNchw = (values: ArrayLike<number>, [n, c, h, w]: readonly number[]): Float32Array =>
  transpose(values, [n, h, w, c], [0, 3, 1, 2]);

/** [out, in / groups, kh, kw] to [kh * kw, in / groups, out]. */
export function denseWeights(values: ArrayLike<number>, [out, inner, kh, kw]: readonly number[]): Float32Array {
  return transpose(values, [out, inner, kh * kw], [2, 1, 0]);
}

/** A depthwise [channels * multiplier, 1, kh, kw], channel-major, to [kh * kw, multiplier, channels]. */
export function depthwiseWeights(values: ArrayLike<number>, [out, , kh, kw]: readonly number[], channels: number): Float32Array {
  return transpose(values, [channels, out / channels, kh * kw], [2, 1, 0]);
}

/** [out, in] to [in, out]. */
export function linearWeights(values: ArrayLike<number>, [out, inner]: readonly number[]): Float32Array {
  return transpose(values, [out, inner], [1, 0]);
}

/** Our index of the element at a position of PyTorch's tensor; null where the shapes do not belong together. */
export function elementOf(theirs: readonly number[], ours: readonly number[]): ((position: number) => number) | null {
  const same = (position: number) => position;
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  if (size(theirs) !== size(ours)) return null;
  if (theirs.length !== 4) return same;
  const [n, c, h, w] = theirs;
  const [images, height, width, channels] = ours.length === 4 ? ours : [0, 0, 0, 0];
  if (images === n && height === h && width === w && channels === c) {
    return (p) => {
      const [x, y] = [p % w, Math.floor(p / w) % h];
      const [channel, image] = [Math.floor(p / (w * h)) % c, Math.floor(p / (w * h * c))];
      return ((image * h + y) * w + x) * c + channel;
    };
  }
  // One plane of k x k cells a place, which we keep as k * k columns.
  const k = Math.round(Math.sqrt(channels));
  if (images === n && c === 1 && k * k === channels && height * k === h && width * k === w) {
    return (p) => {
      const [x, y, image] = [p % w, Math.floor(p / w) % h, Math.floor(p / (w * h))];
      const place = (image * height + Math.floor(y / k)) * width + Math.floor(x / k);
      return place * channels + (y % k) * k + (x % k);
    };
  }
  return c === 1 ? same : null;
}
