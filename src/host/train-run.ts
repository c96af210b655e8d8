/** Keeps a training run going: a page that trains, and a new Chrome from the last save when the old one or its GPU is lost. */
import { BackdropError } from '../errors.ts';
import { LAST_STATE } from '../training/trainer.ts';
import type { Io } from './io.ts';
import type { RunDirectory } from './run-directory.ts';
import { PageSession, type SessionOptions } from './session.ts';
import type { EventAnswer, FilePiece, TrainMessage, TrainReply, TrainRequest } from './train-messages.ts';
import { cutLogs, type TrainReport } from './train-report.ts';

/** Without a new save in between, so often. */
const MAX_RESTARTS = 3;
const LOST: readonly string[] = ['E_GPU_LOST', 'E_CHROME_CRASHED'];

export interface TrainRunOptions {
  io: Io;
  run: RunDirectory;
  report: TrainReport;
  /** Without addresses, which belong to a session. */
  request: Omit<TrainRequest, 'data' | 'weights' | 'state'>;
  dataFolder: string;
  weightsFile: string | null;
  /** Where the saved run stands, by its file. */
  savedAt(): Promise<{ steps: number; epoch: number } | null>;
  session?: SessionOptions;
}

/** Trains to the end, or until Ctrl-C. Resolves to null when that came while nothing could be finished any more. */
export async function trainRun(options: TrainRunOptions): Promise<TrainReply | null> {
  const { io, report } = options;
  let restarts = 0;
  let savedBefore = report.saved;
  for (;;) {
    try {
      return await once(options);
    } catch (error) {
      // What Ctrl-C cut short is as it was saved last.
      if (io.signal.aborted) return null;
      if (!(error instanceof BackdropError) || !LOST.includes(error.code)) throw error;
      restarts = report.saved === savedBefore ? restarts + 1 : 1;
      savedBefore = report.saved;
      if (restarts > MAX_RESTARTS) throw error;
      io.progressDone();
      io.warn(`${error.message} Starting again from the last save (attempt ${restarts} of ${MAX_RESTARTS}).`);
    }
  }
}

async function once(options: TrainRunOptions): Promise<TrainReply> {
  const { io, run, report, request, dataFolder, weightsFile } = options;
  run.abandon();
  const saved = await options.savedAt();
  cutLogs(run, saved ?? { steps: 0, epoch: 0 });
  io.progress('starting Chrome');
  const session = await PageSession.launch({
    ...options.session,
    // The first Ctrl-C ends training after the step; Chrome must live so long.
    outliveSignals: true,
    onLog: (level, text) => {
      if (io.debug) io.note(`[page ${level}] ${text}`);
    },
  });
  const before = report.steps;
  const onAbort = () => {
    if (report.steps > before) io.note('finishing the step and saving; Ctrl-C again stops at once');
    else void session.close();
  };
  try {
    if (io.signal.aborted) throw io.signal.reason;
    io.signal.addEventListener('abort', onAbort, { once: true });
    session.answer('train events', (messages: TrainMessage[]): EventAnswer => {
      for (const message of messages) report.take(message);
      return { stop: io.signal.aborted };
    });
    session.answer('train piece', ({ name, offset, bytes, sha256 }: FilePiece) => run.receive(name, offset, bytes, sha256));
    session.answer('train file', ({ name, size }: { name: string; size: number }) => run.finish(name, size));
    const address = (path: string, name: string) => ({ url: session.file(path), name });
    return await session.call<TrainReply>('train', {
      ...request,
      data: session.folder(dataFolder),
      weights: weightsFile === null ? null : address(weightsFile, weightsFile),
      state: saved ? address(run.file(LAST_STATE), LAST_STATE) : null,
    } satisfies TrainRequest);
  } finally {
    io.signal.removeEventListener('abort', onAbort);
    io.progressDone();
    await session.close();
  }
}
