/** Where a command writes: results to stdout, words and progress to stderr, so that output can be piped. */
import { BackdropError } from '../errors.ts';

export interface Io {
  /** --json: results are objects, and nothing else may reach stdout. */
  readonly json: boolean;
  readonly debug: boolean;
  /** Progress overwrites itself: stderr is a terminal. */
  readonly live: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** A result line for people; swallowed with --json. */
  print(text: string): void;
  /** A result for machines; swallowed without --json. */
  emit(value: unknown): void;
  /** A remark for people, never part of the result. */
  note(text: string): void;
  warn(text: string): void;
  /** What went wrong, and what to do. */
  fail(text: string): void;
  /** What is going on: one line that overwrites itself on a terminal, few plain lines elsewhere. */
  progress(label: string, fraction?: number): void;
  /** Ends the progress line. */
  progressDone(): void;
  readonly paint: (style: 'bold' | 'dim' | 'red' | 'green' | 'yellow', text: string) => string;
}

export interface IoOptions {
  json: boolean;
  debug: boolean;
  /** --quiet: neither remarks nor progress. */
  quiet?: boolean;
  signal: AbortSignal;
  stdout?: NodeJS.WriteStream;
  stderr?: NodeJS.WriteStream;
}

const styles = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };
/** Without a terminal, one line a stage and then at most one in this time. */
const plainIntervalMs = 10_000;

export function createIo(options: IoOptions): Io {
  const { json, debug, quiet = false, signal, stdout = process.stdout, stderr = process.stderr } = options;
  const colored = (stream: NodeJS.WriteStream) => stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  const paint: Io['paint'] = (style, text) => (colored(json ? stderr : stdout) ? `\x1b[${styles[style]}m${text}\x1b[0m` : text);
  const live = stderr.isTTY === true && process.env.TERM !== 'dumb';
  let shown = false;
  let stage = '';
  let stageStart = 0;
  let lastPlain = 0;

  const progressDone = () => {
    if (shown) stderr.write('\r\x1b[K');
    shown = false;
    stage = '';
  };
  const line = (text: string) => {
    if (shown) stderr.write('\r\x1b[K');
    shown = false;
    stderr.write(`${text}\n`);
  };
  return {
    json,
    debug,
    live,
    signal,
    paint,
    print(text) {
      if (json) return;
      if (shown) progressDone();
      stdout.write(`${text}\n`);
    },
    emit(value) {
      if (json) stdout.write(`${JSON.stringify(value)}\n`);
    },
    note: (text) => {
      if (!quiet) line(text);
    },
    warn: (text) => line(`${colored(stderr) ? '\x1b[33mwarning\x1b[0m' : 'warning'}: ${text}`),
    fail: line,
    progress(label, fraction) {
      if (quiet) return;
      const now = Date.now();
      const fresh = label !== stage;
      if (fresh) [stage, stageStart] = [label, now];
      const text = progressText(label, fraction, now - stageStart);
      if (live) {
        stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
        shown = true;
      } else if (fresh || now - lastPlain >= plainIntervalMs) {
        lastPlain = now;
        stderr.write(`${text}\n`);
      }
    },
    progressDone,
  };
}

/** "loading weights  42 %  6 s left"; no percentage or time where they are not known. */
export function progressText(label: string, fraction: number | undefined, elapsedMs: number): string {
  if (fraction === undefined || !Number.isFinite(fraction)) return label;
  const done = Math.min(1, Math.max(0, fraction));
  const left = done > 0.02 && done < 1 && elapsedMs > 1000 ? (elapsedMs / done) * (1 - done) : undefined;
  return `${label}  ${Math.floor(done * 100)} %${left === undefined ? '' : `  ${duration(left)} left`}`;
}

/** 850 ms, 12 s, 3 min 20 s. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something about this machine, 130 Ctrl-C. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof BackdropError)) return 1;
  if (error.code === 'E_CLI_USAGE') return 2;
  return /^E_(CHROME|WEBGPU)_|^E_GPU_LIMIT$|^E_NETWORK$/.test(error.code) ? 3 : 1;
}

/** Prints an error for people, and with --json also for machines. Stack traces only on request. */
export function reportError(io: Io, error: unknown): void {
  io.progressDone();
  const known = error instanceof BackdropError;
  const message = error instanceof Error ? error.message : String(error);
  const head = known ? `error ${error.code}: ${message}` : `error: ${message}`;
  io.fail(io.json ? head : io.paint('red', head));
  if (known && error.hint) io.fail(`  ${error.hint}`);
  if (io.debug) io.fail(error instanceof Error && error.stack ? error.stack : String(error));
  else if (!known) io.fail('  This is a mistake in Backdrop; --debug shows where it happened.');
  io.emit({ type: 'error', ...(known ? error.toJSON() : { code: 'E_INTERNAL', message }) });
}
