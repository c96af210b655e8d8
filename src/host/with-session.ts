/** A page session for the time of one command. */
import type { Io } from './io.ts';
import { PageSession, type SessionOptions } from './session.ts';

/** Starts Chrome, runs the work, and ends Chrome whatever happens. Warns about a software adapter. */
export async function withSession<T>(io: Io, work: (session: PageSession) => Promise<T>, options: SessionOptions = {}): Promise<T> {
  io.progress('starting Chrome');
  const session = await PageSession.launch({
    ...options,
    onLog: (level, text) => {
      if (io.debug) io.note(`[page ${level}] ${text}`);
    },
  });
  try {
    io.signal.throwIfAborted();
    return await work(session);
  } finally {
    io.progressDone();
    await session.close();
  }
}

/** Name of an adapter as people know it. */
export function adapterName(info: { vendor: string; architecture: string; device: string; description: string }): string {
  const parts = [info.description || info.device, info.vendor, info.architecture].filter((part) => part !== '');
  return (
    parts.filter((part, i) => parts.findIndex((other) => other.toLowerCase() === part.toLowerCase()) === i).join(', ') || 'unnamed adapter'
  );
}

export const softwareWarning =
  'this is a software adapter: the processor computes, many times slower than a graphics card. "backdrop doctor" says why.';
