/** Strided views to contiguous memory: transposed, sliced, expanded, channels-last tensors as torch saves them. */

/** True if row-major order over `shape` is the order in memory. Extents of 1 may have any stride. */
export function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) continue;
    if (stride[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** Elements from the first to the last one touched, both included; 0 for an empty tensor. */
export function extentOf(shape: readonly number[], stride: readonly number[]): number {
  let last = 0;
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === 0) return 0;
    last += (shape[i]! - 1) * stride[i]!;
  }
  return last + 1;
}

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

function words(bytes: Uint8Array, size: number): Words {
  const { buffer, byteOffset, byteLength } = bytes;
  if (size === 1) return bytes;
  if (size === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  if (size === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4);
  return new BigUint64Array(buffer, byteOffset, byteLength / 8);
}

/** Copies the view that starts at the first byte of `bytes` (aligned to `size`, the bytes of one element) into row-major order. */
export function gather(bytes: Uint8Array, size: number, shape: readonly number[], stride: readonly number[]): Uint8Array {
  let count = 1;
  for (const extent of shape) count *= extent;
  const out = new Uint8Array(count * size);
  if (count === 0) return out;
  // One type serves both: elements are moved as unsigned words, so that no NaN changes its bits.
  const source = words(bytes, size) as Uint32Array;
  const target = words(out, size) as Uint32Array;
  const rank = shape.length;
  const inner = rank ? shape[rank - 1]! : 1;
  const step = rank ? stride[rank - 1]! : 1;
  const index = new Array<number>(rank).fill(0);
  for (let from = 0, to = 0; to < count; ) {
    for (let k = 0, at = from; k < inner; k++, at += step) target[to++] = source[at]!;
    // The odometer over all dimensions but the last.
    let d = rank - 2;
    for (; d >= 0; d--) {
      from += stride[d]!;
      if (++index[d]! < shape[d]!) break;
      from -= stride[d]! * shape[d]!;
      index[d] = 0;
    }
    if (d < 0) break;
  }
  return out;
}

/** Reverses the bytes of every element in place: files written on a big-endian machine. */
export function swapBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
