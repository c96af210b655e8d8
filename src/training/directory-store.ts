/** Runs in a directory of the page: one that the user has picked (showDirectoryPicker), or of the origin's private file system. */
import { BackdropError } from '../errors.ts';
import { openRun, type RunStore, type SavedRun } from './run-files.ts';
import { LAST_STATE } from './trainer.ts';

/** A store for a Trainer. */
export const directoryStore = (directory: FileSystemDirectoryHandle): RunStore => ({
  write: (name, chunks) => writeFile(directory, name, chunks),
});

/** Whole, or as it was: what is written lies beside a file until it is closed. @throws BackdropError E_FILE_WRITE */
export async function writeFile(
  directory: FileSystemDirectoryHandle,
  name: string,
  chunks: Iterable<FileSystemWriteChunkType>,
): Promise<void> {
  try {
    const stream = await (await directory.getFileHandle(name, { create: true })).createWritable();
    try {
      for (const chunk of chunks) await stream.write(chunk);
      await stream.close();
    } catch (error) {
      await stream.abort().catch(() => {});
      throw error;
    }
  } catch (cause) {
    throw writeError(`${directory.name}/${name}`, cause);
  }
}

const reasons: Record<string, string> = {
  QuotaExceededError: 'there is no room for it',
  NotAllowedError: 'the page may not write there (any more)',
  NotFoundError: 'the folder is gone',
};

function writeError(path: string, cause: unknown): BackdropError {
  const { name, message } = cause instanceof Error ? cause : { name: '', message: String(cause) };
  return new BackdropError('E_FILE_WRITE', `cannot write ${path}: ${reasons[name] ?? message}`, {
    cause,
    hint: 'What was saved before is still there; the run goes on from it.',
    details: { path, reason: name },
  });
}

/** The run that was saved there last, for `resume`; null where there is none. @throws BackdropError E_CKPT_* for a damaged one */
export async function savedRun(directory: FileSystemDirectoryHandle): Promise<SavedRun | null> {
  const handle = await directory.getFileHandle(LAST_STATE).catch((error: Error) => {
    if (error.name === 'NotFoundError') return null;
    throw error;
  });
  // An empty one was made by a page that was closed before it had written it.
  const file = await handle?.getFile();
  return file?.size ? openRun(file, LAST_STATE) : null;
}
