/**
 * The header of a safetensors file: a strict JSON reader and the format's rules.
 *
 * Format (github.com/huggingface/safetensors, README): 8 bytes little-endian length N, N bytes of JSON, then the data.
 * `JSON.parse` cannot be used: it silently keeps the last of two tensors of one name, turns `__proto__` into something
 * other than a key in careless code, and rounds large integers. This reader builds Maps and refuses all of that.
 */
import { type Raise, raiser } from './bytes.ts';

type Json = string | number | boolean | null | Json[] | Map<string, Json>;

/** Bits of one element, by the dtype's name in the file, in the order of the library's enum: its writer sorts by it, last first. */
export const SAFETENSORS_DTYPES: ReadonlyMap<string, number> = new Map(
  'BOOL8 F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64'
    .split(' ')
    // The first number in each name is its width; BOOL has none in the file.
    .map((name) => [name.replace('L8', 'L'), Number.parseInt(name.replace(/^\D+/, ''), 10)]),
);

export interface HeaderEntry {
  readonly name: string;
  /** As in the file, upper case. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Offsets into the data that follows the header. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** Deep enough for any field a later version may add; shallow enough that no header can exhaust the stack. */
const MAX_DEPTH = 16;

/** Parses JSON text into Maps. `duplicate` is called with the depth and key of a repeated key, `fail` with any other defect. */
function parseJson(text: string, duplicate: (depth: number, key: string) => never, fail: (at: number, what: string) => never): Json {
  let at = 0;
  const space = (): void => {
    while (at < text.length && (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t')) at++;
  };
  const expect = (char: string): void => {
    if (text[at] !== char) fail(at, `no "${char}"`);
    at++;
  };
  const string = (): string => {
    const start = at;
    expect('"');
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    expect('"');
    try {
      return JSON.parse(text.slice(start, at)) as string;
    } catch {
      return fail(start, 'a string with a bad escape or control character');
    }
  };
  /** What stands between an opening bracket and `close`, separated by commas. */
  const sequence = (close: string, item: () => void): void => {
    at++;
    space();
    while (text[at] !== close) {
      item();
      space();
      if (text[at] === close) break;
      expect(',');
      space();
      if (text[at] === close) fail(at, 'a comma before the end of a list');
    }
    at++;
  };
  const value = (depth: number): Json => {
    if (depth > MAX_DEPTH) fail(at, `nesting deeper than ${MAX_DEPTH}`);
    space();
    if (text[at] === '"') return string();
    if (text[at] === '[') {
      const items: Json[] = [];
      sequence(']', () => items.push(value(depth + 1)));
      return items;
    }
    if (text[at] === '{') {
      const map = new Map<string, Json>();
      sequence('}', () => {
        const key = string();
        if (map.has(key)) duplicate(depth, key);
        space();
        expect(':');
        map.set(key, value(depth + 1));
      });
      return map;
    }
    const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
    scalar.lastIndex = at;
    const match = scalar.exec(text);
    if (!match) return fail(at, 'no value');
    at += match[0].length;
    return JSON.parse(match[0]) as Json;
  };
  const result = value(0);
  space();
  if (at !== text.length) fail(at, 'text after the end of the header');
  return result;
}

/**
 * Parses and checks the header's bytes against the size of the data behind it.
 * Throws E_ST_HEADER (not the JSON the format asks for), E_ST_DUPLICATE, E_ST_DTYPE (unknown type), E_ST_SHAPE (size does not
 * follow from shape and type), E_ST_OVERLAP, E_ST_HOLE, E_ST_RANGE, E_CKPT_TRUNCATED (well-formed, but the data ends early).
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): Header {
  const error: Raise = raiser(file, 'the file is damaged or was written by a faulty tool: download it, or save it again with safetensors');
  if (bytes[0] !== 0x7b) error('E_ST_HEADER', 'the safetensors header does not start with "{"');
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    error('E_ST_HEADER', 'the safetensors header is not UTF-8');
  }
  const root = parseJson(
    text,
    (depth, key) => error(depth === 0 ? 'E_ST_DUPLICATE' : 'E_ST_HEADER', `the header names "${key}" twice`, { tensor: key }),
    (at, what) => error('E_ST_HEADER', `the safetensors header is not valid JSON: ${what} at character ${at}`),
  );
  if (!(root instanceof Map)) return error('E_ST_HEADER', 'the safetensors header is not an object');

  const metadata = new Map<string, string>();
  const entries: HeaderEntry[] = [];
  for (const [name, value] of root) {
    if (name === '__metadata__') {
      if (!(value instanceof Map)) return error('E_ST_HEADER', '__metadata__ is not an object of strings');
      for (const [key, text] of value) {
        if (typeof text !== 'string') return error('E_ST_HEADER', '__metadata__ is not an object of strings');
        metadata.set(key, text);
      }
    } else entries.push(parseEntry(name, value, error));
  }
  checkLayout(entries, dataBytes, error);
  return { entries, metadata };
}

const isIndex = (value: Json): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);

function parseEntry(name: string, value: Json, error: Raise): HeaderEntry {
  if (!(value instanceof Map)) return error('E_ST_HEADER', `tensor "${name}" has no description`, { tensor: name });
  const dtype = value.get('dtype');
  const shape = value.get('shape');
  const offsets = value.get('data_offsets');
  if (typeof dtype !== 'string') return error('E_ST_HEADER', `tensor "${name}" has no dtype`, { tensor: name });
  if (!Array.isArray(shape) || !shape.every(isIndex)) {
    return error('E_ST_SHAPE', `tensor "${name}": shape is not a list of non-negative integers`, { tensor: name });
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex)) {
    return error('E_ST_HEADER', `tensor "${name}": data_offsets are not two non-negative integers`, { tensor: name });
  }
  const bits = SAFETENSORS_DTYPES.get(dtype);
  if (bits === undefined) return error('E_ST_DTYPE', `tensor "${name}" has the unknown dtype ${JSON.stringify(dtype)}`, { tensor: name });
  const [begin, end] = offsets as [number, number];
  if (end < begin) error('E_ST_RANGE', `tensor "${name}": data_offsets [${begin}, ${end}] run backwards`, { tensor: name });
  let needed = BigInt(bits);
  for (const extent of shape) needed *= BigInt(extent);
  if (needed !== BigInt(end - begin) * 8n) {
    const found = `its offsets [${begin}, ${end}] hold ${end - begin} bytes`;
    error('E_ST_SHAPE', `tensor "${name}" of ${dtype} [${shape.join(', ')}] needs ${needed / 8n} bytes, ${found}`, {
      tensor: name,
      begin,
      end,
    });
  }
  return { name, dtype, shape, begin, end };
}

/** Every byte of the data belongs to exactly one tensor. */
function checkLayout(entries: readonly HeaderEntry[], dataBytes: number, error: Raise): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  let previous = 'the start';
  for (const { name, begin, end } of sorted) {
    const details = { tensor: name };
    if (begin < position)
      error('E_ST_OVERLAP', `tensor "${name}" begins at ${begin}, inside ${previous}, which ends at ${position}`, details);
    if (begin > position && begin > dataBytes)
      error('E_ST_RANGE', `tensor "${name}" lies at [${begin}, ${end}], the data has ${dataBytes} bytes`, details);
    if (begin > position) error('E_ST_HOLE', `bytes ${position} to ${begin}, before tensor "${name}", belong to no tensor`, details);
    position = end;
    previous = `tensor "${name}"`;
  }
  if (position > dataBytes) {
    const facts = { expected: position, found: dataBytes };
    error('E_CKPT_TRUNCATED', `the tensors take ${position} bytes, the file holds ${dataBytes}: it is cut off`, facts);
  }
  if (position < dataBytes) error('E_ST_HOLE', `${dataBytes - position} bytes after the last tensor belong to no tensor`);
}
