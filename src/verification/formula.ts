/**
 * Weights and images that need no file: numbers hashed from names, so that a golden file holds PyTorch's results only and
 * a port can recompute the 43 million parameters behind them bit for bit.
 */
import { BackdropError } from '../errors.ts';
import type { ParameterSource } from '../graph/parameters.ts';

/** FNV-1a, 32 bit, over the UTF-8 bytes. */
export function fnv1a32(text: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** MurmurHash3's finaliser. */
export function fmix32(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return x >>> 0;
}

const GOLDEN_RATIO = 0x9e3779b9;

/** Element `index` of the stream of a key whose hash is `hash`. */
function streamAt(hash: number, index: number): number {
  return fmix32((hash + Math.imul(index, GOLDEN_RATIO)) | 0);
}

/** `count` numbers in [0, 1), exact in float32. */
export function uniform(key: string, count: number): Float32Array {
  const hash = fnv1a32(key);
  return Float32Array.from({ length: count }, (_, i) => (streamAt(hash, i) >>> 8) / 2 ** 24);
}

/** `count` integers in [0, limit). */
export function integers(key: string, count: number, limit: number): Uint32Array {
  const hash = fnv1a32(key);
  return Uint32Array.from({ length: count }, (_, i) => streamAt(hash, i) % limit);
}

interface Rule {
  pattern: RegExp;
  /** Number of dimensions it asks for. */
  dims?: (n: number) => boolean;
  base: number;
  /** A fixed amplitude, or sqrt(c / fan_in). */
  amp?: number;
  c?: number;
}

/** The first that fits decides. Those of the Association Encoder and the DETR family come first: none fits a name of RT-DETR. */
const RULES: readonly Rule[] = [
  { pattern: /(^|\.)gate$/, dims: (n) => n === 1, base: 0.5, amp: 0.25 },
  { pattern: /\.rel_pos_bias$/, base: 0, amp: 1 },
  { pattern: /\.channel\.fc2\.weight$/, base: 0, c: 12 },
  { pattern: /\.conv1\.spatial\.weight$/, base: 0, c: 1 },
  { pattern: /\.conv1\.fuse\.weight$/, base: 0, c: 12 },
  { pattern: /^class_embed\.weight$/, base: 0, c: 3 },
  { pattern: /^class_embed\.\d+\.bias$/, base: -2, amp: 1 },
  { pattern: /(query_embed\.weight|level_embed)$/, base: 0, amp: 1 },
  { pattern: /^transformer\.reference_points\.weight$/, base: 0, c: 18 },
  { pattern: /running_mean$/, base: 0, amp: 0.1 },
  { pattern: /running_var$/, base: 1, amp: 0.5 },
  { pattern: /sampling_offsets\.bias$/, base: 0, amp: 8 },
  { pattern: /attention_weights\.bias$/, base: 0, amp: 0.5 },
  { pattern: /score_head(\.\d+)?\.bias$/, base: -2, amp: 1 },
  { pattern: /bbox_head(\.\d+)?\.layers\.2\.weight$/, base: 0, c: 4 },
  { pattern: /(class_embed|tgt_embed)\.weight$/, base: 0, amp: 1 },
  { pattern: /./, dims: (n) => n >= 2, base: 0, c: 3 },
  { pattern: /weight$/, dims: (n) => n === 1, base: 1, amp: 0.5 },
  { pattern: /./, dims: (n) => n === 1, base: 0, amp: 0.1 },
];

/** Tensors that a model computes from its sizes, by the last component of their name. */
export function isComputed(name: string): boolean {
  return /(^|\.)(anchors|valid_mask|num_points_scale|pos_embed\d*)$/.test(name);
}

/** Pairs of regular expression and seed: the first found in a name replaces the seed for it. */
export type SeedOverrides = readonly (readonly [pattern: string, seed: string])[];

/** The seed of one tensor. */
export function seedFor(name: string, seed: string, overrides: SeedOverrides): string {
  return overrides.find(([pattern]) => new RegExp(pattern).test(name))?.[1] ?? seed;
}

/** `base + (2u - 1) * amp` in float64, rounded once; `key` names the stream. */
function fill(out: Float32Array, key: string, base: number, amp: number): Float32Array {
  let at = fnv1a32(key) | 0;
  for (let i = 0; i < out.length; i++) {
    const u = (fmix32(at) >>> 8) / 16777216;
    out[i] = base + (2 * u - 1) * amp;
    at = (at + GOLDEN_RATIO) | 0;
  }
  return out;
}

/**
 * The values of a state dictionary's tensor (any floating-point entry).
 * @throws BackdropError E_VERIFY for a scalar or computed entry, which no rule fills
 */
export function formulaTensor(name: string, shape: readonly number[], seed: string, overrides: SeedOverrides = []): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  if (/num_batches_tracked$/.test(name)) return new Float32Array(size);
  const rule = isComputed(name) ? undefined : RULES.find(({ pattern, dims }) => pattern.test(name) && (dims?.(shape.length) ?? true));
  if (!rule) throw new BackdropError('E_VERIFY', `no formula fills the tensor ${name} of shape [${shape.join(', ')}]`);
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  const amp = rule.amp ?? Math.sqrt(rule.c! / fanIn);
  return fill(new Float32Array(size), `${seedFor(name, seed, overrides)}/${name}`, rule.base, amp);
}

export interface FormulaOptions {
  overrides?: SeedOverrides;
  /** Groups of names that are one tensor: it is filled under the alphabetically first. */
  tied?: readonly (readonly string[])[];
  /** Values that take precedence over the formula, for instance a golden case's own parameters. */
  given?: ReadonlyMap<string, Float32Array>;
}

/** A checkpoint made of formulas: answers every name of the model's parameter table. */
export class FormulaSource implements ParameterSource {
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #seed: string;
  readonly #options: FormulaOptions;
  readonly #first = new Map<string, string>();

  constructor(shapes: ReadonlyMap<string, readonly number[]>, seed: string, options: FormulaOptions = {}) {
    this.#shapes = shapes;
    this.#seed = seed;
    this.#options = options;
    for (const names of options.tied ?? []) {
      const [first] = [...names].sort();
      for (const name of names) this.#first.set(name, first);
    }
  }

  /** @throws BackdropError E_CKPT_ARCH for a name that the table does not have */
  async readFloat32(name: string): Promise<Float32Array> {
    const given = this.#options.given?.get(name);
    if (given) return given;
    const shape = this.#shapes.get(name);
    if (!shape) throw new BackdropError('E_CKPT_ARCH', `the model's table has no tensor ${name}`, { details: { tensor: name } });
    return formulaTensor(this.#first.get(name) ?? name, shape, this.#seed, this.#options.overrides);
  }
}

/** A picture of blocks and noise: bytes [3, height, width]. */
export function formulaImage(key: string, height: number, width: number): Uint8Array {
  const stream = (sub: string) => {
    const hash = fnv1a32(`${key}/${sub}`);
    return (index: number) => streamAt(hash, index) >>> 24;
  };
  const [a64, g64, b16, px] = ['b64', 'g64', 'b16', 'px'].map(stream);
  const out = new Uint8Array(3 * height * width);
  for (let c = 0, i = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const [row, column] = [y >> 6, x >> 6];
        const a = a64((c * 1024 + row) * 1024 + column);
        const g = g64(row * 1024 + column);
        const b = b16((c * 4096 + (y >> 4)) * 4096 + (x >> 4));
        const value = (a >> 1) + 64 + (((b + px(i) - 256) * g) >> 8);
        out[i] = Math.min(Math.max(value, 0), 255);
      }
    }
  }
  return out;
}

/** Bytes to 0..1, as `v / 255` rounded to float32. */
export function bytesToUnit(bytes: ArrayLike<number>): Float32Array {
  return Float32Array.from(bytes, (v) => v / 255);
}

/** Where a tensor of `size` elements is sampled: everywhere, or at `count` scattered places. */
export function samplePositions(size: number, count: number): Uint32Array {
  if (size <= count) return Uint32Array.from({ length: size }, (_, i) => i);
  return Uint32Array.from({ length: count }, (_, j) => (j * 2654435761 + 12345) % size);
}
