/**
 * Structured data with typed arrays at any depth as one block of bytes, for the way between Node and the page:
 * `u32 length | JSON | padding | buffers`, every buffer on a multiple of 8 so that decoding copies nothing.
 * What JSON cannot say (typed arrays, NaN, infinities, -0, bigint, undefined, errors) stands as
 * `{"$": [kind, ...]}`; keys that begin with $ get one more.
 */
import { BackdropError } from '../errors.ts';

const views = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
};
type ViewName = keyof typeof views;

const align = (n: number) => Math.ceil(n / 8) * 8;

/** Packs a value. Functions, symbols and class instances other than typed arrays and errors are refused. */
export function encodeMessage(value: unknown): Uint8Array<ArrayBuffer> {
  const parts: { offset: number; bytes: Uint8Array }[] = [];
  const known = new Map<ArrayBufferView | ArrayBuffer, unknown>();
  let size = 0;

  const store = (kind: string, bytes: Uint8Array, length: number): unknown => {
    const entry = { $: [kind, size, length] };
    parts.push({ offset: size, bytes });
    size += align(bytes.byteLength);
    return entry;
  };

  const walk = (item: unknown, path: string): unknown => {
    switch (typeof item) {
      case 'string':
      case 'boolean':
        return item;
      case 'number':
        return Number.isFinite(item) && !Object.is(item, -0) ? item : { $: ['number', Object.is(item, -0) ? '-0' : String(item)] };
      case 'bigint':
        return { $: ['bigint', String(item)] };
      case 'undefined':
        return { $: ['undefined'] };
      case 'object':
        break;
      default:
        throw new TypeError(`${path || 'the value'} is a ${typeof item}, which cannot be sent`);
    }
    if (item === null) return null;
    if (Array.isArray(item)) return item.map((element, i) => walk(element, `${path}[${i}]`));
    if (ArrayBuffer.isView(item) || item instanceof ArrayBuffer) {
      let entry = known.get(item);
      if (!entry) {
        if (item instanceof ArrayBuffer) entry = store('ArrayBuffer', new Uint8Array(item), item.byteLength);
        else {
          // Node's Buffer is a Uint8Array to everyone else.
          const kind = item instanceof Uint8Array ? 'Uint8Array' : item.constructor.name;
          if (!(kind in views)) throw new TypeError(`${path || 'the value'} is a ${kind}, which cannot be sent`);
          const bytes = new Uint8Array(item.buffer, item.byteOffset, item.byteLength);
          entry = store(kind, bytes, (item as Uint8Array).length);
        }
        known.set(item, entry);
      }
      return entry;
    }
    if (item instanceof Error) return { $: ['error', walk(errorData(item), path)] };
    const prototype = Object.getPrototypeOf(item);
    // Plain objects of another realm (vitest's) have another Object.prototype, whose own prototype is null too.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      throw new TypeError(`${path || 'the value'} is a ${item.constructor.name}, which cannot be sent`);
    }
    // Without a prototype, so that a key "__proto__" is a key.
    const copy: Record<string, unknown> = Object.create(null);
    for (const [key, element] of Object.entries(item)) {
      if (element !== undefined) copy[key.startsWith('$') ? `$${key}` : key] = walk(element, path ? `${path}.${key}` : key);
    }
    return copy;
  };

  const head = new TextEncoder().encode(JSON.stringify(walk(value, '')));
  const base = align(4 + head.byteLength);
  const message = new Uint8Array(base + size);
  new DataView(message.buffer).setUint32(0, head.byteLength, true);
  message.set(head, 4);
  for (const { offset, bytes } of parts) message.set(bytes, base + offset);
  return message;
}

/** Unpacks encodeMessage's bytes; typed arrays of the result are views into them. Throws RangeError on damaged bytes. */
export function decodeMessage(message: Uint8Array<ArrayBuffer>): unknown {
  // Views need aligned offsets into the underlying buffer: Node's pooled buffers may start anywhere.
  const bytes = message.byteOffset % 8 === 0 ? message : message.slice();
  if (bytes.byteLength < 4) throw new RangeError('message shorter than its header');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (4 + length > bytes.byteLength) throw new RangeError('message shorter than its header says');
  const base = bytes.byteOffset + align(4 + length);

  const revive = (item: unknown): unknown => {
    if (typeof item !== 'object' || item === null) return item;
    if (Array.isArray(item)) return item.map(revive);
    const special = (item as { $?: unknown[] }).$;
    if (special) {
      const [kind, first, second] = special as [string, never, never];
      if (kind === 'number') return Number(first);
      if (kind === 'bigint') return BigInt(first);
      if (kind === 'undefined') return undefined;
      if (kind === 'error') return errorFrom(revive(first) as ErrorData);
      if (kind === 'ArrayBuffer') return bytes.buffer.slice(base + first, base + first + second);
      return new views[kind as ViewName](bytes.buffer, base + first, second);
    }
    return Object.fromEntries(Object.entries(item).map(([key, element]) => [key.startsWith('$') ? key.slice(1) : key, revive(element)]));
  };
  return revive(JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))));
}

type ErrorData = { name: string; message: string; stack?: string; backdrop?: ReturnType<BackdropError['toJSON']> };

function errorData(error: Error): ErrorData {
  const data: ErrorData = { name: error.name, message: error.message };
  if (error.stack) data.stack = error.stack;
  if (error instanceof BackdropError) data.backdrop = error.toJSON();
  return data;
}

function errorFrom(data: ErrorData): Error {
  const error = data.backdrop ? BackdropError.fromJSON(data.backdrop) : Object.assign(new Error(data.message), { name: data.name });
  // The stack of where it was thrown says more than the stack of where it was unpacked.
  if (data.stack) error.stack = data.stack;
  return error;
}

/** The value in a packed answer `{ value }`, or the error in `{ error }` thrown. */
export function unpackAnswer<T>(answer: Uint8Array<ArrayBuffer>): T {
  const { value, error } = decodeMessage(answer) as { value?: T; error?: unknown };
  if (error !== undefined) throw error instanceof Error ? error : new BackdropError('E_INPUT', String(error));
  return value as T;
}
