/**
 * Conversions between float32 and the two 16-bit float formats, over whole arrays.
 * float16 (IEEE 754 binary16): 1 sign, 5 exponent, 10 fraction bits. bfloat16: the upper half of a float32.
 */

let halfTable: Float32Array | undefined;

/** All 65536 values of float16: a table beats the arithmetic by an order of magnitude on 40 M weights. */
function float16Table(): Float32Array {
  if (halfTable) return halfTable;
  const bits = new Uint32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 31;
    const fraction = half & 0x3ff;
    if (exponent === 31) bits[half] = sign | 0x7f800000 | (fraction << 13);
    else if (exponent > 0) bits[half] = sign | ((exponent + 112) << 23) | (fraction << 13);
    else if (fraction === 0) bits[half] = sign;
    else {
      // Subnormal: value = fraction * 2^-24, normalised by hand.
      const shift = Math.clz32(fraction) - 21;
      bits[half] = sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
    }
  }
  halfTable = new Float32Array(bits.buffer);
  return halfTable;
}

/** Exact. NaN payloads keep their upper bits. */
export function float16ToFloat32(halves: Uint16Array): Float32Array {
  const table = new Uint32Array(float16Table().buffer);
  const out = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i]!]!;
  return new Float32Array(out.buffer);
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
