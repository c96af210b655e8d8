/** Zip archives and pickles written byte by byte, right and wrong, for the tests of the readers. */
import { deflateRawSync } from 'node:zlib';
import { crc32 } from '../../weights-tools/crc32.ts';

export interface Member {
  name: string;
  content: Uint8Array;
  deflate?: boolean;
  /** Overrides, to make something wrong. */
  method?: number;
  flags?: number;
  crc?: number;
  size?: number;
  compressed?: number;
  localName?: string;
  /** Offset of the local header as the directory tells it. */
  offset?: number;
  /** Bytes put in front of the local header. */
  gap?: number;
}

export interface EndRecord {
  count?: number;
  size?: number;
  offset?: number;
  disk?: number;
  comment?: string;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

export function fields(...values: (readonly [bytes: 2 | 4 | 8, value: number])[]): Uint8Array {
  const out = Buffer.alloc(values.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 8) out.writeBigUInt64LE(BigInt(value), at);
    else out.writeUIntLE(value, at, bytes);
    at += bytes;
  }
  return out;
}

export function zip(members: readonly Member[], end: EndRecord = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let position = 0;
  const put = (part: Uint8Array): void => {
    parts.push(part);
    position += part.length;
  };
  for (const member of members) {
    put(new Uint8Array(member.gap ?? 0));
    const name = text(member.name);
    const localName = text(member.localName ?? member.name);
    const data = member.deflate ? deflateRawSync(member.content) : member.content;
    const method = member.method ?? (member.deflate ? 8 : 0);
    const flags = member.flags ?? 0x808;
    const offset = member.offset ?? position;
    // As torch writes them: sizes and CRC of the local header are zero.
    put(fields([4, 0x04034b50], [2, 20], [2, flags], [2, method], [4, 0], [4, 0], [4, 0], [4, 0], [2, localName.length], [2, 0]));
    put(localName);
    put(data);
    const crc = member.crc ?? crc32(member.content);
    const sizes = [member.compressed ?? data.length, member.size ?? member.content.length] as const;
    directory.push(
      fields([4, 0x02014b50], [2, 20], [2, 20], [2, flags], [2, method], [4, 0], [4, crc], [4, sizes[0]], [4, sizes[1]], [2, name.length]),
      fields([2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]),
      name,
    );
  }
  const start = position;
  for (const part of directory) put(part);
  const comment = text(end.comment ?? '');
  const [count, size] = [end.count ?? members.length, end.size ?? position - start];
  put(
    fields([4, 0x06054b50], [2, end.disk ?? 0], [2, 0], [2, count], [2, count], [4, size], [4, end.offset ?? start], [2, comment.length]),
  );
  put(comment);
  return new Uint8Array(Buffer.concat(parts));
}

/** Opcodes as text (latin1), with `\u0000`-style bytes; the pickle of a test is easier read than built. */
export const raw = (program: string): Uint8Array => Uint8Array.from(program, (char) => char.charCodeAt(0));

const short = (value: string): string => `X${String.fromCharCode(value.length)}\0\0\0${value}`;

/** The pickled tensor of `elements` float32 in storage `key`, with whatever shape and stride. */
export function tensorProgram(key: string, elements: number, shape: readonly number[], stride: readonly number[], offset = 0): string {
  const integer = (value: number): string =>
    `J${String.fromCharCode(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255)}`;
  const tuple = (values: readonly number[]): string => `(${values.map(integer).join('')}t`;
  const id = `(${short('storage')}ctorch\nFloatStorage\n${short(key)}${short('cpu')}${integer(elements)}tQ`;
  return `ctorch._utils\n_rebuild_tensor_v2\n(${id}${integer(offset)}${tuple(shape)}${tuple(stride)}\x89ccollections\nOrderedDict\n)RtR`;
}

/** A dictionary of one entry as a whole pickle. */
export const dictProgram = (key: string, value: string): string => `\x80\x02}${short(key)}${value}s.`;

/** A torch file around a pickle. */
export function torchZip(
  program: string,
  storages: Record<string, Uint8Array> = {},
  extra: readonly Member[] = [],
): Uint8Array<ArrayBuffer> {
  const data = Object.entries(storages).map(([key, content]) => ({ name: `a/data/${key}`, content }));
  return zip([{ name: 'a/data.pkl', content: raw(program) }, ...data, ...extra]);
}
