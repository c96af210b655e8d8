/**
 * safetensors: reader and writer. The reader slices the file tensor by tensor; the writer's bytes equal the Python
 * library's for the same tensors (its order: dtype descending as in the library's enum, then name by UTF-8 bytes).
 */
import { BackdropError } from '../errors.ts';
import { type FileLike, openFile, type Raise, raiser } from './bytes.ts';
import { parseHeader, SAFETENSORS_DTYPES } from './safetensors-header.ts';
import { dtypeBytes, fromFloat32, type OpenOptions, type TensorInfo, type TensorSource, tensorOf, toFloat32 } from './tensors.ts';

/** The library's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Our dtype names are the file's, in lower case: F32 is 'f32', BOOL is 'bool', F8_E4M3 is 'f8_e4m3'. */
const DTYPE_ORDER: ReadonlyMap<string, number> = new Map([...SAFETENSORS_DTYPES.keys()].map((name, index) => [name.toLowerCase(), index]));

/**
 * Opens a safetensors file: reads and checks its header, leaves the data in the file until a tensor is asked for.
 * Throws the E_ST_* codes of {@link parseHeader}, E_CKPT_TRUNCATED, E_FILE_MISSING.
 */
export async function openSafetensors(file: FileLike, options: OpenOptions = {}): Promise<TensorSource> {
  const bytes = openFile(file, options);
  const raise: Raise = raiser(bytes.name);
  if (bytes.size < 10) raise('E_ST_HEADER', `${bytes.size} bytes are too few for a safetensors file`);
  const prefix = await bytes.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) raise('E_ST_HEADER', `the header claims ${length} bytes; the format allows ${MAX_HEADER_BYTES}`);
  const dataStart = 8 + Number(length);
  if (dataStart > bytes.size) raise('E_ST_HEADER', `the header claims ${length} bytes, the file has ${bytes.size}`);
  const header = parseHeader(await bytes.read(8, dataStart), bytes.size - dataStart, bytes.name);

  const tensors = new Map<string, TensorInfo>();
  const ranges = new Map<string, readonly [number, number]>();
  for (const { name, dtype, shape, begin, end } of header.entries) {
    tensors.set(name, { name, dtype: dtype.toLowerCase(), shape });
    ranges.set(name, [dataStart + begin, dataStart + end]);
  }
  const source: TensorSource = {
    tensors,
    metadata: header.metadata,
    async readBytes(name) {
      tensorOf(source, name);
      const [begin, end] = ranges.get(name)!;
      return bytes.read(begin, end);
    },
    async readFloat32(name) {
      const { dtype } = tensorOf(source, name);
      // Refuse before reading a tensor that cannot be converted.
      if (dtypeBytes(dtype) === undefined) return toFloat32(new Uint8Array(0), dtype, name);
      return toFloat32(await source.readBytes(name), dtype, name);
    },
  };
  return source;
}

/** One tensor to write. Float32Array data is rounded to `dtype` where that is f16 or bf16; bytes are written as they are. */
export interface TensorData {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array | Float32Array;
}

export interface SafetensorsPlan {
  /** Length prefix and padded JSON: the file's first bytes. */
  readonly header: Uint8Array;
  /** The order in which the tensors' bytes must follow. */
  readonly order: readonly TensorInfo[];
  /** Size of the whole file. */
  readonly fileBytes: number;
}

/** Compares by code point, which is the order of UTF-8 bytes; JavaScript's `<` compares UTF-16 units and differs above U+FFFF. */
function compareUtf8(a: string, b: string): number {
  const [left, right] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) if (left[i] !== right[i]) return left[i]! - right[i]!;
  return left.length - right.length;
}

/**
 * Lays a file out without its data, so that a converter can stream tensors of any total size.
 * Throws E_ST_DTYPE (a type the format does not have), E_ST_DUPLICATE, E_ST_SHAPE, E_ST_HEADER (`__metadata__` as a tensor's name).
 */
export function planSafetensors(
  infos: Iterable<TensorInfo>,
  metadata: ReadonlyMap<string, string> = new Map([['format', 'pt']]),
): SafetensorsPlan {
  const order = [...infos];
  const seen = new Set<string>();
  for (const { name, dtype, shape } of order) {
    const details = { tensor: name };
    if (name === '__metadata__') throw new BackdropError('E_ST_HEADER', 'no tensor may be called "__metadata__"', { details });
    if (seen.has(name)) throw new BackdropError('E_ST_DUPLICATE', `two tensors are called "${name}"`, { details });
    if (!DTYPE_ORDER.has(dtype)) throw new BackdropError('E_ST_DTYPE', `tensor "${name}": safetensors has no dtype ${dtype}`, { details });
    if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
      throw new BackdropError('E_ST_SHAPE', `tensor "${name}": shape [${shape.join(', ')}] is not made of non-negative integers`, {
        details,
      });
    }
    seen.add(name);
  }
  order.sort((a, b) => DTYPE_ORDER.get(b.dtype)! - DTYPE_ORDER.get(a.dtype)! || compareUtf8(a.name, b.name));

  const fields: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    fields.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let offset = 0;
  for (const info of order) {
    const end = offset + byteLength(info);
    const shape = info.shape.join(',');
    fields.push(
      `${JSON.stringify(info.name)}:{"dtype":"${info.dtype.toUpperCase()}","shape":[${shape}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { header, order, fileBytes: header.length + offset };
}

function byteLength({ name, dtype, shape }: TensorInfo): number {
  let bits = BigInt(SAFETENSORS_DTYPES.get(dtype.toUpperCase())!);
  for (const extent of shape) bits *= BigInt(extent);
  if (bits % 8n !== 0n || bits / 8n > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BackdropError('E_ST_SHAPE', `tensor "${name}" of ${dtype} [${shape.join(', ')}] has no size in whole bytes`, {
      details: { tensor: name },
    });
  }
  return Number(bits / 8n);
}

/**
 * The file as a sequence of chunks: `new Blob([...writeSafetensors(tensors)])` in the page, one write per chunk in Node.
 * `metadata` defaults to `format: pt`, which transformers and safetensors.torch ask for.
 * Throws what {@link planSafetensors} throws, and E_ST_SHAPE where data and shape disagree.
 */
export function* writeSafetensors(
  tensors: Iterable<TensorData>,
  metadata?: ReadonlyMap<string, string>,
): Generator<Uint8Array<ArrayBuffer>> {
  const list = [...tensors];
  const plan = planSafetensors(list, metadata);
  const byName = new Map(list.map((tensor) => [tensor.name, tensor]));
  yield plan.header as Uint8Array<ArrayBuffer>;
  for (const info of plan.order) {
    const { data } = byName.get(info.name)!;
    const bytes = data instanceof Float32Array ? fromFloat32(data, info.dtype, info.name) : data;
    checkBytes(info, bytes);
    yield bytes as Uint8Array<ArrayBuffer>;
  }
}

/** The same, with each tensor's bytes fetched when its turn comes: memory stays at one tensor. */
export async function* streamSafetensors(
  infos: Iterable<TensorInfo>,
  read: (info: TensorInfo) => Promise<Uint8Array>,
  metadata?: ReadonlyMap<string, string>,
): AsyncGenerator<Uint8Array> {
  const plan = planSafetensors(infos, metadata);
  yield plan.header;
  for (const info of plan.order) {
    const bytes = await read(info);
    checkBytes(info, bytes);
    yield bytes;
  }
}

function checkBytes(info: TensorInfo, bytes: Uint8Array): void {
  if (bytes.byteLength === byteLength(info)) return;
  const found = `${bytes.byteLength} bytes of data, ${byteLength(info)} expected`;
  throw new BackdropError('E_ST_SHAPE', `tensor "${info.name}" of ${info.dtype} [${info.shape.join(', ')}]: ${found}`, {
    details: { tensor: info.name },
  });
}
