/** Writing files so that a reader never sees half of one. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { BackdropError } from '../errors.ts';

/** Writes to a temporary name in the same folder, flushes, renames. The folder is made. Throws E_FILE_WRITE. */
export function writeFileAtomic(path: string, bytes: Uint8Array | string): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    makeFolder(dirname(path));
    const file = openSync(temporary, 'w');
    try {
      const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
      for (let offset = 0; offset < data.byteLength; ) offset += writeSync(file, data, offset);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw writeError(path, cause);
  }
}

/** Writes one of thousands of files, of which a later one says that all are there: neither flushed nor renamed. Throws E_FILE_WRITE. */
export function writeFilePlain(path: string, bytes: Uint8Array | string): void {
  try {
    makeFolder(dirname(path));
    writeFileSync(path, bytes);
  } catch (cause) {
    throw writeError(path, cause);
  }
}

function writeError(path: string, cause: unknown): BackdropError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const hint = 'Check the folder, its permissions and free space.';
  return new BackdropError('E_FILE_WRITE', `cannot write ${path}: ${reason}`, { cause, hint });
}

/** With the folders above it. Node's own recursive mkdir never returns where a folder can be neither made nor found (/proc). */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** One output name per input: photo.jpg -> DIR/photo.detected.png, numbered where two inputs have the same name. */
export function outputNames(inputs: readonly string[], folder: string, suffix: string): string[] {
  const taken = new Set<string>();
  return inputs.map((input) => {
    const stem = basename(input, extname(input));
    let name = `${stem}${suffix}`;
    for (let i = 2; taken.has(name.toLowerCase()); i++) name = `${stem}-${i}${suffix}`;
    taken.add(name.toLowerCase());
    return join(folder, name);
  });
}

/** Throws E_FILE_MISSING unless there is such a file. */
export function requireFile(path: string, what: string): void {
  if (!existsSync(path)) throw new BackdropError('E_FILE_MISSING', `${what}: there is no file ${path}`);
}
