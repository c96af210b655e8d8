/** Pillow's antialiased bilinear resize (Resample.c) as tables, for the kernels of detection and for the CPU's input pipeline. */

/** Bits behind the point of a weight: 255 times the sum of weights, and half a unit, stay below 2^31. */
export const PRECISION_BITS = 32 - 8 - 2;

/**
 * What one pass reads: for each output pixel the first input pixel, the number of input pixels, and their weights in
 * units of 2^-22, [output, 2 + taps]. The filter is a triangle, widened by the factor of a reduction.
 */
export function resizeTable(input: number, output: number): { taps: number; data: Uint32Array } {
  const scale = input / output;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const data = new Uint32Array(output * (taps + 2));
  for (let x = 0; x < output; x++) {
    const center = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(input, Math.trunc(center + support + 0.5)) - first;
    // One division, then products: in Pillow's order, so that the last bit of a weight is the same.
    const step = 1 / support;
    const weights = Array.from({ length: count }, (_, t) => Math.max(0, 1 - Math.abs((t + first - center + 0.5) * step)));
    const total = weights.reduce((a, b) => a + b, 0);
    const at = x * (taps + 2);
    data[at] = first;
    data[at + 1] = count;
    weights.forEach((w, t) => {
      data[at + 2 + t] = Math.trunc(0.5 + (total === 0 ? w : w / total) * 2 ** PRECISION_BITS);
    });
  }
  return { taps, data };
}
