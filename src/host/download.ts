/** Fetching large files: resumed where they were cut off, checked before they get their name. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackdropError } from '../errors.ts';
import { writing } from './data-write.ts';
import { makeFolder } from './files.ts';

export interface RemoteFile {
  readonly url: string;
  /** Bytes, where the publisher tells. */
  readonly size?: number;
  readonly md5?: string;
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  /** `total` is unknown with servers that do not tell. */
  readonly onProgress: (done: number, total: number | undefined) => void;
  /** A silent server counts as gone after so long. */
  readonly stallMs?: number;
  /** Pause before an attempt after the first. */
  readonly pauseMs?: number;
}

/** Attempts that get on by nothing before it is given up; one that gets on starts the count again. */
const attempts = 4;

const partOf = (path: string) => `${path}.part`;
/** What the bytes of the part belong to: without it they are thrown away. */
const noteOf = (path: string) => `${path}.part.json`;

/**
 * The file at `path`, from there if it lies there complete, else from the net; what an earlier call has left is gone on with, if the
 * server's file is still the same. Throws E_NETWORK (with `path`, so that the file can be brought there by hand), E_DATA when what
 * came is not what the publisher has, E_FILE_WRITE.
 */
export async function download(file: RemoteFile, path: string, options: DownloadOptions): Promise<void> {
  const { signal, pauseMs = 2000 } = options;
  if (
    await stat(path).then(
      (facts) => facts.isFile(),
      () => false,
    )
  )
    return verify(file, path, path);
  await writing(path, async () => makeFolder(dirname(path)));
  for (let failed = 0; ; ) {
    const before = await sizeOf(partOf(path));
    try {
      await fetchRest(file, path, options);
      break;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BackdropError) || error.code !== 'E_NETWORK' || !error.details.again) throw error;
      failed = (await sizeOf(partOf(path))) > before ? 1 : failed + 1;
      if (failed >= attempts) throw error;
      await new Promise((done) => setTimeout(done, pauseMs));
    }
  }
  await verify(file, partOf(path), path);
  await writing(path, () => rename(partOf(path), path));
  await rm(noteOf(path), { force: true });
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0;

function unreachable(file: RemoteFile, path: string, says: string, again: boolean, cause?: unknown): BackdropError {
  const proxy = process.env.HTTPS_PROXY ?? process.env.https_proxy ?? process.env.HTTP_PROXY ?? process.env.http_proxy;
  return new BackdropError('E_NETWORK', `${file.url}: ${says}`, {
    hint:
      `Run the command again when there is a network: it goes on where it stopped. Or fetch that file by other means, put it at ${path}, and run ` +
      `the command again.${proxy ? ' The proxy that the environment names is not used.' : ''}`,
    details: { url: file.url, path, again },
    cause,
  });
}

/** One attempt: asks for what is missing and appends it. */
async function fetchRest(file: RemoteFile, path: string, { signal, onProgress, stallMs = 60_000 }: DownloadOptions): Promise<void> {
  const note = await readNote(path, file.url);
  // Without the server's word that it is still the same file only a checksum could tell.
  let have = note && (note.version !== undefined || file.md5 !== undefined) ? await sizeOf(partOf(path)) : 0;
  if (note?.total !== undefined && have >= note.total) return;
  const stalled = new AbortController();
  const both = AbortSignal.any([signal, stalled.signal]);
  let timer = setTimeout(() => stalled.abort(), stallMs);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(), stallMs);
  };
  try {
    const headers: Record<string, string> = { 'Accept-Encoding': 'identity' };
    if (have > 0) headers.Range = `bytes=${have}-`;
    // Without this a file that was replaced meanwhile would be continued in the middle.
    if (have > 0 && note?.version !== undefined) headers['If-Range'] = note.version;
    const response = await fetch(file.url, { headers, signal: both });
    alive();
    const range = response.headers.get('Content-Range')?.match(/^bytes (\d+)-\d+\/(\d+)$/);
    if (response.status === 206 && (!range || Number(range[1]) !== have))
      throw unreachable(file, path, 'the server sends another part than was asked for', false);
    if (response.status === 416) {
      await rm(partOf(path), { force: true });
      throw unreachable(file, path, 'the server has less than was fetched before', true);
    }
    if (!response.ok || !response.body)
      throw unreachable(file, path, `the server answers ${response.status} ${response.statusText}`.trim(), response.status >= 500);
    if (response.status !== 206) have = 0;
    const length = Number(response.headers.get('Content-Length') || Number.NaN);
    const total = range ? Number(range[2]) : Number.isSafeInteger(length) && !response.headers.get('Content-Encoding') ? length : file.size;
    await writing(noteOf(path), () => writeFile(noteOf(path), JSON.stringify({ url: file.url, version: versionOf(response), total })));
    const handle = await writing(partOf(path), () => open(partOf(path), have > 0 ? 'a' : 'w'));
    try {
      for await (const chunk of response.body) {
        alive();
        await writing(partOf(path), () => handle.writeFile(chunk));
        have += chunk.byteLength;
        onProgress(have, total);
      }
      await writing(partOf(path), () => handle.sync());
    } finally {
      await handle.close();
    }
    if (total !== undefined && have < total) throw unreachable(file, path, `the connection ended after ${have} of ${total} bytes`, true);
  } catch (error) {
    if (error instanceof BackdropError || signal.aborted) throw error;
    const reason = reasonOf(error);
    const says = stalled.signal.aborted ? `the server has sent nothing for ${stallMs / 1000} s` : `cannot be reached (${reason})`;
    // No such name and nobody there do not change within seconds.
    throw unreachable(file, path, says, !['ENOTFOUND', 'ECONNREFUSED'].includes(reason), error);
  } finally {
    clearTimeout(timer);
  }
}

/** fetch hides why behind "fetch failed". */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}

/** What tells one version of the file from another, for If-Range (RFC 9110, 13.1.5); weak tags do not. */
function versionOf({ headers }: Response): string | undefined {
  const tag = headers.get('ETag');
  return (tag?.startsWith('"') ? tag : undefined) ?? headers.get('Last-Modified') ?? undefined;
}

interface Note {
  readonly version: string | undefined;
  readonly total: number | undefined;
}

async function readNote(path: string, url: string): Promise<Note | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(noteOf(path), 'utf8'));
    if (typeof note !== 'object' || note === null || !('url' in note) || note.url !== url) return undefined;
    const version = 'version' in note && typeof note.version === 'string' ? note.version : undefined;
    return { version, total: 'total' in note && typeof note.total === 'number' ? note.total : undefined };
  } catch {
    return undefined;
  }
}

/** Throws E_DATA and removes the file where it is not the publisher's; one that a person has put there stays. */
async function verify({ size, md5, url }: RemoteFile, path: string, name: string): Promise<void> {
  const found = await sizeOf(path);
  let wrong = size !== undefined && found !== size ? `${found} bytes, expected ${size}` : undefined;
  if (wrong === undefined && md5 !== undefined) {
    const hash = createHash('md5');
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
    const sum = hash.digest('hex');
    if (sum !== md5) wrong = `the MD5 sum is ${sum}, expected ${md5}`;
  }
  if (wrong === undefined) return;
  if (path !== name) await Promise.all([rm(path, { force: true }), rm(noteOf(name), { force: true })]);
  const hint = path === name ? `Remove ${name} and run the command again.` : 'What was fetched has been removed. Run the command again.';
  throw new BackdropError('E_DATA', `${name}: this is not the file of ${url}: ${wrong}`, { hint, details: { path: name } });
}
