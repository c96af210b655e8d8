/**
 * What every checkpoint reader hands out: named tensors whose values are fetched one at a time, so that a 170 MB file
 * never has to lie in memory twice. Nothing here knows a file format.
 */
import { BackdropError } from '../errors.ts';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half.ts';

/** Element types whose values can be converted to float32. A file may list others (float8, complex): those can be inspected only. */
export type DType = 'f32' | 'f16' | 'bf16' | 'f64' | 'i64' | 'i32' | 'i16' | 'i8' | 'u64' | 'u32' | 'u16' | 'u8' | 'bool';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType | string;
  readonly shape: readonly number[];
}

export interface TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /**
   * Values as float32, row-major in logical order. float16, bfloat16 and integers to 24 bits convert exactly, the wider
   * ones round. Throws E_CKPT_DTYPE for a type that has no conversion, and the reader's own errors for a damaged file.
   */
  readFloat32(name: string): Promise<Float32Array>;
  /** Little-endian bytes of the logical contiguous tensor in its own dtype. The caller owns them. */
  readBytes(name: string): Promise<Uint8Array>;
}

/** The entries of the state dictionary a model needs, name to shape. */
export type ExpectedTensors = ReadonlyMap<string, readonly number[]>;

/** What opening a checkpoint accepts besides the file. */
export interface OpenOptions {
  /** Used in messages. A File brings its own. */
  fileName?: string;
  /** Bytes read so far, over all reads from this file; total is the file's size. */
  onProgress?: (progress: { loaded: number; total: number }) => void;
  /** Aborting makes the pending and every later read reject with the signal's reason. */
  signal?: AbortSignal;
}

const DTYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ['f64', 8],
  ['i64', 8],
  ['u64', 8],
  ['f32', 4],
  ['i32', 4],
  ['u32', 4],
  ['f16', 2],
  ['bf16', 2],
  ['i16', 2],
  ['u16', 2],
  ['i8', 1],
  ['u8', 1],
  ['bool', 1],
]);

/** Bytes of one element, or undefined for a type that can only be listed. */
export function dtypeBytes(dtype: string): number | undefined {
  return DTYPE_BYTES.get(dtype);
}

/** True for the types of {@link DType}, which readFloat32 can convert. */
export function isConvertible(dtype: string): dtype is DType {
  return DTYPE_BYTES.has(dtype);
}

/** Product of the extents; 1 for a scalar. May exceed 2^53 and lose precision: readers check shapes with BigInt first. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const extent of shape) count *= extent;
  return count;
}

/** Shapes as people write them: `[64, 3, 7, 7]`, `[]`. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** The tensor of that name, or E_CKPT_ARCH with the closest name there is. */
export function tensorOf(source: TensorSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (!info) {
    throw new BackdropError('E_CKPT_ARCH', `the checkpoint has no tensor "${name}" (it has ${source.tensors.size} others)`, {
      hint: 'run `backdrop inspect` on the file to see its names',
      details: { tensor: name },
    });
  }
  return info;
}

/** A view if the bytes are aligned for the element type, a copy otherwise. */
function aligned(bytes: Uint8Array, size: number): { buffer: ArrayBuffer; offset: number } {
  if (bytes.byteOffset % size === 0) return { buffer: bytes.buffer as ArrayBuffer, offset: bytes.byteOffset };
  return { buffer: bytes.slice().buffer as ArrayBuffer, offset: 0 };
}

/**
 * Little-endian bytes of one contiguous tensor to float32. For 'f32' the result may share the memory of `bytes`.
 * Typed arrays read in the platform's byte order; every platform with WebGPU is little-endian.
 */
export function toFloat32(bytes: Uint8Array, dtype: string, name: string): Float32Array {
  const size = DTYPE_BYTES.get(dtype);
  if (size === undefined) {
    throw new BackdropError('E_CKPT_DTYPE', `tensor "${name}" has dtype ${dtype}, which has no conversion to float32`, {
      hint: 'save it as float32, float16 or bfloat16',
      details: { tensor: name, dtype },
    });
  }
  const { buffer, offset } = aligned(bytes, size);
  const count = bytes.byteLength / size;
  switch (dtype as DType) {
    case 'f32':
      return new Float32Array(buffer, offset, count);
    case 'f16':
      return float16ToFloat32(new Uint16Array(buffer, offset, count));
    case 'bf16':
      return bfloat16ToFloat32(new Uint16Array(buffer, offset, count));
    case 'f64':
      return Float32Array.from(new Float64Array(buffer, offset, count));
    case 'i64':
      return Float32Array.from(new BigInt64Array(buffer, offset, count), Number);
    case 'u64':
      return Float32Array.from(new BigUint64Array(buffer, offset, count), Number);
    case 'i32':
      return Float32Array.from(new Int32Array(buffer, offset, count));
    case 'u32':
      return Float32Array.from(new Uint32Array(buffer, offset, count));
    case 'i16':
      return Float32Array.from(new Int16Array(buffer, offset, count));
    case 'u16':
      return Float32Array.from(new Uint16Array(buffer, offset, count));
    case 'i8':
      return Float32Array.from(new Int8Array(buffer, offset, count));
    case 'u8':
      return Float32Array.from(bytes);
    case 'bool':
      return Float32Array.from(bytes, (value) => (value ? 1 : 0));
  }
}

/** The bytes of an array, without copying. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

/** float32 values to the little-endian bytes of a float type, rounded to nearest even. 'f32' shares the memory. */
export function fromFloat32(values: Float32Array, dtype: string, name: string): Uint8Array {
  if (dtype === 'f32') return bytesOf(values);
  if (dtype === 'f16') return bytesOf(float32ToFloat16(values));
  if (dtype === 'bf16') return bytesOf(float32ToBfloat16(values));
  if (dtype === 'f64') return bytesOf(Float64Array.from(values));
  throw new BackdropError('E_CKPT_DTYPE', `tensor "${name}": float32 values cannot be written as ${dtype}`, {
    hint: 'choose f32, f16 or bf16, or pass the bytes',
    details: { tensor: name, dtype },
  });
}
