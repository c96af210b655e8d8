/** The checkpoint fixtures (see their README), and small helpers to make files in a test. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { ExpectedTensors, TensorInfo, TensorSource } from '../../src/checkpoints/index.ts';
import { bytesOf, toFloat32 } from '../../src/checkpoints/index.ts';
import { BackdropError } from '../../src/errors.ts';

const root = new URL('../fixtures/checkpoints/', import.meta.url);

export const fixturePath = (name: string): string => fileURLToPath(new URL(name, root));
export const fixture = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(fixturePath(name)));
export const fixtureText = (name: string): string => readFileSync(fixturePath(name), 'utf8');

const parsed = new Map<string, unknown>();
/** A fixture of JSON, plain or gzipped, parsed once. */
export function fixtureJson<T>(name: string): T {
  if (!parsed.has(name)) parsed.set(name, JSON.parse(name.endsWith('.gz') ? gunzipSync(fixture(name)).toString() : fixtureText(name)));
  return parsed.get(name) as T;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface FileCase {
  file: string;
  expect: 'load' | 'refuse' | 'error' | 'error-or-identical' | 'load-or-clear-error' | 'anything';
  tensors?: Record<string, [string, number[], string]>;
  more?: boolean;
  global?: string;
  undamaged?: string;
}

/** Name to shape of every tensor of a published model. */
export function modelKeys(model: string): ExpectedTensors {
  const all = fixtureJson<Record<string, Record<string, [number[], string]>>>('model-keys.json.gz');
  return new Map(Object.entries(all[model]!).map(([name, [shape]]) => [name, shape]));
}

export const modelNames = (): string[] =>
  Object.keys(fixtureJson<Record<string, unknown>>('model-keys.json.gz')).filter((name) => !name.includes('#'));

/** The error a promise ends with; fails if it is none of ours. */
export async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<BackdropError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof BackdropError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

/** A source in memory. Values default to a few that depend on the name, so that swapped tensors show. */
export function sourceOf(
  shapes: Iterable<readonly [string, readonly number[]]>,
  dtype = 'f32',
  values?: (name: string) => Uint8Array,
): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shape] of shapes) tensors.set(name, { name, dtype: name.endsWith('num_batches_tracked') ? 'i64' : dtype, shape });
  const readBytes = async (name: string): Promise<Uint8Array> => {
    if (values) return values(name);
    const info = tensors.get(name)!;
    const count = info.shape.reduce((product, extent) => product * extent, 1);
    if (info.dtype === 'i64') return new Uint8Array(8 * count);
    const seed = Number.parseInt(sha256(new TextEncoder().encode(name)).slice(0, 6), 16) / 2 ** 24;
    const numbers = new Float32Array(count);
    for (let i = 0; i < count; i++) numbers[i] = seed + i / 1024;
    return bytesOf(numbers);
  };
  return {
    tensors,
    metadata: new Map(),
    readBytes,
    readFloat32: async (name) => toFloat32(await readBytes(name), tensors.get(name)!.dtype, name),
  };
}

export async function collect(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return new Uint8Array(Buffer.concat(parts));
}
