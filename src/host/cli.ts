/** The command line: finds the command, runs it, turns its outcome into an exit code. */
import { didYouMean } from '../spelling.ts';
import { type Args, type CommandSpec, columns, commandHelp, parseCommand, usageError } from './args.ts';
import { bench } from './commands/bench.ts';
import { convert, inspect } from './commands/checkpoints.ts';
import { data } from './commands/data/index.ts';
import { demo } from './commands/demo.ts';
import { detect } from './commands/detect.ts';
import { doctor } from './commands/doctor.ts';
import { evaluate } from './commands/eval.ts';
import { train } from './commands/train.ts';
import { verify } from './commands/verify.ts';
import { createIo, exitCodeOf, type Io, reportError } from './io.ts';
import { version } from './version.ts';

/** A subcommand: its description, and what it does. Resolves to the exit code. */
export interface Command {
  spec: CommandSpec;
  run(args: Args, io: Io): Promise<number>;
}

/** Commands that share their first word; each one's name holds both ("data check"). */
export interface CommandGroup {
  name: string;
  summary: string;
  commands: readonly Command[];
}

const commands: readonly (Command | CommandGroup)[] = [detect, train, evaluate, data, verify, doctor, bench, convert, inspect, demo];

const headOf = (entry: Command | CommandGroup): { name: string; summary: string } => ('spec' in entry ? entry.spec : entry);

function overview(): string {
  const rows = commands.map((entry) => [headOf(entry).name, headOf(entry).summary] as const);
  return [
    'Backdrop: object detection with Association DETR on WebGPU, in headless Chrome.',
    '',
    'Usage: backdrop COMMAND [options]',
    '',
    'Commands:',
    ...columns(rows),
    '',
    '"backdrop COMMAND --help" has the options and examples of a command.',
    '',
    'Environment: CHROME_PATH (the browser to use), BACKDROP_ADAPTER (auto, default, swiftshader),',
    '             BACKDROP_DEBUG=1 (stack traces), NO_COLOR.',
    'Exit codes:  0 done, 1 failed, 2 wrong usage, 3 something this machine lacks (Chrome, WebGPU, a network), 130 interrupted.',
    '',
  ].join('\n');
}

/** Runs one command line (without node and the script) and resolves to the exit code. */
export async function main(argv: string[]): Promise<number> {
  const abort = new AbortController();
  const debug = argv.includes('--debug') || process.env.BACKDROP_DEBUG === '1';
  const has = (flag: string) => argv.includes(flag);
  if (has('--no-color')) process.env.NO_COLOR = '1';
  const io = createIo({ json: has('--json'), quiet: has('--quiet'), debug, signal: abort.signal });
  let interrupted = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    const code = signal === 'SIGINT' ? 130 : 143;
    // The second time the user means it; chrome.ts has ended Chrome at the first.
    if (interrupted > 0) process.exit(code);
    interrupted = code;
    io.progressDone();
    io.note('interrupted, cleaning up');
    abort.abort(new Error('interrupted'));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  // A reader that has seen enough ("| head") is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    return (await dispatch(argv, io)) || interrupted;
  } catch (error) {
    if (interrupted > 0) return interrupted;
    reportError(io, error);
    return exitCodeOf(error);
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

function groupOverview({ name, summary, commands }: CommandGroup): string {
  return [
    `backdrop ${name}: ${summary}`,
    '',
    'Commands:',
    ...columns(commands.map(({ spec }) => [spec.name, spec.summary] as const)),
    '',
    `"backdrop ${name} COMMAND --help" has the options and examples of a command.`,
    '',
  ].join('\n');
}

function unknownCommand(name: string, names: readonly string[]) {
  const near = didYouMean(name, names);
  return usageError(`unknown command "${name}"${near ? `; did you mean "${near}"?` : ''}`, `Commands: ${names.join(', ')}.`);
}

async function dispatch(argv: string[], io: Io): Promise<number> {
  const [name, ...rest] = argv;
  const find = (wanted: string | undefined) =>
    commands.find((entry) => headOf(entry).name === wanted || ('spec' in entry && entry.spec.aliases?.includes(wanted ?? '')));
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    const topic = name === 'help' ? find(rest[0]) : undefined;
    process.stdout.write(!topic ? overview() : 'spec' in topic ? commandHelp(topic.spec) : groupOverview(topic));
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const entry = find(name);
  if (!entry)
    throw unknownCommand(
      name,
      commands.map((each) => headOf(each).name),
    );
  if ('spec' in entry) return runCommand(entry, rest, io);
  const [word, ...after] = rest;
  if (word === undefined || word === '--help' || word === '-h') {
    process.stdout.write(groupOverview(entry));
    return word === undefined ? 2 : 0;
  }
  const command = entry.commands.find(({ spec }) => spec.name === `${name} ${word}`);
  if (!command)
    throw unknownCommand(
      `${name} ${word}`,
      entry.commands.map(({ spec }) => spec.name),
    );
  return runCommand(command, after, io);
}

async function runCommand(command: Command, argv: string[], io: Io): Promise<number> {
  const args = parseCommand(command.spec, argv);
  if (args.values.help) {
    process.stdout.write(commandHelp(command.spec));
    return 0;
  }
  return command.run(args, io);
}
