/**
 * Zip archives as PyTorch writes them, read from the central directory only (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4).
 *
 * torch writes local headers with zero sizes and pads their extra field so that data starts on a multiple of 64: only the
 * directory tells the truth about sizes, only the local header about where the data starts. Stored members are read in
 * place; deflated ones through the platform's DecompressionStream. Everything read is checked against its CRC-32.
 */
import { type OpenFile, type Raise, raiser } from '../src/checkpoints/bytes.ts';
import { crc32 } from './crc32.ts';

export interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc: number;
  readonly compressed: number;
  readonly size: number;
  /** Where the local header lies, and where the next member or the directory begins: the data lies between. */
  readonly offset: number;
  readonly limit: number;
}

export interface ZipArchive {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Bytes [begin, end) of a member's content. The whole member's CRC is checked the first time; the caller owns the bytes. */
  read(entry: ZipEntry, begin?: number, end?: number): Promise<Uint8Array>;
}

const MAX_MEMBER = 16 * 2 ** 30;
const MAX_MEMBERS = 200_000;
/** Pieces in which a member is checked when only a part of it is wanted. */
const CHUNK = 4 * 2 ** 20;

/** Throws E_CKPT_TRUNCATED (no directory), E_CKPT_ZIP (not the structure of a zip, or one we refuse), E_CKPT_LIMIT. */
export async function openZip(file: OpenFile): Promise<ZipArchive> {
  const raise: Raise = raiser(file.name);
  const directory = await findDirectory(file, raise);
  const entries = parseDirectory(await file.read(directory.offset, directory.offset + directory.size), directory, raise);
  const verified = new Set<ZipEntry>();

  /** The local header repeats the name; its length fields say where the data starts. */
  async function dataStart(entry: ZipEntry): Promise<number> {
    const name = new TextEncoder().encode(entry.name);
    const header = await file.read(entry.offset, Math.min(entry.offset + 30 + name.length, entry.limit));
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
    const valid = header.length === 30 + name.length && view.getUint32(0, true) === 0x04034b50 && view.getUint16(26, true) === name.length;
    if (!valid || !name.every((byte, i) => byte === header[30 + i])) {
      raise('E_CKPT_ZIP', `member "${entry.name}" has no valid local header at ${entry.offset}`);
    }
    const start = entry.offset + 30 + name.length + view.getUint16(28, true);
    if (start + entry.compressed > entry.limit) raise('E_CKPT_ZIP', `member "${entry.name}" reaches into the next one`);
    return start;
  }

  function check(entry: ZipEntry, crc: number): void {
    if (crc !== entry.crc) {
      const found = `${hex(crc)} instead of ${hex(entry.crc)}`;
      raise('E_CKPT_CRC', `member "${entry.name}" is damaged: its CRC-32 is ${found}`);
    }
    verified.add(entry);
  }

  async function read(entry: ZipEntry, begin = 0, end = entry.size): Promise<Uint8Array> {
    const start = await dataStart(entry);
    if (entry.method === 8) {
      const content = await inflate(file, start, entry, raise);
      check(entry, crc32(content));
      return begin === 0 && end === content.length ? content : content.slice(begin, end);
    }
    if (begin === 0 && end === entry.size) {
      const content = await file.read(start, start + end);
      if (!verified.has(entry)) check(entry, crc32(content));
      return content;
    }
    if (!verified.has(entry)) {
      let crc = 0;
      for (let at = 0; at < entry.size; at += CHUNK) {
        crc = crc32(await file.read(start + at, start + Math.min(at + CHUNK, entry.size)), crc);
      }
      check(entry, crc);
    }
    return file.read(start + begin, start + end);
  }
  return { entries, read };
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');

/** A 64-bit field as a number; anything beyond 2^53 cannot be a place in a file. */
function uint64(view: DataView, at: number, raise: Raise): number {
  const value = view.getBigUint64(at, true);
  return value > BigInt(Number.MAX_SAFE_INTEGER)
    ? raise('E_CKPT_ZIP', `a 64-bit field of the zip directory holds ${value}`)
    : Number(value);
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

/** The end-of-directory record lies in the last 64 KiB; a zip64 locator in front of it points at a second, wider record. */
async function findDirectory(file: OpenFile, raise: Raise): Promise<Directory> {
  const tailStart = Math.max(0, file.size - 65557);
  const tail = await file.read(tailStart, file.size);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.length - 22;
  // The comment's length must reach exactly to the end, or the signature is part of something else.
  while (at >= 0 && !(view.getUint32(at, true) === 0x06054b50 && at + 22 + view.getUint16(at + 20, true) === tail.length)) at--;
  if (at < 0) {
    return raise(
      'E_CKPT_TRUNCATED',
      `the file starts as a zip archive but has no directory at its end: ${file.size} bytes are not all of it`,
    );
  }
  const recordStart = tailStart + at;
  let count = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  let disks = view.getUint16(at + 4, true) | view.getUint16(at + 6, true) | (count ^ view.getUint16(at + 8, true));
  let end = recordStart;
  if (at >= 20 && view.getUint32(at - 20, true) === 0x07064b50) {
    const wideStart = uint64(view, at - 12, raise);
    if (wideStart + 56 > recordStart - 20) raise('E_CKPT_ZIP', 'the zip64 record lies outside the file');
    const wide = await file.read(wideStart, wideStart + 56);
    const wideView = new DataView(wide.buffer, wide.byteOffset, wide.byteLength);
    if (wideView.getUint32(0, true) !== 0x06064b50) raise('E_CKPT_ZIP', 'the zip64 locator points at something else');
    disks = wideView.getUint32(16, true) | wideView.getUint32(20, true);
    count = uint64(wideView, 32, raise);
    size = uint64(wideView, 40, raise);
    offset = uint64(wideView, 48, raise);
    end = wideStart;
  }
  if (disks !== 0) raise('E_CKPT_ZIP', 'this is one part of a zip archive split over several files');
  if (count > MAX_MEMBERS) raise('E_CKPT_LIMIT', `the zip archive lists ${count} members, more than ${MAX_MEMBERS}`);
  if (offset + size > end || count * 46 > size) {
    raise('E_CKPT_ZIP', `the zip directory (${count} members, ${size} bytes at ${offset}) does not fit into the file`);
  }
  return { offset, size, count };
}

function parseDirectory(bytes: Uint8Array, directory: Directory, raise: Raise): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const list: { -readonly [K in keyof ZipEntry]: ZipEntry[K] }[] = [];
  let at = 0;
  for (let i = 0; i < directory.count; i++) {
    const damaged = (): never => raise('E_CKPT_ZIP', `entry ${i} of the zip directory is damaged`);
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) return damaged();
    const [nameLength, extraLength] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) return damaged();
    let name = '';
    try {
      name = utf8.decode(bytes.subarray(at + 46, at + 46 + nameLength));
    } catch {
      damaged();
    }
    const flags = view.getUint16(at + 8, true);
    if (flags & 0x2041) raise('E_CKPT_ZIP', `member "${name}" is encrypted: save the checkpoint without a password`);
    const entry = {
      name,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      compressed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
      limit: 0,
    };
    readWideFields(entry, view, at + 46 + nameLength, extraLength, raise);
    if (entry.method !== 0 && entry.method !== 8)
      raise('E_CKPT_ZIP', `member "${name}" uses compression method ${entry.method}; 0 and 8 are known`);
    if (entry.size > MAX_MEMBER) raise('E_CKPT_LIMIT', `member "${name}" claims ${entry.size} bytes, more than 16 GiB`);
    // Deflate cannot do better than 1032:1; a claim beyond is a bomb or damage.
    if (entry.method ? entry.size > entry.compressed * 1032 : entry.size !== entry.compressed) {
      raise('E_CKPT_ZIP', `member "${name}" claims ${entry.size} bytes out of ${entry.compressed}`);
    }
    list.push(entry);
    at = next;
  }
  if (at !== bytes.length) raise('E_CKPT_ZIP', 'the zip directory has bytes after its last entry');
  return arrange(list, directory.offset, raise);
}

/** Where 32 bits do not suffice, the field holds 0xffffffff and the zip64 extra field (id 1) holds the value, in this order. */
function readWideFields(
  entry: { name: string; size: number; compressed: number; offset: number },
  view: DataView,
  start: number,
  length: number,
  raise: Raise,
): void {
  for (let at = start; at + 4 <= start + length; ) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (end > start + length) return;
    if (view.getUint16(at, true) === 1) {
      let field = at + 4;
      for (const key of ['size', 'compressed', 'offset'] as const) {
        if (entry[key] !== 0xffffffff) continue;
        if (field + 8 > end) raise('E_CKPT_ZIP', `member "${entry.name}" lacks its zip64 ${key}`);
        entry[key] = uint64(view, field, raise);
        field += 8;
      }
    }
    at = end;
  }
}

/** Refuses two members of one name and members that overlap or reach into the directory. */
function arrange(list: { -readonly [K in keyof ZipEntry]: ZipEntry[K] }[], end: number, raise: Raise): Map<string, ZipEntry> {
  const byOffset = [...list].sort((a, b) => b.offset - a.offset);
  let limit = end;
  for (const entry of byOffset) {
    entry.limit = limit;
    if (entry.offset + 30 + entry.compressed > limit) {
      raise('E_CKPT_ZIP', `member "${entry.name}" (${entry.compressed} bytes at ${entry.offset}) overlaps what follows it at ${limit}`);
    }
    limit = entry.offset;
  }
  const entries = new Map<string, ZipEntry>();
  for (const entry of list) {
    if (entries.has(entry.name)) raise('E_CKPT_ZIP', `the zip archive has two members called "${entry.name}"`);
    entries.set(entry.name, entry);
  }
  return entries;
}

/** Inflates a member, holding what really comes out and stopping as soon as that exceeds the declared size. */
async function inflate(file: OpenFile, start: number, entry: ZipEntry, raise: Raise): Promise<Uint8Array> {
  const compressed = new Blob([(await file.read(start, start + entry.compressed)) as Uint8Array<ArrayBuffer>]);
  const reader = compressed.stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    while (size <= entry.size) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
    }
  } catch (cause) {
    raise('E_CKPT_ZIP', `member "${entry.name}" cannot be inflated: ${String(cause)}`);
  }
  if (size !== entry.size) {
    reader.cancel().catch(() => {});
    raise('E_CKPT_ZIP', `member "${entry.name}" inflates to other than its ${entry.size} declared bytes`);
  }
  const content = new Uint8Array(size);
  let filled = 0;
  for (const part of parts) {
    content.set(part, filled);
    filled += part.length;
  }
  return content;
}
