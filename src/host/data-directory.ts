/** A data set on this machine's disk. */
import { type Dirent, openAsBlob } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DataDirectory } from '../data/dataset.ts';
import { comparePaths, hiddenName } from '../data/directory.ts';
import { BackdropError } from '../errors.ts';

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : String(error));

/** The directory at `path`; links are followed. Its listing is taken at the first call. */
export function nodeDirectory(path: string): DataDirectory {
  let listing: Promise<string[]> | undefined;
  return {
    list() {
      listing ??= listFiles(path);
      return listing;
    },
    async read(file) {
      try {
        return await openAsBlob(join(path, file));
      } catch (cause) {
        throw new BackdropError('E_DATA', `${file}: this file cannot be read (${codeOf(cause)})`, { details: { file }, cause });
      }
    },
  };
}

async function listFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  // A link back to a folder above would go on for ever: a folder is entered once for each way down to it.
  const walk = async (folder: string, prefix: string, above: ReadonlySet<string>): Promise<void> => {
    const real = await realpath(folder);
    if (above.has(real)) return;
    const inside = new Set(above).add(real);
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (hiddenName(entry.name)) continue;
      const path = join(folder, entry.name);
      const kind = await kindOf(entry, path);
      if (kind === 'folder') await walk(path, `${prefix}${entry.name}/`, inside);
      else if (kind === 'file') files.push(prefix + entry.name);
    }
  };
  try {
    await walk(root, '', new Set());
  } catch (cause) {
    throw new BackdropError('E_DATA', `${root}: this folder cannot be read (${codeOf(cause)})`, { cause });
  }
  return files.sort(comparePaths);
}

async function kindOf(entry: Dirent, path: string): Promise<'folder' | 'file' | undefined> {
  // A link that leads nowhere is no file.
  const facts = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
  return facts?.isDirectory() ? 'folder' : facts?.isFile() ? 'file' : undefined;
}

export interface DataPlace {
  readonly directory: DataDirectory;
  /** The folder on the disk. */
  readonly root: string;
  /** For `openDataset`, where a file was named and not a folder. */
  readonly file?: string;
}

/**
 * What `--data PATH` means: a folder, or the one file that describes a set (data.yaml, instances_val2017.json), whose folder
 * it then is; COCO's annotations/ lie beside the pictures, so there it is the folder above. @throws BackdropError E_DATA
 */
export async function dataPlace(path: string): Promise<DataPlace> {
  const facts = await stat(path).catch((cause) => {
    const says = codeOf(cause) === 'ENOENT' ? 'there is no such folder or file' : `it cannot be read (${codeOf(cause)})`;
    throw new BackdropError('E_DATA', `${path}: ${says}`, { hint: 'Name the folder of a data set, or its data.yaml or JSON file.', cause });
  });
  if (facts.isDirectory()) return { directory: nodeDirectory(path), root: path };
  const folder = dirname(path);
  const root = basename(folder).toLowerCase() === 'annotations' ? dirname(folder) : folder;
  return {
    directory: nodeDirectory(root),
    root,
    file: path
      .slice(root === '.' && !path.startsWith('.') ? 0 : root.length)
      .replaceAll('\\', '/')
      .replace(/^\//, ''),
  };
}
