/** Zip archives of data sets onto the disk, by the reader of ../../weights-tools/zip.ts. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openNodeFile } from '../../weights-tools/node-files.ts';
import { openZip, type ZipEntry } from '../../weights-tools/zip.ts';
import { BackdropError } from '../errors.ts';
import { writing } from './data-write.ts';
import { makeFolder } from './files.ts';

export interface UnzipOptions {
  /** Where a member goes, below the folder; undefined leaves it out. */
  readonly place: (name: string) => string | undefined;
  /** All members together may inflate to so much. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

/**
 * Unpacks into `folder`, overwriting nothing. Resolves to the number of files. Throws E_DATA for what is no sound archive, would
 * write outside of the folder, or inflates to more than was agreed; E_FILE_WRITE.
 */
export async function unzipTo(path: string, folder: string, options: UnzipOptions): Promise<number> {
  const { place, maxBytes, signal, onProgress } = options;
  const file = await openNodeFile(path);
  try {
    const archive = await asDataErrors(path, () => openZip({ name: path, size: file.size, read: file.read }));
    const wanted: { entry: ZipEntry; to: string }[] = [];
    for (const [name, entry] of archive.entries) {
      // Every name is looked at: an archive that tries to climb out is not to be trusted with the rest.
      checkName(name, path);
      const to = name.endsWith('/') ? undefined : place(name);
      if (to !== undefined) wanted.push({ entry, to });
    }
    const total = wanted.reduce((sum, { entry }) => sum + entry.size, 0);
    if (total > maxBytes)
      throw new BackdropError('E_DATA', `${path}: the archive inflates to ${total} bytes; at most ${maxBytes} were expected`);
    let done = 0;
    for (const { entry, to } of wanted) {
      signal.throwIfAborted();
      const target = join(folder, to);
      const content = await asDataErrors(path, () => archive.read(entry));
      await writing(target, async () => {
        makeFolder(dirname(target));
        await writeFile(target, content, { flag: 'wx' });
      });
      done += entry.size;
      onProgress(done, total);
    }
    return wanted.length;
  } finally {
    await file.close();
  }
}

/** Throws E_DATA for names that lead out of the folder ("zip slip"), whatever the system makes of them. */
export function checkName(name: string, archive: string): void {
  const parts = name.split('/');
  const bad =
    name === '' || name.startsWith('/') || /[\\\0]|^[A-Za-z]:/.test(name) || parts.includes('..') || parts.slice(0, -1).includes('');
  if (bad)
    throw new BackdropError(
      'E_DATA',
      `${archive}: the archive has a file ${JSON.stringify(name)}, which would lie outside of the folder: nothing was unpacked`,
    );
}

/** The zip reader speaks of checkpoints. */
async function asDataErrors<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof BackdropError) || !error.code.startsWith('E_CKPT_')) throw error;
    const says =
      error.code === 'E_CKPT_TRUNCATED' || error.code === 'E_CKPT_CRC'
        ? 'the archive is damaged or incomplete'
        : 'this is no archive that can be read';
    throw new BackdropError('E_DATA', `${path}: ${says}: ${error.message}`, { hint: 'Remove it and run the command again.', cause: error });
  }
}
