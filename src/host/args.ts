/** Command-line arguments: one description per command gives the parser, the help text and the suggestions. */
import { parseArgs } from 'node:util';
import { BackdropError } from '../errors.ts';
import { didYouMean } from '../spelling.ts';

export interface OptionSpec {
  type: 'string' | 'boolean';
  /** What the value is, for the help: FILE, DIR, N. */
  value?: string;
  help: string;
  short?: string;
  /** Its name in other tools, understood too. */
  alias?: string;
  /** The value when the option stands alone. */
  alone?: string;
  /** May stand several times: `listOption` gives all values. */
  repeated?: boolean;
}

export interface CommandSpec {
  name: string;
  /** Its names in other tools, understood too. */
  aliases?: readonly string[];
  /** One line for the list of commands. */
  summary: string;
  /** What follows the name, such as "IMAGE... --weights FILE". */
  usage: string;
  positionals: { name: string; min: number; max: number };
  options: Record<string, OptionSpec>;
  examples: string[];
  /** Paragraph under the usage line. */
  description?: string;
}

export interface Args {
  positionals: string[];
  values: Record<string, string | boolean | undefined>;
  /** Of options that may be repeated. */
  lists?: Record<string, string[]>;
}

export const globalOptions: Record<string, OptionSpec> = {
  json: { type: 'boolean', help: 'machine-readable output on stdout, one JSON object a line; words go to stderr' },
  quiet: { type: 'boolean', help: 'results, warnings and errors alone: no remarks, no progress' },
  'no-color': { type: 'boolean', help: 'no colours (also NO_COLOR=1)' },
  debug: { type: 'boolean', help: 'stack traces and the messages of the page (also BACKDROP_DEBUG=1)' },
  help: { type: 'boolean', short: 'h', help: 'this text' },
};

export const usageError = (message: string, hint?: string) => new BackdropError('E_CLI_USAGE', message, hint ? { hint } : {});

/** Parses what follows the command's name. Throws E_CLI_USAGE naming the argument, with a suggestion where one is close. */
export function parseCommand(spec: CommandSpec, argv: string[]): Args {
  const options: Record<string, OptionSpec> = { ...spec.options, ...globalOptions };
  const config = Object.fromEntries(Object.entries(options).map(([name, { type, short }]) => [name, short ? { type, short } : { type }]));
  const { tokens, positionals } = parseArgs({
    args: withLoneValues(withoutAliases(argv, options), options),
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const hint = `"backdrop ${spec.name} --help" lists the options.`;
  const values: Args['values'] = {};
  const lists: Record<string, string[]> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = options[token.name];
    if (!option) {
      const near = didYouMean(token.name, Object.keys(options));
      throw usageError(`unknown option ${token.rawName}${near ? `; did you mean --${near}?` : ''}`, hint);
    }
    if (option.type === 'boolean') {
      if (token.value !== undefined) throw usageError(`--${token.name} takes no value`, hint);
      values[token.name] = true;
      continue;
    }
    // "--weights --json" has forgotten the file; a name that begins with dashes can still be given as --weights=--x.
    if (!token.value || (!token.inlineValue && token.value.startsWith('--'))) {
      throw usageError(`--${token.name} needs a value (${option.value ?? 'VALUE'})`, hint);
    }
    values[token.name] = token.value;
    if (option.repeated) lists[token.name] = [...(lists[token.name] ?? []), token.value];
  }
  if (!values.help) {
    const { name, min, max } = spec.positionals;
    if (positionals.length < min) throw usageError(`${spec.name} needs ${min === 1 ? `a ${name}` : name}`, hint);
    if (positionals.length > max) throw usageError(`unexpected argument "${positionals[max]}"`, hint);
  }
  return { positionals, values, ...(Object.keys(lists).length > 0 ? { lists } : {}) };
}

/** --imgsz and --imgsz=320 as --size. */
function withoutAliases(argv: readonly string[], options: Readonly<Record<string, OptionSpec>>): string[] {
  return argv.map((argument) => {
    const [, given, rest = ''] = argument.match(/^--([^=]+)(=.*)?$/s) ?? [];
    const name = Object.keys(options).find((key) => given !== undefined && options[key].alias === given);
    return name === undefined ? argument : `--${name}${rest}`;
  });
}

/** Options that may stand alone get their value, so that they do not take the next option for it. */
function withLoneValues(argv: readonly string[], options: Readonly<Record<string, OptionSpec>>): string[] {
  return argv.map((argument, i) => {
    const [name, { alone }] = Object.entries(options).find(([long, { short }]) => argument === `--${long}` || argument === `-${short}`) ?? [
      '',
      {},
    ];
    const next = argv[i + 1];
    return alone !== undefined && (next === undefined || next.startsWith('-')) ? `--${name}=${alone}` : argument;
  });
}

/** All values of an option that may be repeated. */
export const listOption = (args: Args, name: string): readonly string[] => args.lists?.[name] ?? [];

/** A string option, or undefined. */
export function textOption(args: Args, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A number option within bounds, or the fallback when it is absent. */
export function numberOption(
  args: Args,
  name: string,
  fallback: number,
  bounds: { min: number; max: number; integer?: boolean; multipleOf?: number },
): number {
  const text = textOption(args, name);
  if (text === undefined) return fallback;
  const value = Number(text);
  const { min, max, integer, multipleOf } = bounds;
  const fits = text.trim() !== '' && value >= min && value <= max && (!integer || Number.isInteger(value));
  if (!fits || (multipleOf !== undefined && value % multipleOf !== 0)) {
    const kind = multipleOf !== undefined ? `a multiple of ${multipleOf}` : integer ? 'a whole number' : 'a number';
    throw usageError(`--${name} is "${text}"; expected ${kind} from ${min} to ${max}`);
  }
  return value;
}

/** The help of one command. */
export function commandHelp(spec: CommandSpec): string {
  const options = { ...spec.options, ...globalOptions };
  const rows = Object.entries(options).map(([name, { short, alias, value, help }]) => {
    const left = `${short ? `-${short}, ` : ''}--${name}${alias ? `, --${alias}` : ''}${value ? ` ${value}` : ''}`;
    return [left, help] as const;
  });
  return [
    `backdrop ${spec.name}: ${spec.summary}`,
    '',
    `Usage: backdrop ${spec.name} ${spec.usage}`,
    ...(spec.description ? ['', ...wrap(spec.description)] : []),
    '',
    'Options:',
    ...columns(rows),
    '',
    'Examples:',
    ...spec.examples.map((example) => `  ${example}`),
    '',
  ].join('\n');
}

/** Paragraphs in lines of at most 120 characters. */
function wrap(text: string): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = [''];
    for (const word of paragraph.split(' ')) {
      const line = lines[lines.length - 1];
      if (line === '') lines[lines.length - 1] = word;
      else if (line.length + 1 + word.length <= 120) lines[lines.length - 1] = `${line} ${word}`;
      else lines.push(word);
    }
    return lines;
  });
}

/** Two columns, indented. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`);
}
