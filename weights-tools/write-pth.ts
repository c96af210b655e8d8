/**
 * Writes files that `torch.load` reads, `weights_only=True` included: a zip archive with stored members, a protocol-2 pickle
 * of dictionaries and `_rebuild_tensor_v2` calls, every storage on a multiple of 64 bytes as torch places them.
 */
import { dtypeBytes, elementCount, type TensorInfo } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { crc32 } from './crc32.ts';

/** A tensor to write; `read` is called when its turn comes. One object used in several places becomes one shared storage. */
export interface PthTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly read: () => Promise<Uint8Array> | Uint8Array;
}

/**
 * What goes into the file. Maps of tensors become OrderedDict, other Maps dict. Fractions load with `weights_only` from torch 2 on:
 * the loader of 1.13 does not know the opcode.
 */
export type PthValue = PthTensor | Map<string, PthValue> | readonly PthValue[] | string | number | boolean | null;

const STORAGE_OF: ReadonlyMap<string, string> = new Map([
  ['f32', 'Float'],
  ['f16', 'Half'],
  ['bf16', 'BFloat16'],
  ['f64', 'Double'],
  ['i64', 'Long'],
  ['i32', 'Int'],
  ['i16', 'Short'],
  ['i8', 'Char'],
  ['u8', 'Byte'],
  ['bool', 'Bool'],
]);

const isTensor = (value: PthValue): value is PthTensor => value !== null && typeof value === 'object' && 'read' in value;

/** A growing little-endian buffer. */
class Bytes {
  private bytes = new Uint8Array(4096);
  length = 0;
  private room(n: number): DataView {
    if (this.length + n > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.length += n;
    return new DataView(this.bytes.buffer, this.length - n, n);
  }
  u8(...values: number[]): void {
    for (const value of values) this.room(1).setUint8(0, value);
  }
  u16(value: number): void {
    this.room(2).setUint16(0, value, true);
  }
  u32(value: number): void {
    this.room(4).setUint32(0, value, true);
  }
  u64(value: number): void {
    this.room(8).setBigUint64(0, BigInt(value), true);
  }
  f64BigEndian(value: number): void {
    this.room(8).setFloat64(0, value, false);
  }
  raw(source: Uint8Array): void {
    const view = this.room(source.length);
    new Uint8Array(view.buffer, view.byteOffset, source.length).set(source);
  }
  ascii(text: string): void {
    this.raw(new TextEncoder().encode(text));
  }
  done(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }
}

/** The pickle of `root`, and its tensors in the order of their storage keys. */
function pickle(root: PthValue): { bytes: Uint8Array; storages: PthTensor[] } {
  const out = new Bytes();
  const keys = new Map<PthTensor, number>();
  const text = (value: string): void => {
    const encoded = new TextEncoder().encode(value);
    out.u8(0x58);
    out.u32(encoded.length);
    out.raw(encoded);
  };
  const integer = (value: number): void => {
    if (value >= 0 && value < 256) out.u8(0x4b, value);
    else if (value === (value | 0)) {
      out.u8(0x4a);
      out.u32(value >>> 0);
    } else {
      // LONG1: eight bytes hold every safe integer.
      out.u8(0x8a, 8);
      out.u64(Number(BigInt.asUintN(64, BigInt(value))));
    }
  };
  const tuple = (values: readonly number[]): void => {
    out.u8(0x28);
    for (const value of values) integer(value);
    out.u8(0x74);
  };
  const global = (module: string, name: string): void => out.ascii(`c${module}\n${name}\n`);
  const orderedDict = (): void => {
    global('collections', 'OrderedDict');
    out.u8(0x29, 0x52);
  };
  const tensor = (value: PthTensor): void => {
    const { dtype, shape } = value;
    const storage = STORAGE_OF.get(dtype);
    if (!storage) {
      throw new BackdropError('E_CKPT_DTYPE', `a .pth file cannot hold dtype ${dtype}`, {
        hint: 'write .safetensors, or convert with --dtype f32',
        details: { dtype },
      });
    }
    const key = keys.get(value) ?? keys.size;
    keys.set(value, key);
    const stride = shape.map((_, i) => elementCount(shape.slice(i + 1)) || 1);
    global('torch._utils', '_rebuild_tensor_v2');
    out.u8(0x28, 0x28); // two marks: the arguments, and the persistent id, their first
    text('storage');
    global('torch', `${storage}Storage`);
    text(String(key));
    text('cpu');
    integer(elementCount(shape));
    out.u8(0x74, 0x51); // TUPLE, BINPERSID
    integer(0);
    tuple(shape);
    tuple(stride);
    out.u8(0x89); // requires_grad
    orderedDict(); // backward hooks
    out.u8(0x74, 0x52);
  };
  const write = (value: PthValue): void => {
    if (value === null) out.u8(0x4e);
    else if (typeof value === 'boolean') out.u8(value ? 0x88 : 0x89);
    else if (typeof value === 'string') text(value);
    else if (typeof value === 'number') {
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) integer(value);
      else {
        out.u8(0x47);
        out.f64BigEndian(value);
      }
    } else if (isTensor(value)) tensor(value);
    else if (value instanceof Map) {
      // A dictionary of tensors is a state_dict, which PyTorch keeps ordered.
      if (value.size > 0 && [...value.values()].every(isTensor)) orderedDict();
      else out.u8(0x7d);
      out.u8(0x28);
      for (const [key, child] of value) {
        text(key);
        write(child);
      }
      out.u8(0x75);
    } else {
      out.u8(0x5d, 0x28);
      for (const child of value) write(child);
      out.u8(0x65);
    }
  };
  out.u8(0x80, 2);
  write(root);
  out.u8(0x2e);
  return { bytes: out.done(), storages: [...keys.keys()] };
}

interface Written {
  name: Uint8Array;
  crc: number;
  size: number;
  offset: number;
}

const LIMIT32 = 0xffffffff;

/**
 * The file's bytes, piece by piece; memory holds one tensor at a time.
 *
 * @param root usually a state dictionary (`new Map([[name, tensor]…])`) or `{model, ema: {module}, …}` as Maps
 * @param options.name the archive's inner directory (torch uses the file's name; any will do)
 * @param options.zip64 writes the wide records even where the narrow ones suffice (they come by themselves beyond 4 GiB)
 * @throws BackdropError E_CKPT_DTYPE, E_CKPT_STORAGE where `read` returns other than shape and dtype say
 */
export async function* writePth(root: PthValue, options: { name?: string; zip64?: boolean } = {}): AsyncGenerator<Uint8Array> {
  const { bytes, storages } = pickle(root);
  const prefix = options.name ?? 'archive';
  const encoder = new TextEncoder();
  const written: Written[] = [];
  let position = 0;

  /** Local header (APPNOTE 4.3.7) with an extra field that pads the data to a multiple of 64. */
  const header = (file: string, content: Uint8Array): Uint8Array => {
    const name = encoder.encode(`${prefix}/${file}`);
    if (content.length >= LIMIT32)
      throw new BackdropError('E_CKPT_LIMIT', `one storage of ${content.length} bytes is too large for this writer`);
    const entry = { name, crc: crc32(content), size: content.length, offset: position };
    written.push(entry);
    const out = new Bytes();
    out.u32(0x04034b50);
    fields(out, entry);
    const unpadded = position + 30 + name.length + 4;
    const padding = (64 - (unpadded % 64)) % 64;
    out.u16(4 + padding);
    out.raw(name);
    out.ascii('FB'); // the id torch gives its padding
    out.u16(padding);
    out.raw(new Uint8Array(padding));
    position += out.length + content.length;
    return out.done();
  };
  const member = function* (file: string, content: Uint8Array): Generator<Uint8Array> {
    yield header(file, content);
    yield content;
  };

  yield* member('data.pkl', bytes);
  yield* member('byteorder', encoder.encode('little'));
  for (const [key, tensor] of storages.entries()) {
    const content = await tensor.read();
    const expected = elementCount(tensor.shape) * dtypeBytes(tensor.dtype)!;
    if (content.length !== expected) {
      throw new BackdropError('E_CKPT_STORAGE', `storage ${key}: ${content.length} bytes of data, ${expected} expected`);
    }
    yield* member(`data/${key}`, content);
  }
  yield* member('version', encoder.encode('3\n'));
  yield directory(written, position, options.zip64 ?? false);
}

/** The fields local and central headers share: version to name length. Flag 0x800: names are UTF-8. */
function fields(out: Bytes, { name, crc, size }: Written, wide = false): void {
  out.u16(45);
  out.u16(0x800);
  out.u16(0); // stored
  out.u16(0); // time 00:00 and date 1980-01-01: the same tensors give the same bytes
  out.u16(33);
  out.u32(crc);
  out.u32(wide ? LIMIT32 : size);
  out.u32(wide ? LIMIT32 : size);
  out.u16(name.length);
}

function directory(written: readonly Written[], start: number, force: boolean): Uint8Array {
  const out = new Bytes();
  for (const entry of written) {
    const wide = force || entry.offset >= LIMIT32;
    out.u32(0x02014b50);
    out.u16(45);
    // All three fields go wide together: the reader inside torch (miniz) trusts the offset only if the sizes do not fit either.
    fields(out, entry, wide);
    out.u16(wide ? 28 : 0);
    for (let i = 0; i < 3; i++) out.u16(0); // comment length, disk, internal attributes
    out.u32(0);
    out.u32(wide ? LIMIT32 : entry.offset);
    out.raw(entry.name);
    if (wide) {
      out.u16(1);
      out.u16(24);
      out.u64(entry.size);
      out.u64(entry.size);
      out.u64(entry.offset);
    }
  }
  const size = out.length;
  const wide = force || start >= LIMIT32 || written.length >= 0xffff;
  if (wide) {
    const record = start + out.length;
    out.u32(0x06064b50);
    out.u64(44);
    out.u16(45);
    out.u16(45);
    out.u32(0);
    out.u32(0);
    out.u64(written.length);
    out.u64(written.length);
    out.u64(size);
    out.u64(start);
    out.u32(0x07064b50);
    out.u32(0);
    out.u64(record);
    out.u32(1);
  }
  out.u32(0x06054b50);
  out.u32(0);
  out.u16(wide ? 0xffff : written.length);
  out.u16(wide ? 0xffff : written.length);
  out.u32(wide ? LIMIT32 : size);
  out.u32(wide ? LIMIT32 : start);
  out.u16(0);
  return out.done();
}

/** A tensor of a source as {@link PthTensor}. */
export function pthTensor(info: TensorInfo, read: PthTensor['read']): PthTensor {
  return { dtype: info.dtype, shape: info.shape, read };
}
