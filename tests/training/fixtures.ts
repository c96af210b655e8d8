/** Golden values of training's parts (tests/fixtures/training). */
import { readFileSync } from 'node:fs';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import type { Targets } from '../../src/training/targets.ts';

export interface GoldenCase {
  name: string;
  op: string;
  // biome-ignore lint/suspicious/noExplicitAny: what an operation was given, as recorded
  attrs: any;
  inputs: string[];
  outputs: string[];
  torch32: Record<string, { max_abs: number }>;
  total?: number;
  total_norm?: number;
  terms?: Record<string, number>;
  term_order_matches?: string[];
}

export interface Fixture {
  cases: GoldenCase[];
  // biome-ignore lint/suspicious/noExplicitAny: what was recorded about a training step
  info: any;
  has(name: string): boolean;
  names: string[];
  values(name: string): Float32Array;
  shape(name: string): readonly number[];
}

/** Reads a whole file; the files are small. */
export async function fixture(name: string): Promise<Fixture> {
  const source = await openSafetensors(readFileSync(new URL(`../fixtures/training/${name}.safetensors`, import.meta.url)));
  const all = new Map<string, Float32Array>();
  for (const tensor of source.tensors.keys()) all.set(tensor, await source.readFloat32(tensor));
  const parse = (field: string) => JSON.parse(source.metadata.get(field) ?? 'null');
  const tensorOf = (tensor: string) => source.tensors.get(tensor) ?? raise(`${name} has no tensor ${tensor}`);
  return {
    cases: parse('cases'),
    info: parse('info'),
    has: (tensor) => all.has(tensor),
    names: [...all.keys()],
    values: (tensor) => all.get(tensorOf(tensor).name)!,
    shape: (tensor) => tensorOf(tensor).shape,
  };
}

function raise(message: string): never {
  throw new Error(message);
}

/** The targets of both images; `pattern` is a name's beginning and end around the image's number, as in `target.%.`. */
export function targetsOf(golden: Fixture, pattern: string): Targets[] {
  return [0, 1].map((image) => {
    const [before, after] = pattern.split('%');
    return { boxes: golden.values(`${before}${image}${after}boxes`), labels: golden.values(`${before}${image}${after}labels`) };
  });
}

/** PyTorch's own float32 error and the arithmetic of a few roundings: the golden files' tolerance. */
export function tolerance(golden: GoldenCase, tensor: string, expected: Float32Array): number {
  const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return 8 * (golden.torch32[tensor]?.max_abs ?? 0) + 2e-6 * largest + 1e-7;
}

/** Largest |a - b|; infinite where one is not a number. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} elements against ${b.length}`);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i] - b[i]);
    most = Number.isNaN(d) ? Infinity : Math.max(most, d);
  }
  return most;
}
