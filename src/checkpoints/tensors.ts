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

type Numbers = Float32Array | Float64Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;
type Elements = Numbers | BigInt64Array | BigUint64Array;
type ElementArray = (new (buffer: ArrayBuffer, offset: number, count: number) => Elements) & { readonly BYTES_PER_ELEMENT: number };

/** How each type lies in memory. bool and the two half formats are stored in integers and converted apart. */
const ARRAYS: ReadonlyMap<string, ElementArray> = new Map<string, ElementArray>([
  ['f64', Float64Array],
  ['i64', BigInt64Array],
  ['u64', BigUint64Array],
  ['f32', Float32Array],
  ['i32', Int32Array],
  ['u32', Uint32Array],
  ['f16', Uint16Array],
  ['bf16', Uint16Array],
  ['i16', Int16Array],
  ['u16', Uint16Array],
  ['i8', Int8Array],
  ['u8', Uint8Array],
  ['bool', Uint8Array],
]);

/** Bytes of one element, or undefined for a type that can only be listed. */
export function dtypeBytes(dtype: string): number | undefined {
  return ARRAYS.get(dtype)?.BYTES_PER_ELEMENT;
}

/** True for the types of {@link DType}, which readFloat32 can convert. */
export function isConvertible(dtype: string): dtype is DType {
  return ARRAYS.has(dtype);
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

/** The tensor of that name, or E_CKPT_ARCH. */
export function tensorOf(source: TensorSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (!info) {
    throw new BackdropError('E_CKPT_ARCH', `the checkpoint has no tensor "${name}" (it has ${source.tensors.size} others)`, {
      details: { tensor: name },
    });
  }
  return info;
}

/**
 * Little-endian bytes of one contiguous tensor to float32. For 'f32' the result may share the memory of `bytes`.
 * Typed arrays read in the platform's byte order; every platform with WebGPU is little-endian.
 */
export function toFloat32(bytes: Uint8Array, dtype: string, name: string): Float32Array {
  const Elements = ARRAYS.get(dtype);
  if (Elements === undefined) {
    throw new BackdropError('E_CKPT_DTYPE', `tensor "${name}" has dtype ${dtype}, which has no conversion to float32`, {
      hint: 'save it as float32, float16 or bfloat16',
      details: { tensor: name, dtype },
    });
  }
  // A view where the bytes are aligned for the type, a copy otherwise.
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % Elements.BYTES_PER_ELEMENT ? bytes.slice() : bytes;
  const values = new Elements(buffer as ArrayBuffer, byteOffset, byteLength / Elements.BYTES_PER_ELEMENT);
  if (dtype === 'f16') return float16ToFloat32(values as Uint16Array);
  if (dtype === 'bf16') return bfloat16ToFloat32(values as Uint16Array);
  if (dtype === 'bool') return Float32Array.from(values as Uint8Array, (value) => (value ? 1 : 0));
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    const out = new Float32Array(values.length);
    for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
    return out;
  }
  return values instanceof Float32Array ? values : new Float32Array(values);
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
