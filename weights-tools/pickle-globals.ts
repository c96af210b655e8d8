/**
 * The names a checkpoint's pickle may mention: smaller than the list of `torch.load(weights_only=True)` (144 names in torch
 * 2.13). A pickle that names anything else is refused with that name, and no name leads to code other than the few lines here.
 * Beyond torch's list there is one inert record, argparse.Namespace, because Deformable-DETR's releases carry their arguments.
 */
import { BackdropError, type ErrorCode } from '../src/errors.ts';
import { Global, kindOf, Opaque, type PickleValue, Storage, TensorRecord, Tuple } from './pickle-values.ts';

const STORAGES: readonly (readonly [string, string])[] = [
  ['Float', 'f32'],
  ['Half', 'f16'],
  ['BFloat16', 'bf16'],
  ['Double', 'f64'],
  ['Long', 'i64'],
  ['Int', 'i32'],
  ['Short', 'i16'],
  ['Char', 'i8'],
  ['Byte', 'u8'],
  ['Bool', 'bool'],
];
const DTYPES = 'float16 float32 float64 bfloat16 bool uint8 int8 int16 int32 int64'.split(' ');

const fail = (message: string, code: ErrorCode = 'E_CKPT_PICKLE'): never => {
  throw new BackdropError(code, message, { hint: 'the file is damaged, or was not written by torch.save' });
};

/** Logical bytes are bounded by the reader, since an expanded tensor may be larger than its file. */
const MAX_DIMENSIONS = 64;

const isIndex = (value: PickleValue | undefined): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function indices(value: PickleValue | undefined, what: string): readonly number[] {
  if (!(value instanceof Tuple) || !value.items.every(isIndex))
    return fail(`a tensor's ${what} is ${kindOf(value)}, not a tuple of non-negative integers`);
  return value.items as readonly number[];
}

/** `_rebuild_tensor(storage, offset, size, stride)`; version 2 adds requires_grad, hooks and metadata, which say nothing about values. */
function rebuildTensor(args: readonly PickleValue[]): PickleValue {
  const [storage, offset] = args;
  if (!(storage instanceof Storage)) return fail(`a tensor is built on ${kindOf(storage)}, not on a storage`);
  if (!isIndex(offset)) return fail('a tensor has no storage offset');
  const shape = indices(args[2], 'size');
  const stride = indices(args[3], 'stride');
  if (shape.length !== stride.length) fail(`a tensor has ${shape.length} sizes and ${stride.length} strides`);
  if (shape.length > MAX_DIMENSIONS) fail(`a tensor has ${shape.length} dimensions; PyTorch allows ${MAX_DIMENSIONS}`, 'E_CKPT_LIMIT');
  // The farthest element, in exact integers: no product of a crafted shape can wrap around.
  let last = BigInt(offset);
  let empty = false;
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === 0) empty = true;
    last += BigInt(Math.max(0, shape[i]! - 1)) * BigInt(stride[i]!);
  }
  if (!empty && last >= BigInt(storage.elements)) {
    const needed = `shape [${shape.join(', ')}] with stride [${stride.join(', ')}] at offset ${offset} reaches element ${last}`;
    fail(`a tensor lies outside its storage "${storage.key}": ${needed} of ${storage.elements}`, 'E_CKPT_STORAGE');
  }
  return new TensorRecord(storage, offset, shape, stride);
}

const sequence = (value: PickleValue | undefined): readonly PickleValue[] =>
  Array.isArray(value) ? value : value instanceof Tuple ? value.items : [];

/** `dict()`-like construction: from nothing, a dict, or a list of pairs. */
function buildDict(args: readonly PickleValue[]): PickleValue {
  const [first = []] = args;
  if (first instanceof Map) return first;
  const map = new Map<PickleValue, PickleValue>();
  for (const pair of sequence(first)) {
    const items = sequence(pair);
    if (items.length !== 2) fail('a dictionary is built from something other than pairs');
    map.set(items[0]!, items[1]!);
  }
  return map;
}

/** Python 2 protocol for bytes: `_codecs.encode('…', 'latin1')`. */
function encode(args: readonly PickleValue[]): PickleValue {
  const [text] = args;
  if (typeof text !== 'string') return fail('_codecs.encode of something other than text');
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    bytes[i] = text.charCodeAt(i);
    if (text.charCodeAt(i) > 255) fail('_codecs.encode of characters outside latin1');
  }
  return bytes;
}

function parameter(args: readonly PickleValue[]): PickleValue {
  return args[0] instanceof TensorRecord ? args[0] : fail('a parameter is built on something other than a tensor');
}

const GLOBALS = new Map<string, Global>();

function allow(module: string, name: string, build?: (args: readonly PickleValue[]) => PickleValue, storage?: string): void {
  GLOBALS.set(`${module} ${name}`, new Global(module, name, storage, build));
}

allow('collections', 'OrderedDict', buildDict);
allow('collections', 'Counter', buildDict);
// Protocol 2 writes Python 2's module name.
for (const module of ['builtins', '__builtin__']) {
  allow(module, 'set', (args) => new Set(sequence(args[0])));
  allow(module, 'complex', (args) => new Opaque('complex', args));
  allow(module, 'bytearray', (args) => (args[0] instanceof Uint8Array ? args[0] : new Uint8Array(0)));
}
allow('_codecs', 'encode', encode);
allow('torch', 'Size', (args) => new Tuple(sequence(args[0])));
allow('torch', 'device', (args) => new Opaque('torch.device', args));
allow('argparse', 'Namespace', (args) => new Opaque('argparse.Namespace', args));
allow('torch.nn.parameter', 'Parameter', parameter);
allow('torch._utils', '_rebuild_tensor', rebuildTensor);
allow('torch._utils', '_rebuild_tensor_v2', rebuildTensor);
allow('torch._utils', '_rebuild_parameter', parameter);
for (const [prefix, dtype] of STORAGES) {
  allow('torch', `${prefix}Storage`, undefined, dtype);
  allow('torch.cuda', `${prefix}Storage`, undefined, dtype);
}
allow('torch.storage', 'UntypedStorage', undefined, 'u8');
for (const dtype of DTYPES) allow('torch', dtype);

/** The allowed global, or E_CKPT_GLOBAL naming the one that is not. */
export function findGlobal(module: string, name: string, file: string): Global {
  const found = GLOBALS.get(`${module} ${name}`);
  if (found) return found;
  // Protocol 2 writes Python 2's name of the module people know as builtins.
  const full = `${module === '__builtin__' ? 'builtins' : module}.${name}`;
  throw new BackdropError('E_CKPT_GLOBAL', `${file}: the pickle names ${full}, which a file of weights does not need`, {
    hint: `if you trust the file's source, save its weights alone in Python:
  import torch; from safetensors.torch import save_file
  c = torch.load(${JSON.stringify(file)}, map_location='cpu', weights_only=False); c = c.get('model', c)
  save_file({k: v.clone().contiguous() for k, v in c.items()}, 'weights.safetensors')`,
    details: { file, global: full },
  });
}
