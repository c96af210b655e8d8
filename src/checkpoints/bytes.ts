/**
 * Random access to a file's bytes, from a Blob or File (page, worker, Node's fs.openAsBlob), from memory, or from any
 * object with the same two members (the command line reads through a file handle). Counts what was read for progress bars.
 */
import { BackdropError, type ErrorCode } from '../errors.ts';
import type { OpenOptions } from './tensors.ts';

export interface ByteReader {
  readonly size: number;
  /** Bytes [begin, end), a copy the caller owns. Both ends lie within the file. */
  read(begin: number, end: number): Promise<Uint8Array>;
}

export type FileLike = Blob | ArrayBuffer | Uint8Array | ByteReader;

export interface OpenFile extends ByteReader {
  /** Name for messages. */
  readonly name: string;
}

/** Throws a BackdropError about one file. */
export type Raise = (code: ErrorCode, message: string, details?: Record<string, unknown>) => never;

const DAMAGED = 'the file is damaged or incomplete: download it again and compare its size with the published one';

/** Errors about `file`, which their message starts with. */
export function raiser(file: string, hint = DAMAGED): Raise {
  return (code, message, details) => {
    throw new BackdropError(code, `${file}: ${message}`, { hint, details: { file, ...details } });
  };
}

/** Largest single read: typed arrays and Blob.arrayBuffer() go wrong above 2 GiB in some engines. */
const MAX_READ = 2 ** 31 - 1;

/** What openFile made: opening twice must neither wrap nor count twice. */
const opened = new WeakSet<object>();

/** Wraps a file: names it, counts progress, honours the abort signal, and types every failed or short read. */
export function openFile(file: FileLike, options: OpenOptions = {}): OpenFile {
  if (opened.has(file)) return file as OpenFile;
  const name = options.fileName ?? ('name' in file && typeof file.name === 'string' ? file.name : 'checkpoint');
  const size = 'read' in file || file instanceof Blob ? file.size : file.byteLength;
  const raise: Raise = raiser(name);
  let loaded = 0;

  async function fetchBytes(begin: number, end: number): Promise<Uint8Array> {
    if ('read' in file) return file.read(begin, end);
    if (file instanceof Blob) return new Uint8Array(await file.slice(begin, end).arrayBuffer());
    return file instanceof Uint8Array ? file.slice(begin, end) : new Uint8Array(file.slice(begin, end));
  }

  async function read(begin: number, end: number): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    if (begin < 0 || end < begin || end > size) {
      raise('E_CKPT_TRUNCATED', `bytes ${begin} to ${end} are needed, the file has ${size}`);
    }
    if (end - begin > MAX_READ) raise('E_CKPT_LIMIT', `one piece of ${end - begin} bytes is more than this reader handles (${MAX_READ})`);
    let bytes: Uint8Array;
    try {
      bytes = await fetchBytes(begin, end);
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new BackdropError('E_FILE_MISSING', `${name}: reading bytes ${begin} to ${end} failed: ${String(cause)}`, {
        hint: 'it was moved, changed or removed since it was chosen: choose it again',
        cause,
      });
    }
    options.signal?.throwIfAborted();
    if (bytes.byteLength !== end - begin) raise('E_CKPT_TRUNCATED', `${bytes.byteLength} bytes came of ${end - begin} at ${begin}`);
    loaded += bytes.byteLength;
    options.onProgress?.({ loaded, total: size });
    return bytes;
  }
  const result: OpenFile = { name, size, read };
  opened.add(result);
  return result;
}
