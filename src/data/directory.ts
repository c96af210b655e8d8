/** Where a data set lies: picked files, a directory handle of the page, or a web server. Node's is src/host/data-directory.ts. */
import { BackdropError } from '../errors.ts';
import type { DataDirectory } from './dataset.ts';

const missing = (path: string, cause?: unknown) =>
  new BackdropError('E_DATA', `${path}: there is no such file in the data set`, { details: { file: path }, cause });

/** Left behind by file managers and version control; never part of a data set. */
export const hiddenName = (name: string): boolean => name.startsWith('.') || name === '__MACOSX' || name === 'Thumbs.db';

const hiddenPath = (path: string): boolean => path.split('/').some(hiddenName);

function overFiles(files: ReadonlyMap<string, () => Promise<Blob>>): DataDirectory {
  const paths = [...files.keys()].sort(comparePaths);
  return {
    list: async () => paths,
    async read(path) {
      const open = files.get(path);
      if (!open) throw missing(path);
      try {
        return await open();
      } catch (cause) {
        throw missing(path, cause);
      }
    },
  };
}

/** By code units: the same order on every machine. */
export const comparePaths = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * The files of an input with `webkitdirectory`, or dropped ones with their paths. The folder that was picked is the top, so the
 * first component goes where all files have the same one.
 */
export function filesDirectory(files: Iterable<File | { path: string; file: Blob }>): DataDirectory {
  const all = Array.from(files, (item) =>
    item instanceof File
      ? { path: item.webkitRelativePath || item.name, file: item }
      : { path: item.path.replace(/^\/+/, ''), file: item.file },
  );
  const top = all[0]?.path.split('/')[0] ?? '';
  const common = all.every(({ path }) => path.startsWith(`${top}/`)) ? top.length + 1 : 0;
  const entries = all.map(({ path, file }) => [path.slice(common), async () => file] as const);
  return overFiles(new Map(entries.filter(([path]) => !hiddenPath(path))));
}

/** A directory that the user has picked (showDirectoryPicker) or of the origin's private file system. Its listing is taken once. */
export async function handleDirectory(root: FileSystemDirectoryHandle): Promise<DataDirectory> {
  const files = new Map<string, () => Promise<Blob>>();
  const walk = async (handle: FileSystemDirectoryHandle, prefix: string): Promise<void> => {
    for await (const [name, child] of handle.entries()) {
      if (hiddenName(name)) continue;
      if (child.kind === 'directory') await walk(child as FileSystemDirectoryHandle, `${prefix}${name}/`);
      else files.set(prefix + name, () => (child as FileSystemFileHandle).getFile());
    }
  };
  await walk(root, '');
  return overFiles(files);
}

const addressOf = (base: string, path: string): string => base + path.split('/').map(encodeURIComponent).join('/');

/**
 * Files below an address that ends with a slash. Servers tell no listings, so it is given, or fetched as a JSON list of paths from
 * `index.json` there. @throws BackdropError E_DATA when that is not to be had
 */
export async function httpDirectory(base: string, listing?: readonly string[]): Promise<DataDirectory> {
  const get = async (path: string, init: RequestInit = {}): Promise<Response> => {
    let response: Response;
    try {
      response = await fetch(addressOf(base, path), init);
    } catch (cause) {
      throw new BackdropError('E_DATA', `${path}: ${base} cannot be reached`, { details: { file: path }, cause });
    }
    if (response.status === 404) throw missing(path);
    // 416: nothing at that range, which is an answer about the size.
    if (!response.ok && response.status !== 416)
      throw new BackdropError('E_DATA', `${path}: the server answers ${response.status}`, { details: { file: path } });
    return response;
  };
  let paths = listing;
  if (!paths) {
    const index: unknown = await (await get('index.json')).json().catch(() => undefined);
    if (!Array.isArray(index) || !index.every((path) => typeof path === 'string')) {
      throw new BackdropError('E_DATA', `${base}index.json is no JSON list of paths`);
    }
    paths = index;
  }
  const sorted = paths.filter((path) => !hiddenPath(path)).sort(comparePaths);
  return {
    list: async () => sorted,
    read: async (path) => (await get(path)).blob(),
    async part(path, begin, end) {
      const response = await get(path, { headers: { Range: `bytes=${begin}-${end - 1}` } });
      const content = new Uint8Array(await response.arrayBuffer());
      if (response.status === 200) return { bytes: content.slice(begin, end), size: content.length };
      const bytes = response.status === 416 ? new Uint8Array(0) : content;
      const total = Number(response.headers.get('Content-Range')?.split('/')[1]);
      return Number.isSafeInteger(total) ? { bytes, size: total } : partOfBlob(await (await get(path)).blob(), begin, end);
    },
  };
}

async function partOfBlob(blob: Blob, begin: number, end: number): Promise<{ bytes: Uint8Array; size: number }> {
  return { bytes: new Uint8Array(await blob.slice(begin, end).arrayBuffer()), size: blob.size };
}

/** Bytes [begin, end) of a file, as far as it reaches, and its size; without fetching the rest where that can be done. */
export async function readPart(
  directory: DataDirectory,
  path: string,
  begin: number,
  end: number,
): Promise<{ bytes: Uint8Array; size: number }> {
  return directory.part ? directory.part(path, begin, end) : partOfBlob(await directory.read(path), begin, end);
}

/** A text file, without its byte order mark. @throws BackdropError E_DATA when it is not UTF-8 or longer than a string can be */
export async function readText(directory: DataDirectory, path: string): Promise<string> {
  const bytes = await (await directory.read(path)).arrayBuffer();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const [first, second] = new Uint8Array(bytes);
    const wide = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
    const size = bytes.byteLength;
    const says = wide
      ? 'this is UTF-16, not UTF-8'
      : size >= 2 ** 29 - 24
        ? `${size} bytes are too long for one text`
        : 'this is not UTF-8 text';
    throw new BackdropError('E_DATA', `${path}: ${says}`, { details: { file: path }, cause });
  }
}
