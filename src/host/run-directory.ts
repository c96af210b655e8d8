/**
 * The directory of a training run. One process at a time works in it (a lock file); checkpoints replace each other by renaming;
 * the logs are cut back to the saved step when a run goes on from there.
 */
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { BackdropError } from '../errors.ts';
import { LAST_STATE } from '../training/trainer.ts';
import { makeFolder, writeFileAtomic } from './files.ts';

const LOCK = 'run.lock';
/** Files under way; a killed process leaves them. */
const PARTIAL = '.partial';

function writeError(path: string, cause: unknown): BackdropError {
  const code = (cause as NodeJS.ErrnoException).code;
  const reasons: Record<string, string> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the file system is read-only',
    EACCES: 'there is no permission to write there',
    EPERM: 'there is no permission to write there',
    ENOTDIR: 'there is a file in the way',
    EEXIST: 'there is a file in the way',
  };
  const reason = (code && reasons[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new BackdropError('E_FILE_WRITE', `cannot write ${path}: ${reason}`, {
    cause,
    hint: 'Nothing that was saved before is lost. Make room or choose another folder with --out, then --resume.',
    details: { path, ...(code ? { reason: code } : {}) },
  });
}

/** Runs what writes; its failures tell the path. */
function writing<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (cause instanceof BackdropError) throw cause;
    throw writeError(path, cause);
  }
}

interface LockOwner {
  pid: number;
  host: string;
}

/** Whether the process that wrote a lock still runs; on another machine nobody can tell. */
function alive({ pid, host }: LockOwner): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Takes the lock, or throws E_RUN_LOCKED naming who has it. */
function lock(directory: string): void {
  const path = join(directory, LOCK);
  const own: LockOwner = { pid: process.pid, host: hostname() };
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, `${JSON.stringify(own)}\n`, { flag: 'wx' });
      return;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw writeError(path, cause);
    }
    const owner = lockOwner(path);
    if ((owner && alive(owner)) || attempt > 2) {
      const { pid = 0, host = '?' } = owner ?? {};
      throw new BackdropError('E_RUN_LOCKED', `${directory} belongs to a run that is going on (process ${pid} on ${host})`, {
        hint: `Wait for it or stop it. If there is no such run, delete ${path}.`,
        details: { directory, pid, host },
      });
    }
    // Its owner was killed.
    rmSync(path, { force: true });
  }
}

function lockOwner(path: string): LockOwner | null {
  try {
    const { pid, host } = JSON.parse(readFileSync(path, 'utf8')) as LockOwner;
    return Number.isInteger(pid) && typeof host === 'string' ? { pid, host } : null;
  } catch {
    return null;
  }
}

interface Upload {
  file: number;
  temporary: string;
  bytes: number;
}

export class RunDirectory {
  readonly path: string;
  readonly #uploads = new Map<string, Upload>();
  #open = true;

  private constructor(path: string) {
    this.path = path;
  }

  /** A new directory with this name, or with a number behind it where there is one already. @throws E_FILE_WRITE */
  static create(wanted: string): RunDirectory {
    const first = resolve(wanted);
    return writing(first, () => {
      makeFolder(dirname(first));
      for (let n = 1; ; n++) {
        const path = n === 1 ? first : `${first}${n}`;
        try {
          mkdirSync(path);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
          if (!statSync(path).isDirectory() || readdirSync(path).length > 0) continue;
        }
        lock(path);
        return new RunDirectory(path);
      }
    });
  }

  /** The directory of a run that is to go on. @throws E_RUN_MISSING, E_RUN_LOCKED, E_FILE_WRITE */
  static open(path: string): RunDirectory {
    const full = resolve(path);
    if (!existsSync(join(full, LAST_STATE))) {
      throw new BackdropError('E_RUN_MISSING', `${path} holds no run that was saved (there is no ${LAST_STATE})`);
    }
    lock(full);
    const run = new RunDirectory(full);
    for (const name of readdirSync(full)) if (name.endsWith(PARTIAL)) rmSync(join(full, name), { force: true });
    return run;
  }

  /** The run saved last among DIR, DIR2, DIR3, ... @throws E_RUN_MISSING */
  static newest(wanted: string): string {
    const first = resolve(wanted);
    const parent = dirname(first);
    const names = existsSync(parent) ? readdirSync(parent) : [];
    const runs = names
      .filter((name) => name.startsWith(basename(first)) && /^\d*$/.test(name.slice(basename(first).length)))
      .flatMap((name) => {
        const saved = statSync(join(parent, name, LAST_STATE), { throwIfNoEntry: false });
        return saved ? [{ path: join(parent, name), time: saved.mtimeMs }] : [];
      })
      .sort((a, b) => b.time - a.time);
    if (runs[0]) return runs[0].path;
    throw new BackdropError('E_RUN_MISSING', `there is no saved run to resume in ${wanted}`, {
      hint: 'Name its directory with --out, or its last.train.safetensors with --resume FILE.',
    });
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** A whole file, in place of an earlier one. @throws E_FILE_WRITE */
  write(name: string, content: string | Uint8Array): void {
    const path = this.file(name);
    writing(path, () => writeFileAtomic(path, content));
  }

  /** Adds lines to a log. @throws E_FILE_WRITE */
  append(name: string, content: string | Uint8Array): void {
    const path = this.file(name);
    writing(path, () => appendFileSync(path, content));
  }

  read(name: string): string | null {
    const path = this.file(name);
    return existsSync(path) ? readFileSync(path, 'utf8') : null;
  }

  /** Keeps the lines of a log that `keep` says; a last line that was cut off goes, too. */
  filterLines(name: string, keep: (line: string) => boolean): void {
    const text = this.read(name);
    if (text === null) return;
    const lines = text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .slice(0, -1)
      .filter(keep);
    this.write(name, lines.map((line) => `${line}\n`).join(''));
  }

  /** A piece of a file that comes from the page. @throws E_FILE_WRITE, and when pieces are damaged or out of order */
  receive(name: string, offset: number, bytes: Uint8Array, sha256: string): void {
    if (!/^[a-z0-9_]+(\.[a-z0-9_]+)+$/.test(name)) throw new BackdropError('E_FILE_WRITE', `"${name}" is no name for a file of a run`);
    const path = this.file(name);
    writing(path, () => {
      if (offset === 0) this.#discard(name);
      const upload = this.#uploads.get(name) ?? this.#begin(name);
      const damaged = sha256 !== createHash('sha256').update(bytes).digest('hex');
      if (damaged || offset !== upload.bytes) {
        this.#discard(name);
        throw new BackdropError('E_FILE_WRITE', `${name}: a piece from the page is ${damaged ? 'damaged' : 'out of order'}`, {
          details: { offset },
        });
      }
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(upload.file, bytes, done);
      upload.bytes += bytes.byteLength;
    });
  }

  /** All pieces are there: flushes the file and gives it its name. @throws E_FILE_WRITE */
  finish(name: string, size: number): void {
    const path = this.file(name);
    writing(path, () => {
      const upload = this.#uploads.get(name);
      if (upload?.bytes !== size) {
        this.#discard(name);
        throw new BackdropError('E_FILE_WRITE', `${name}: ${upload?.bytes ?? 0} of ${size} bytes have come from the page`);
      }
      fsyncSync(upload.file);
      closeSync(upload.file);
      this.#uploads.delete(name);
      renameSync(upload.temporary, path);
      syncFolder(this.path);
    });
  }

  #begin(name: string): Upload {
    const temporary = this.file(`.${name}.${process.pid}${PARTIAL}`);
    const upload = { file: openSync(temporary, 'w'), temporary, bytes: 0 };
    this.#uploads.set(name, upload);
    return upload;
  }

  #discard(name: string): void {
    const upload = this.#uploads.get(name);
    if (!upload) return;
    this.#uploads.delete(name);
    closeSync(upload.file);
    rmSync(upload.temporary, { force: true });
  }

  /** What is under way is thrown away: the page that sent it is gone. */
  abandon(): void {
    for (const name of [...this.#uploads.keys()]) this.#discard(name);
  }

  /** For a run that is not to be kept. */
  remove(): void {
    this.close();
    rmSync(this.path, { recursive: true, force: true });
  }

  /** Gives the lock back. A second call does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.abandon();
    rmSync(this.file(LOCK), { force: true });
  }
}

/** The renaming itself survives a power cut. Windows cannot and need not. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
