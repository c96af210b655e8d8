/**
 * Gradients from our layouts back to PyTorch's, without a second conversion written for each. What a graph is fed is worked
 * out on the host from a file's tensors: reordered, cut, joined, repeated, or folded with a batch norm. Every number of it
 * depends on at most one element of a given tensor, and on that one affinely; so running the conversion on zeros, on ones and
 * on the elements' own numbers tells which element, and by what factor.
 */

export type Get = (name: string) => Float32Array;

/** Indices are probed in two digits, so that a conversion's float32 results tell them exactly. */
const DIGIT = 4096;

/**
 * Adds to `into` the gradient with respect to the tensor `name`.
 * @param build the conversion; it may read other tensors, which stay as they are
 * @param gradient with respect to what `build` gives; further elements of it (repetitions for the kernels) are left out
 */
export function pullBack(
  build: (get: Get) => ArrayLike<number>,
  get: Get,
  name: string,
  gradient: ArrayLike<number>,
  into: Float64Array,
): void {
  const probe = (value: (i: number) => number): ArrayLike<number> => {
    const stand = Float32Array.from(into, (_, i) => value(i));
    // Conversions may write into what they read.
    return build((asked) => (asked === name ? stand : get(asked).slice()));
  };
  const base = probe(() => 0);
  const one = probe(() => 1);
  const low = probe((i) => i % DIGIT);
  const high = probe((i) => Math.floor(i / DIGIT));
  for (let k = 0; k < gradient.length; k++) {
    const factor = one[k] - base[k];
    if (factor === 0) continue;
    const digit = (values: ArrayLike<number>) => Math.round((values[k] - base[k]) / factor);
    into[digit(low) + DIGIT * digit(high)] += factor * gradient[k];
  }
}

/** The gradient of a result in our layout, of which `convert` makes PyTorch's by picking elements, given that of PyTorch's. */
export function pushForward(
  convert: (values: Float32Array) => ArrayLike<number>,
  size: number,
  gradient: ArrayLike<number>,
): Float32Array<ArrayBuffer> {
  const from = convert(Float32Array.from({ length: size }, (_, i) => i));
  const out = new Float32Array(size);
  for (let i = 0; i < from.length; i++) out[from[i]] += gradient[i];
  return out;
}
