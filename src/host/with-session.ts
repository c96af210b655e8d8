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

export const softwareWarning =
  'this is a software adapter: the processor computes, many times slower than a graphics card. "backdrop doctor" says why.';
