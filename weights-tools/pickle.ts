/**
 * A pickle machine for protocols 2 to 5, with the opcodes torch.save produces and no others.
 *
 * A pickle is a program for a stack machine (Python: Lib/pickle.py, Lib/pickletools.py). This one can push constants, build
 * tuples, lists, Maps and Sets, remember values in a memo, and name the globals of pickle-globals.ts. REDUCE and NEWOBJ look
 * up our own stand-in for such a name; there is no way from a file to any other function. What remains is memory and time,
 * which the limits bound.
 */
import { type Raise, raiser } from '../src/checkpoints/bytes.ts';
import { BackdropError } from '../src/errors.ts';
import { findGlobal } from './pickle-globals.ts';
import { Global, kindOf, Opaque, type PickleValue, TensorRecord, Tuple } from './pickle-values.ts';

const LIMITS = {
  opcodes: 50_000_000,
  /** Containers and records: what costs memory out of proportion to its one or two bytes in the file. */
  objects: 4_000_000,
  stack: 2_000_000,
  memo: 4_000_000,
  marks: 128,
  /** Bytes of one LONG1/LONG4 integer. */
  integer: 64,
};

export interface UnpickleOptions {
  /** For messages: file and member. */
  file: string;
  /** Where in `bytes` the pickle starts. */
  start?: number;
  /** What a persistent id stands for (torch: a storage). */
  persistent: (id: PickleValue) => PickleValue;
}

/** What one pickle yields, and where the byte after its STOP lies. */
export interface Unpickled {
  value: PickleValue;
  end: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder('latin1');

/**
 * Runs one pickle. Throws E_CKPT_GLOBAL (a name that is not allowed), E_CKPT_OPCODE (an opcode weights do not need),
 * E_CKPT_LIMIT, and E_CKPT_PICKLE for everything malformed; `details.ended` is true where the bytes ran out.
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): Unpickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: PickleValue[] = [];
  const marks: number[] = [];
  const memo = new Map<number, PickleValue>();
  let at = options.start ?? 0;
  let objects = 0;
  let copied = 0;

  const raiseAt = raiser(options.file);
  const raise: Raise = (code, message, details) => raiseAt(code, `${message} (pickle byte ${at})`, details);
  const malformed: (message: string) => never = (message) => raise('E_CKPT_PICKLE', message);
  /** Claims the next n bytes and returns where they start. */
  const take = (n: number): number => {
    if (n > bytes.length - at) raise('E_CKPT_PICKLE', 'the pickle ends early', { ended: true });
    at += n;
    return at - n;
  };
  const u8 = (): number => bytes[take(1)]!;
  const u32 = (): number => view.getUint32(take(4), true);
  const u64 = (): number => {
    const value = view.getBigUint64(take(8), true);
    return value > BigInt(bytes.length) ? raise('E_CKPT_PICKLE', 'the pickle ends early', { ended: true }) : Number(value);
  };
  const raw = (n: number): Uint8Array => {
    const start = take(n);
    return bytes.subarray(start, start + n);
  };
  /** Old files keep byte strings: UTF-8 where they can be, latin1 otherwise, as torch.load(encoding=…) tries. */
  const text = (n: number, fallback?: TextDecoder): string => {
    const source = raw(n);
    try {
      return utf8.decode(source);
    } catch {
      return fallback ? fallback.decode(source) : malformed('a string is not UTF-8');
    }
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0 || end - at > 512) return raise('E_CKPT_PICKLE', 'a name does not end', { ended: end < 0 });
    const name = text(end - at);
    at++;
    return name;
  };
  const push = (value: PickleValue): void => {
    if (stack.length >= LIMITS.stack) raise('E_CKPT_LIMIT', `more than ${LIMITS.stack} values on the stack`);
    stack.push(value);
  };
  const made = <T extends PickleValue>(value: T): T => {
    if (++objects > LIMITS.objects) raise('E_CKPT_LIMIT', `more than ${LIMITS.objects} objects`);
    return value;
  };
  /** Nothing may reach below the innermost mark. */
  const pop = (): PickleValue => {
    if (stack.length <= (marks.at(-1) ?? 0)) malformed('the stack is empty');
    return stack.pop()!;
  };
  const peek = (): PickleValue => (stack.length > (marks.at(-1) ?? 0) ? stack.at(-1)! : malformed('the stack is empty'));
  const popMark = (): PickleValue[] => {
    const mark = marks.pop();
    return mark === undefined ? malformed('there is no mark on the stack') : stack.splice(mark);
  };
  const popTuple = (n: number): Tuple => {
    const items: PickleValue[] = [];
    for (let i = 0; i < n; i++) items.unshift(pop());
    return made(new Tuple(items));
  };
  const remember = (key: number): void => {
    if (memo.size >= LIMITS.memo) raise('E_CKPT_LIMIT', `more than ${LIMITS.memo} remembered values`);
    memo.set(key, peek());
  };
  const recall = (key: number): void => {
    const value = memo.get(key);
    push(value === undefined ? malformed(`nothing is remembered under ${key}`) : value);
  };
  const list = (): PickleValue[] => {
    const target = peek();
    return Array.isArray(target) ? target : malformed(`items are appended to ${kindOf(target)}`);
  };
  const dict = (): Map<PickleValue, PickleValue> => {
    const target = peek();
    return target instanceof Map ? target : malformed(`items are set on ${kindOf(target)}`);
  };
  const setItems = (items: readonly PickleValue[]): void => {
    if (items.length % 2) malformed('a key has no value');
    const target = dict();
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
  };
  /** Two's complement, little-endian. A number where exact, a bigint beyond 2^53. */
  const integer = (n: number): number | bigint => {
    if (n > LIMITS.integer) raise('E_CKPT_LIMIT', `an integer of ${n} bytes`);
    let value = 0n;
    const source = raw(n);
    for (let i = n - 1; i >= 0; i--) value = (value << 8n) | BigInt(source[i]!);
    if (n > 0) value = BigInt.asIntN(8 * n, value);
    return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
  };
  const construct = (callee: PickleValue, args: PickleValue): void => {
    if (!(callee instanceof Global)) malformed(`${kindOf(callee)} is called`);
    if (!(args instanceof Tuple)) malformed(`${callee} is called with ${kindOf(args)}`);
    if (!callee.build) malformed(`${callee} is called; it may only be mentioned`);
    let value: PickleValue;
    try {
      value = callee.build(args.items);
    } catch (error) {
      // Our stand-ins know nothing of the file: say here where it happened.
      if (error instanceof BackdropError) raise(error.code, error.message);
      throw error;
    }
    // Remembered arguments cost two bytes to repeat: what a call copies must be counted, or the memory is unbounded.
    if (value !== args.items[0]) {
      if (value instanceof Map || value instanceof Set) objects += value.size;
      else if (value instanceof Uint8Array) copied += value.length;
      if (copied > bytes.length) raise('E_CKPT_LIMIT', 'the pickle repeats byte strings beyond its own size');
    }
    push(made(value));
  };
  /** torch sets `_metadata` on state dictionaries and attributes on tensors: nothing a value depends on. */
  const setState = (state: PickleValue): void => {
    const target = peek();
    if (target instanceof Opaque) target.state = state;
    else if (!(target instanceof Map || target instanceof TensorRecord)) malformed(`state is set on ${kindOf(target)}`);
  };
  const global = (module: PickleValue, name: PickleValue): void => {
    if (typeof module !== 'string' || typeof name !== 'string') malformed('a global without a name');
    push(findGlobal(module, name, options.file));
  };

  for (let count = 0; ; count++) {
    if (count > LIMITS.opcodes) raise('E_CKPT_LIMIT', `more than ${LIMITS.opcodes} steps`);
    const opcode = u8();
    // biome-ignore format: one line per opcode reads as the table it is
    switch (opcode) {
      case 0x80: { const protocol = u8(); if (protocol < 2 || protocol > 5) raise('E_CKPT_OPCODE', `pickle protocol ${protocol}; 2 to 5 are read`); break; } // PROTO
      case 0x95: u64(); break; // FRAME: a hint for buffered readers
      case 0x2e: { const value = pop(); if (stack.length || marks.length) malformed('values are left on the stack'); return { value, end: at }; } // STOP
      case 0x28: if (marks.length >= LIMITS.marks) raise('E_CKPT_LIMIT', `nesting deeper than ${LIMITS.marks}`); marks.push(stack.length); break; // MARK
      case 0x4e: push(null); break; // NONE
      case 0x88: push(true); break; // NEWTRUE
      case 0x89: push(false); break; // NEWFALSE
      case 0x4a: push(view.getInt32(take(4), true)); break; // BININT
      case 0x4b: push(u8()); break; // BININT1
      case 0x4d: push(view.getUint16(take(2), true)); break; // BININT2
      case 0x8a: push(integer(u8())); break; // LONG1
      case 0x8b: push(integer(u32())); break; // LONG4
      case 0x47: push(view.getFloat64(take(8), false)); break; // BINFLOAT, big-endian
      case 0x58: push(text(u32())); break; // BINUNICODE
      case 0x8c: push(text(u8())); break; // SHORT_BINUNICODE
      case 0x8d: push(text(u64())); break; // BINUNICODE8
      case 0x55: push(text(u8(), latin1)); break; // SHORT_BINSTRING
      case 0x54: push(text(u32(), latin1)); break; // BINSTRING
      case 0x43: push(raw(u8()).slice()); break; // SHORT_BINBYTES
      case 0x42: push(raw(u32()).slice()); break; // BINBYTES
      case 0x8e: case 0x96: push(raw(u64()).slice()); break; // BINBYTES8, BYTEARRAY8
      case 0x5d: push(made([])); break; // EMPTY_LIST
      case 0x7d: push(made(new Map())); break; // EMPTY_DICT
      case 0x8f: push(made(new Set())); break; // EMPTY_SET
      case 0x29: push(made(new Tuple([]))); break; // EMPTY_TUPLE
      case 0x85: push(popTuple(1)); break; // TUPLE1
      case 0x86: push(popTuple(2)); break; // TUPLE2
      case 0x87: push(popTuple(3)); break; // TUPLE3
      case 0x74: push(made(new Tuple(popMark()))); break; // TUPLE
      case 0x6c: push(made(popMark())); break; // LIST
      case 0x64: { const items = popMark(); push(made(new Map())); setItems(items); break; } // DICT
      case 0x91: push(made(new Set(popMark()))); break; // FROZENSET
      case 0x61: { const item = pop(); list().push(item); break; } // APPEND
      case 0x65: { const items = popMark(); const target = list(); for (const item of items) target.push(item); break; } // APPENDS
      case 0x73: { const value = pop(); const key = pop(); setItems([key, value]); break; } // SETITEM
      case 0x75: setItems(popMark()); break; // SETITEMS
      case 0x90: { const items = popMark(); const target = peek(); if (!(target instanceof Set)) malformed(`items are added to ${kindOf(target)}`); for (const item of items) target.add(item); break; } // ADDITEMS
      case 0x71: remember(u8()); break; // BINPUT
      case 0x72: remember(u32()); break; // LONG_BINPUT
      case 0x94: remember(memo.size); break; // MEMOIZE
      case 0x68: recall(u8()); break; // BINGET
      case 0x6a: recall(u32()); break; // LONG_BINGET
      case 0x63: { const module = line(); global(module, line()); break; } // GLOBAL
      case 0x93: { const name = pop(); global(pop(), name); break; } // STACK_GLOBAL
      case 0x52: { const args = pop(); construct(pop(), args); break; } // REDUCE
      case 0x81: { const args = pop(); construct(pop(), args); break; } // NEWOBJ
      case 0x62: setState(pop()); break; // BUILD
      case 0x51: push(made(options.persistent(pop()))); break; // BINPERSID
      default: raise('E_CKPT_OPCODE', `opcode 0x${opcode.toString(16).padStart(2, '0')}, which no file of weights needs`);
    }
  }
}
