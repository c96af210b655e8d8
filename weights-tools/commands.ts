/**
 * `backdrop convert` and `backdrop inspect` for the command line. The host parses arguments and prints errors; these two take the
 * parsed values and a place to write, and know files. Which models there are is the host's knowledge, handed in.
 */
import { readFile } from 'node:fs/promises';
import type { ExpectedTensors } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { type ConvertOptions, convertCheckpoint } from './convert.ts';
import { formatInspection, inspectCheckpoint } from './inspect.ts';
import { openNodeFile, refuseExisting, writeFileAtomically } from './node-files.ts';
import { openCheckpoint } from './open.ts';

/** The part of the host's Io these commands use. */
export interface CommandIo {
  readonly json: boolean;
  readonly signal: AbortSignal;
  print(text: string): void;
  emit(value: unknown): void;
  note(text: string): void;
  warn(text: string): void;
  progress(label: string, fraction?: number): void;
  progressDone(): void;
}

export interface CommandArgs {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
}

/** The models there are. */
export interface ModelCatalogue {
  names(): Iterable<string>;
  /** Name and shape of every state_dict entry; undefined for an unknown name. */
  expected(model: string): ExpectedTensors | undefined;
}

const usage = (message: string, hint?: string): BackdropError => new BackdropError('E_CLI_USAGE', message, hint ? { hint } : {});

/** An option with a fixed set of values. */
function choice<T extends string>(args: CommandArgs, name: string, allowed: readonly T[]): T | undefined {
  const value = args.values[name];
  if (value === undefined) return undefined;
  const found = allowed.find((word) => word === value);
  if (!found) throw usage(`--${name} is "${value}"; it can be ${allowed.join(', ')}`);
  return found;
}

function text(args: CommandArgs, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === 'string' ? value : undefined;
}

function expectedOf(catalogue: ModelCatalogue, model: string): ExpectedTensors {
  const expected = catalogue.expected(model);
  if (expected) return expected;
  throw new BackdropError('E_MODEL_UNKNOWN', `there is no model "${model}"`, { hint: `models: ${[...catalogue.names()].join(', ')}` });
}

/** Class names, one a line; empty lines do not count. */
export async function readClasses(path: string): Promise<string[]> {
  try {
    const lines = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '').split(/\r?\n/);
    return lines.map((line) => line.trim()).filter((line) => line !== '');
  } catch (cause) {
    throw new BackdropError('E_FILE_MISSING', `${path}: the class names cannot be read`, { hint: 'check the name', cause });
  }
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function formatOf(path: string): 'safetensors' | 'pth' {
  if (/\.safetensors$/i.test(path)) return 'safetensors';
  if (/\.(?:pth|pt|bin|ckpt)$/i.test(path)) return 'pth';
  throw usage(`"${path}" does not say which format to write`, 'end its name in .safetensors or .pth');
}

async function runConvert(args: CommandArgs, io: CommandIo, catalogue: ModelCatalogue): Promise<number> {
  const [input, output] = args.positionals as [string, string];
  const force = args.values.force === true;
  const format = formatOf(output);
  const dtype = choice(args, 'dtype', ['f32', 'f16', 'bf16']);
  const names = choice(args, 'names', ['official', 'v1', 'v2', 'hugging-face', 'keep']);
  const layout = choice(args, 'layout', ['training', 'bare']);
  const model = text(args, 'model');
  const classFile = text(args, 'classes');
  // Before minutes of work, not after.
  if (!force) await refuseExisting(output);
  const file = await openNodeFile(input);
  try {
    const label = `converting ${file.fileName}`;
    const source = await openCheckpoint(file, { fileName: file.fileName, signal: io.signal });
    const options: ConvertOptions = {
      format,
      partial: args.values.partial === true,
      fileName: file.fileName,
      onProgress: ({ done, total }) => io.progress(label, done / total),
      ...(dtype ? { dtype } : {}),
      ...(names ? { names } : {}),
      ...(layout ? { layout } : {}),
      ...(model ? { expected: expectedOf(catalogue, model) } : {}),
      ...(classFile ? { classes: await readClasses(classFile) } : {}),
    };
    const conversion = convertCheckpoint(source, options);
    const bytes = await writeFileAtomically(output, conversion.chunks, { force, signal: io.signal });
    io.progressDone();
    for (const message of conversion.messages) io.note(message);
    warnNonFinite(conversion.nonFinite, io);
    io.print(`${output}: ${conversion.tensors.length} tensors, ${mebibytes(bytes)}`);
    io.emit({
      type: 'convert',
      file: output,
      bytes,
      tensors: conversion.tensors.length,
      architecture: conversion.architecture,
      nonFinite: conversion.nonFinite,
    });
    return 0;
  } finally {
    await file.close();
  }
}

export function warnNonFinite(names: readonly string[], io: CommandIo): void {
  if (names.length === 0) return;
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  io.warn(`NaN or infinite values in ${names.slice(0, 5).join(', ')}${more}`);
}

async function runInspect(args: CommandArgs, io: CommandIo, catalogue: ModelCatalogue): Promise<number> {
  const [input] = args.positionals as [string];
  const file = await openNodeFile(input);
  try {
    const source = await openCheckpoint(file, { fileName: file.fileName, signal: io.signal });
    const model = text(args, 'model');
    const inspection = await inspectCheckpoint(source, {
      values: args.values['no-values'] !== true,
      expected: (found) => (model ? expectedOf(catalogue, model) : found.model ? catalogue.expected(found.model) : undefined),
      onProgress: ({ done, total }) => io.progress(`reading ${file.fileName}`, done / total),
    });
    io.progressDone();
    io.print(formatInspection(inspection).trimEnd());
    warnNonFinite(inspection.nonFinite, io);
    io.emit({ type: 'inspect', file: input, ...inspection, metadata: [...inspection.metadata] });
    return 0;
  } finally {
    await file.close();
  }
}

/** A command as the host's list takes it. */
export interface CheckpointCommand {
  spec: {
    name: string;
    summary: string;
    usage: string;
    description?: string;
    positionals: { name: string; min: number; max: number };
    options: Record<string, { type: 'string' | 'boolean'; value?: string; help: string }>;
    examples: string[];
  };
  run(args: CommandArgs, io: CommandIo): Promise<number>;
}

const model = { type: 'string', value: 'NAME', help: 'the model the weights must fit' } as const;

/** The two commands, in the form the host's list of commands takes. */
export function checkpointCommands(catalogue: ModelCatalogue): { convert: CheckpointCommand; inspect: CheckpointCommand } {
  const convert: CheckpointCommand = {
    spec: {
      name: 'convert',
      summary: 'convert a PyTorch or safetensors checkpoint to the other format',
      usage: 'CHECKPOINT OUTPUT.safetensors|OUTPUT.pth [options]',
      description:
        'Reads .pth and .pt files (zip and legacy format), safetensors, and Hugging Face RT-DETR files. Nothing in a file is executed.',
      positionals: { name: 'a checkpoint and an output file', min: 2, max: 2 },
      options: {
        model,
        dtype: { type: 'string', value: 'TYPE', help: 'f32, f16 or bf16; default as in the file' },
        names: { type: 'string', value: 'NAMES', help: 'official (default), v1, v2, hugging-face or keep' },
        layout: { type: 'string', value: 'LAYOUT', help: '.pth only: training ({model, ema}, default) or bare' },
        classes: { type: 'string', value: 'FILE', help: 'class names to store, one a line' },
        partial: { type: 'boolean', help: 'with --model: write what fits even if tensors are missing' },
        force: { type: 'boolean', help: 'replace an existing output file' },
      },
      examples: [
        'backdrop convert rtdetr_r50vd_6x_coco.pth rtdetr_r50vd.safetensors',
        'backdrop convert best.safetensors best.pth --classes names.txt',
        'backdrop convert rtdetr_r18vd.safetensors model.safetensors --names hugging-face --dtype f16',
      ],
    },
    run: (args: CommandArgs, io: CommandIo): Promise<number> => runConvert(args, io, catalogue),
  };
  const inspect: CheckpointCommand = {
    spec: {
      name: 'inspect',
      summary: 'list the tensors of a checkpoint and say which model it fits',
      usage: 'CHECKPOINT [options]',
      positionals: { name: 'checkpoint', min: 1, max: 1 },
      options: { model, 'no-values': { type: 'boolean', help: 'names and shapes only, without reading the values' } },
      examples: ['backdrop inspect rtdetr_r18vd.pth', 'backdrop inspect model.safetensors --json'],
    },
    run: (args: CommandArgs, io: CommandIo): Promise<number> => runInspect(args, io, catalogue),
  };
  return { convert, inspect };
}
