/** A data set onto the disk: all of it or nothing. */
import { constants } from 'node:fs';
import { copyFile, link, readdir, realpath, rename, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { inParallel } from '../data/parallel.ts';
import type { WrittenDataset } from '../data/write.ts';
import { BackdropError } from '../errors.ts';
import { makeFolder } from './files.ts';

/** copy: the new set stands alone. link: its pictures are links to those of the old one. */
export type ImageMode = 'copy' | 'link';

export interface WriteOptions {
  /** The folder that the pictures' names count from. */
  readonly source: string;
  readonly images: ImageMode;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : String(error));

/** Throws E_FILE_EXISTS unless there is no such folder, or an empty one. */
export async function refuseFullFolder(path: string): Promise<void> {
  const names = await readdir(path).catch((error) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw new BackdropError('E_FILE_EXISTS', `${path} is there and is no folder that can be read (${codeOf(error)})`);
  });
  if (names.length > 0) {
    throw new BackdropError('E_FILE_EXISTS', `${path} exists already and is not empty`, {
      hint: 'Name a new folder; nothing is overwritten.',
    });
  }
}

/**
 * Fills a folder beside `out` by `fill`, and gives it that name when it is complete: whatever happens, `out` is whole or not there.
 * Throws E_FILE_EXISTS, E_FILE_WRITE, and what `fill` throws.
 */
export async function writeFolder(out: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const target = resolve(out);
  await refuseFullFolder(target);
  const temporary = `${target}.${process.pid}.part`;
  try {
    await writing(temporary, async () => makeFolder(temporary));
    await fill(temporary);
    await refuseFullFolder(target);
    await writing(target, async () => {
      await rmdir(target).catch((error) => {
        if (codeOf(error) !== 'ENOENT') throw error;
      });
      await rename(temporary, target);
    });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** What goes wrong with a file becomes E_FILE_WRITE. */
export async function writing<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    if (cause instanceof BackdropError) throw cause;
    throw new BackdropError('E_FILE_WRITE', `${path} cannot be written (${codeOf(cause)})`, {
      hint: codeOf(cause) === 'ENOSPC' ? 'The disk is full.' : 'Check the folder, its permissions and free space.',
      details: { file: path },
      cause,
    });
  }
}

/** Throws E_FILE_EXISTS when the folder is there and not empty, E_FILE_WRITE. */
export async function writeDatasetTo(out: string, { files, images }: WrittenDataset, options: WriteOptions): Promise<void> {
  const { source, images: mode, signal, onProgress } = options;
  await writeFolder(out, async (folder) => {
    const made = new Set<string>();
    const makeFolderOf = async (path: string): Promise<void> => {
      const parent = dirname(path);
      if (made.has(parent)) return;
      await writing(parent, async () => makeFolder(parent));
      made.add(parent);
    };
    for (const { path, text } of files) {
      signal.throwIfAborted();
      const target = join(folder, path);
      await makeFolderOf(target);
      await writing(target, () => writeFile(target, text));
    }
    let done = 0;
    await inParallel(
      images,
      async ({ from, to }) => {
        const target = join(folder, to);
        await makeFolderOf(target);
        // The link leads to the picture itself, however the old set reaches it.
        const origin = await realpath(join(source, from)).catch((cause) => {
          throw new BackdropError('E_DATA', `${from}: this picture is gone (${codeOf(cause)})`, { cause });
        });
        await writing(target, () => (mode === 'copy' ? copyFile(origin, target, constants.COPYFILE_FICLONE) : linkFile(origin, target)));
        onProgress(++done, images.length);
      },
      signal,
    );
  });
}

/** A symbolic link; where these need rights that users do not have (Windows), a hard one. */
async function linkFile(origin: string, target: string): Promise<void> {
  try {
    await symlink(origin, target);
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error;
    await link(origin, target);
  }
}
