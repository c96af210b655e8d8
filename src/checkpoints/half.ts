/**
 * Conversions between float32 and the two 16-bit float formats, over whole arrays.
 * float16 (IEEE 754 binary16): 1 sign, 5 exponent, 10 fraction bits. bfloat16: the upper half of a float32.
 */

let halfTable: Float32Array | undefined;

/** All 65536 values of float16: a table beats the arithmetic by an order of magnitude on 40 M weights. */
function float16Table(): Float32Array {
  if (halfTable) return halfTable;
  halfTable = new Float32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const exponent = (half >> 10) & 31;
    const fraction = half & 0x3ff;
    let magnitude = (1 + fraction / 1024) * 2 ** (exponent - 15);
    if (exponent === 0) magnitude = fraction * 2 ** -24;
    if (exponent === 31) magnitude = fraction ? Number.NaN : Number.POSITIVE_INFINITY;
    halfTable[half] = half & 0x8000 ? -magnitude : magnitude;
  }
  return halfTable;
}

/** Exact; every NaN becomes the one NaN. */
export function float16ToFloat32(halves: Uint16Array): Float32Array {
  const table = float16Table();
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i]!]!;
  return out;
}

/** Exact. */
export function bfloat16ToFloat32(halves: Uint16Array): Float32Array {
  const out = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) out[i] = halves[i]! << 16;
  return new Float32Array(out.buffer);
}

/** Round to nearest, ties to even, overflow to infinity, as PyTorch's `.half()`. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const x = bits[i]!;
    const sign = (x >>> 16) & 0x8000;
    const magnitude = x & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000) half = 0x7e00;
    else if (magnitude >= 0x477ff000)
      half = 0x7c00; // 65520 and above round to infinity
    else if (magnitude >= 0x38800000) {
      const shifted = magnitude - 0x38000000;
      half = (shifted + 0xfff + ((shifted >>> 13) & 1)) >>> 13;
    } else if (magnitude > 0x33000000) {
      // Subnormal result: shift the 24-bit significand so that its unit is 2^-24, then round.
      const shift = 126 - (magnitude >>> 23);
      const significand = (magnitude & 0x7fffff) | 0x800000;
      const floor = significand >>> shift;
      const rest = significand & ((1 << shift) - 1);
      const tie = 1 << (shift - 1);
      half = floor + (rest > tie || (rest === tie && floor & 1) ? 1 : 0);
    } else half = 0; // at most 2^-25: half of the smallest subnormal ties to zero
    out[i] = sign | half;
  }
  return out;
}

/** Round to nearest, ties to even; NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const x = bits[i]!;
    out[i] = (x & 0x7fffffff) > 0x7f800000 ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}
