/** Checkpoint files: named tensors, safetensors in and out. PyTorch's own formats are in weights-tools, which builds on this. */
export { type ByteReader, type FileLike, type OpenFile, openFile } from './bytes.ts';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half.ts';
export {
  openSafetensors,
  planSafetensors,
  type SafetensorsPlan,
  streamSafetensors,
  type TensorData,
  writeSafetensors,
} from './safetensors.ts';
export {
  bytesOf,
  type DType,
  dtypeBytes,
  type ExpectedTensors,
  elementCount,
  fromFloat32,
  isConvertible,
  type OpenOptions,
  shapeText,
  type TensorInfo,
  type TensorSource,
  tensorOf,
  toFloat32,
} from './tensors.ts';
