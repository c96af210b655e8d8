/** Files on disk, for Node alone: reading at random places through one handle, and writing so that nothing is ever half there. */
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ByteReader } from '../src/checkpoints/bytes.ts';
import { BackdropError } from '../src/errors.ts';

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/**
 * A file for openCheckpoint; close it when done. Faster than fs.openAsBlob, which Node 20 still calls experimental.
 * Throws E_FILE_MISSING where there is no such file, or it is a directory.
 */
export async function openNodeFile(path: string): Promise<ByteReader & { readonly fileName: string; close(): Promise<void> }> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    const says = codeOf(cause) === 'ENOENT' ? 'there is no such file' : `it cannot be opened (${codeOf(cause)})`;
    throw new BackdropError('E_FILE_MISSING', `${path}: ${says}`, { hint: 'check the name', details: { file: path }, cause });
  }
  const facts = await handle.stat();
  if (!facts.isFile()) {
    await handle.close();
    throw new BackdropError('E_FILE_MISSING', `${path}: this is ${facts.isDirectory() ? 'a directory' : 'no regular file'}`, {
      hint: 'name the file of weights itself, for example model.safetensors inside a Hugging Face folder',
      details: { file: path },
    });
  }
  return {
    fileName: basename(path),
    size: facts.size,
    async read(begin, end) {
      const bytes = new Uint8Array(end - begin);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, begin + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    },
    close: () => handle.close(),
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

/** Throws E_FILE_EXISTS. */
export async function refuseExisting(path: string): Promise<void> {
  if (!(await exists(path))) return;
  throw new BackdropError('E_FILE_EXISTS', `${path} exists already`, { hint: '--force replaces it', details: { file: path } });
}

/**
 * Writes the chunks to a temporary name beside `path`, flushes them to the disk and renames: whatever happens, `path` is the old
 * file, the new one, or absent. Resolves to the bytes written. Throws E_FILE_EXISTS, E_FILE_WRITE, and what the chunks throw.
 */
export async function writeFileAtomically(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { force?: boolean; signal?: AbortSignal } = {},
): Promise<number> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  const failed = (cause: unknown): BackdropError =>
    new BackdropError('E_FILE_WRITE', `${path} cannot be written (${codeOf(cause) || String(cause)})`, {
      hint: codeOf(cause) === 'ENOSPC' ? 'the disk is full' : 'check that the directory exists and may be written to',
      details: { file: path },
      cause,
    });
  if (!options.force) await refuseExisting(path);
  const attempt = async <T>(step: () => Promise<T>): Promise<T> => {
    try {
      return await step();
    } catch (cause) {
      throw failed(cause);
    }
  };
  const handle = await attempt(() => open(temporary, 'wx'));
  let written = 0;
  try {
    try {
      for await (const chunk of chunks) {
        options.signal?.throwIfAborted();
        for (let at = 0; at < chunk.length; ) at += (await attempt(() => handle.write(chunk, at, chunk.length - at))).bytesWritten;
        written += chunk.length;
      }
      await attempt(() => handle.sync());
    } finally {
      await handle.close();
    }
    if (!options.force) await refuseExisting(path);
    await attempt(() => rename(temporary, path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return written;
}
