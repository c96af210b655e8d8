/**
 * Files of torch.save, both formats, as named tensors.
 *
 * Since 1.6: a zip archive `<any name>/data.pkl`, `…/data/<key>` per storage, `…/byteorder`, `…/version`.
 * Before (and with `_use_new_zipfile_serialization=False`): five pickles one after the other (magic number, version 1001, system
 * information, the object, the list of storage keys), then per storage its element count (int64) and its data, little-endian
 * whatever machine wrote it. Source of both: torch/serialization.py.
 */

import { type OpenFile, type Raise, raiser } from '../src/checkpoints/bytes.ts';
import { dtypeBytes, type TensorInfo, tensorOf, toFloat32 } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { unpickle } from './pickle.ts';
import { kindOf, Opaque, type PickleValue, Storage, TensorRecord, Tuple } from './pickle-values.ts';
import { extentOf, gather, isContiguous, swapBytes } from './strided.ts';
import { LEGACY_MAGIC, type TorchSource } from './torch-source.ts';
import { openZip, type ZipEntry } from './zip.ts';

const LIMITS = { tensors: 100_000, depth: 64, visits: 8_000_000, pickle: 256 * 2 ** 20 };
/** A storage up to this size is kept while several tensors are views of it. */
const KEEP = 64 * 2 ** 20;

/** Reads [begin, end) of a storage's bytes. */
type StorageReader = (storage: Storage, begin: number, end: number) => Promise<Uint8Array>;

/** A persistent id names a storage: `('storage', type, key, location, elements[, view])`. */
function storagePool(file: string): { storages: Map<string, Storage>; persistent: (id: PickleValue) => PickleValue } {
  const raise: Raise = raiser(file);
  const storages = new Map<string, Storage>();
  const persistent = (id: PickleValue): PickleValue => {
    const items = id instanceof Tuple ? id.items : [];
    const [tag, type, key, , elements] = items;
    const dtype = type !== null && typeof type === 'object' && 'storage' in type ? (type.storage as string | undefined) : undefined;
    const valid = tag === 'storage' && dtype !== undefined && typeof key === 'string' && typeof elements === 'number';
    if (!valid || !Number.isSafeInteger(elements) || elements < 0)
      return raise('E_CKPT_PICKLE', `a persistent id of ${kindOf(id)} does not describe a storage`);
    // Files of 0.3 and older describe views of storages here.
    if (items.length > 5 && items[5] !== null) return raise('E_CKPT_PICKLE', 'storage views of PyTorch 0.3 and older are not read');
    const known = storages.get(key);
    if (known) {
      if (known.dtype !== dtype || known.elements !== elements) raise('E_CKPT_STORAGE', `storage "${key}" is described in two ways`);
      return known;
    }
    const storage = new Storage(key, dtype, elements);
    storages.set(key, storage);
    return storage;
  };
  return { storages, persistent };
}

/** A key as part of a tensor's name. */
function keyText(key: PickleValue): string | undefined {
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean') return String(key);
  return key === null ? 'None' : undefined;
}

/** All tensors below a value, by path joined with dots. Throws E_CKPT_LIMIT, or E_CKPT_PICKLE where two have one path. */
export function collectTensors(root: PickleValue, file: string): Map<string, TensorRecord> {
  const raise: Raise = raiser(file);
  const found = new Map<string, TensorRecord>();
  let visits = 0;
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (++visits > LIMITS.visits) raise('E_CKPT_LIMIT', 'the same objects are nested in each other millions of times');
    if (value instanceof TensorRecord) {
      if (found.has(path)) raise('E_CKPT_PICKLE', `two tensors have the path "${path}"`);
      if (found.size >= LIMITS.tensors) raise('E_CKPT_LIMIT', `more than ${LIMITS.tensors} tensors`);
      found.set(path, value);
      return;
    }
    if (value === null || typeof value !== 'object') return;
    const below = (part: string, child: PickleValue): void => {
      if (child === null || typeof child !== 'object') return;
      if (depth >= LIMITS.depth) raise('E_CKPT_LIMIT', `nesting deeper than ${LIMITS.depth}`);
      visit(child, path === '' ? part : `${path}.${part}`, depth + 1);
    };
    if (value instanceof Map) {
      for (const [key, child] of value) {
        const part = keyText(key);
        if (part !== undefined) below(part, child);
      }
    } else if (Array.isArray(value)) for (let i = 0; i < value.length; i++) below(String(i), value[i]!);
    else if (value instanceof Tuple) for (const [i, child] of value.items.entries()) below(String(i), child);
    else if (value instanceof Opaque && value.state instanceof Map) visit(value.state, path, depth + 1);
  };
  visit(root, '', 0);
  return found;
}

/** Numbers and short strings beside the tensors (`last_epoch`, `date`): what inspect shows. */
function scalarsOf(root: PickleValue): Map<string, string> {
  const metadata = new Map<string, string>();
  if (root instanceof Map) {
    for (const [key, value] of root) {
      const name = keyText(key);
      if (name === undefined || metadata.size >= 64) continue;
      if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') metadata.set(name, String(value));
      else if (typeof value === 'string' && value.length <= 1000) metadata.set(name, value);
    }
  }
  return metadata;
}

function makeSource(root: PickleValue, file: OpenFile, readStorage: StorageReader, swap: boolean): TorchSource {
  const raise: Raise = raiser(file.name);
  const records = collectTensors(root, file.name);
  const tensors = new Map<string, TensorInfo>();
  const users = new Map<Storage, number>();
  for (const [name, { storage, shape }] of records) {
    tensors.set(name, { name, dtype: storage.dtype, shape });
    users.set(storage, (users.get(storage) ?? 0) + 1);
  }
  let kept: { storage: Storage; bytes: Promise<Uint8Array> } | undefined;

  /** Bytes [begin, end) of a storage, owned by the caller. */
  async function read(storage: Storage, begin: number, end: number): Promise<Uint8Array> {
    const whole = storage.elements * dtypeBytes(storage.dtype)!;
    if (users.get(storage)! < 2 || whole > KEEP) return readStorage(storage, begin, end);
    if (kept?.storage !== storage) kept = { storage, bytes: readStorage(storage, 0, whole) };
    try {
      return (await kept.bytes).slice(begin, end);
    } catch (error) {
      kept = undefined;
      throw error;
    }
  }

  const source: TorchSource = {
    root,
    records,
    tensors,
    metadata: scalarsOf(root),
    async readBytes(name) {
      tensorOf(source, name);
      const { storage, offset, shape, stride } = records.get(name)!;
      const size = dtypeBytes(storage.dtype)!;
      let logical = BigInt(size);
      for (const extent of shape) logical *= BigInt(extent);
      // Expanded tensors repeat elements; beyond this one would be a bomb, not a weight.
      if (logical > BigInt(2 * file.size + 2 ** 20)) {
        raise('E_CKPT_LIMIT', `tensor "${name}" [${shape.join(', ')}] expands to ${logical} bytes, the file has ${file.size}`, {
          tensor: name,
        });
      }
      const begin = offset * size;
      const end = begin + extentOf(shape, stride) * size;
      if (begin === end) return new Uint8Array(0);
      const bytes = await read(storage, begin, end);
      if (swap) swapBytes(bytes, size);
      return isContiguous(shape, stride) ? bytes : gather(bytes, size, shape, stride);
    },
    async readFloat32(name) {
      const { dtype } = tensorOf(source, name);
      return toFloat32(await source.readBytes(name), dtype, name);
    },
  };
  return source;
}

/** The zip format. Throws the errors of zip.ts and pickle.ts, and E_CKPT_STORAGE where a storage is missing or of another size. */
export async function openTorchZip(file: OpenFile): Promise<TorchSource> {
  const raise: Raise = raiser(file.name);
  const zip = await openZip(file);
  const pickles = [...zip.entries.keys()].filter((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    const some = [...zip.entries.keys()].slice(0, 5).join(', ');
    const message = `a zip archive, but not one of torch.save: it has no data.pkl (it has ${some || 'nothing'})`;
    raiser(file.name, 'if the checkpoint lies inside this archive, unpack it first')('E_CKPT_NOT_CHECKPOINT', message, { kind: 'zip' });
  }
  const prefix = pickles[0]!.slice(0, -'data.pkl'.length);
  if (zip.entries.has(`${prefix}constants.pkl`)) {
    const hint = "save its weights in Python: torch.save(torch.jit.load(file).state_dict(), 'weights.pth')";
    raiser(file.name, hint)('E_CKPT_NOT_CHECKPOINT', 'a TorchScript program, not a file of weights', { kind: 'torchscript' });
  }
  const data = zip.entries.get(pickles[0]!)!;
  if (data.size > LIMITS.pickle) raise('E_CKPT_LIMIT', `data.pkl has ${data.size} bytes, more than ${LIMITS.pickle}`);
  const order = zip.entries.get(`${prefix}byteorder`);
  const byteOrder = order && order.size < 16 ? new TextDecoder().decode(await zip.read(order)) : 'little';
  if (byteOrder !== 'little' && byteOrder !== 'big') raise('E_CKPT_ZIP', `the byte order is "${byteOrder}"`);

  const { storages, persistent } = storagePool(file.name);
  const bytes = await zip.read(data);
  const { value, end } = unpickle(bytes, { file: file.name, persistent });
  if (end !== bytes.length) raise('E_CKPT_PICKLE', `data.pkl has ${bytes.length - end} bytes after its end`);
  const members = new Map<Storage, ZipEntry>();
  for (const storage of storages.values()) {
    const entry = zip.entries.get(`${prefix}data/${storage.key}`);
    if (!entry) return raise('E_CKPT_STORAGE', `storage "${storage.key}" (${storage.elements} ${storage.dtype}) is missing`);
    const expected = storage.elements * dtypeBytes(storage.dtype)!;
    // PyTorch 1.13 pads a short storage with whatever memory holds, silently.
    if (entry.size !== expected) {
      raise('E_CKPT_STORAGE', `storage "${storage.key}" has ${entry.size} bytes; ${storage.elements} ${storage.dtype} take ${expected}`);
    }
    members.set(storage, entry);
  }
  return makeSource(value, file, (storage, begin, stop) => zip.read(members.get(storage)!, begin, stop), byteOrder === 'big');
}

/** The legacy format. Its data carries no checksum: a flipped bit in a weight cannot be noticed. */
export async function openTorchLegacy(file: OpenFile): Promise<TorchSource> {
  const raise: Raise = raiser(file.name);
  // The pickles' length is written nowhere: read a window, and a wider one if they run past it.
  for (let window = Math.min(file.size, 2 ** 20); ; window = Math.min(file.size, window * 4)) {
    const bytes = await file.read(0, window);
    try {
      return await parseLegacy(file, bytes, raise);
    } catch (error) {
      if (!(error instanceof BackdropError && error.details.ended === true)) throw error;
      if (window === file.size)
        raise('E_CKPT_TRUNCATED', `the file ends within its description of the tensors, after ${file.size} bytes: it is cut off`);
      if (window > LIMITS.pickle) raise('E_CKPT_LIMIT', `the description of the tensors takes more than ${LIMITS.pickle} bytes`);
    }
  }
}

async function parseLegacy(file: OpenFile, bytes: Uint8Array, raise: Raise): Promise<TorchSource> {
  const { storages, persistent } = storagePool(file.name);
  let start = LEGACY_MAGIC.length + 1;
  const next = (allowStorages: boolean): PickleValue => {
    const none = (): never => raise('E_CKPT_PICKLE', 'a storage where the legacy format has none');
    const { value, end } = unpickle(bytes, { file: file.name, start, persistent: allowStorages ? persistent : none });
    start = end;
    return value;
  };
  if (bytes[LEGACY_MAGIC.length] !== 0x2e) {
    raise('E_CKPT_PICKLE', 'the magic number of the legacy format is damaged', { ended: bytes.length < start });
  }
  const version = next(false);
  if (version !== 1001) raise('E_CKPT_PICKLE', `legacy format version ${String(version)}; 1001 is known`);
  next(false); // system information: says nothing the data depends on
  const root = next(true);
  const keys = next(false);
  if (!Array.isArray(keys)) return raise('E_CKPT_PICKLE', `the list of storages is ${kindOf(keys)}`);

  const places = new Map<Storage, number>();
  const cut = ({ key }: Storage): never =>
    raise('E_CKPT_TRUNCATED', `the file ends within storage "${key}", after ${file.size} bytes: it is cut off`);
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage || places.has(storage))
      return raise('E_CKPT_STORAGE', `storage ${JSON.stringify(String(key))} is listed twice, or used by no tensor`);
    if (start + 8 > file.size) return cut(storage);
    const head = await file.read(start, start + 8);
    const elements = new DataView(head.buffer, head.byteOffset).getBigInt64(0, true);
    if (elements !== BigInt(storage.elements))
      return raise('E_CKPT_STORAGE', `storage "${storage.key}" holds ${elements} elements, its tensors need ${storage.elements}`);
    places.set(storage, start + 8);
    start += 8 + storage.elements * dtypeBytes(storage.dtype)!;
    if (start > file.size) return cut(storage);
  }
  for (const storage of storages.values()) {
    if (!places.has(storage)) raise('E_CKPT_STORAGE', `storage "${storage.key}" (${storage.elements} ${storage.dtype}) is missing`);
  }
  if (start !== file.size) raise('E_CKPT_STORAGE', `${file.size - start} bytes follow the last storage`);
  return makeSource(root, file, (storage, begin, end) => file.read(places.get(storage)! + begin, places.get(storage)! + end), false);
}
