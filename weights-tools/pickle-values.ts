/**
 * What a pickle may hold once read. Dictionaries and ordered dictionaries are Maps, lists are arrays, everything else that
 * Python would build as an object is one of these inert records: nothing a pickle names is ever called.
 */

export class Tuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** A name the allow-list knows: a storage type, a dtype, a class or a function we stand in for. */
export class Global {
  readonly module: string;
  readonly name: string;
  /** For torch storage classes, the element type. */
  readonly storage: string | undefined;
  /** What REDUCE and NEWOBJ make of it; undefined where it may be mentioned but not called. */
  readonly build: ((args: readonly PickleValue[]) => PickleValue) | undefined;
  constructor(module: string, name: string, storage?: string, build?: (args: readonly PickleValue[]) => PickleValue) {
    this.module = module;
    this.name = name;
    this.storage = storage;
    this.build = build;
  }
  toString(): string {
    return `${this.module}.${this.name}`;
  }
}

/** One block of a file that tensors are views of. */
export class Storage {
  readonly key: string;
  readonly dtype: string;
  /** Elements of `dtype`. */
  readonly elements: number;
  constructor(key: string, dtype: string, elements: number) {
    this.key = key;
    this.dtype = dtype;
    this.elements = elements;
  }
}

/** A strided view of a storage; offset and strides count elements. Checked against the storage when it is made. */
export class TensorRecord {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(storage: Storage, offset: number, shape: readonly number[], stride: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** A device, a namespace of arguments, a complex number: kept only so that the rest of the file can be read. */
export class Opaque {
  readonly type: string;
  readonly args: readonly PickleValue[];
  state: PickleValue = null;
  constructor(type: string, args: readonly PickleValue[]) {
    this.type = type;
    this.args = args;
  }
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | Tuple
  | Global
  | Storage
  | TensorRecord
  | Opaque;

/** A word for messages. */
export function kindOf(value: PickleValue | undefined): string {
  if (value === null) return 'None';
  if (value === undefined) return 'nothing';
  if (typeof value !== 'object') return typeof value;
  if (value instanceof Map) return 'dict';
  if (Array.isArray(value)) return 'list';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Opaque) return value.type;
  return value.constructor.name.toLowerCase();
}
