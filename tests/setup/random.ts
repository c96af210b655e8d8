/** Seeded random numbers, the same on every machine. */
export interface Random {
  /** In [0, 1). */
  uniform(): number;
  /** Mean 0, variance 1. */
  normal(): number;
  /** 0 to n - 1. */
  integer(n: number): number;
  /** float32 values of a normal distribution. */
  array(size: number, scale?: number, offset?: number): Float32Array;
  /** u32 values 0 to n - 1. */
  indices(size: number, n: number): Uint32Array;
}

/** mulberry32 */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const integer = (n: number): number => Math.floor(uniform() * n);
  return {
    uniform,
    normal,
    integer,
    array: (size, scale = 1, offset = 0) => Float32Array.from({ length: size }, () => normal() * scale + offset),
    indices: (size, n) => Uint32Array.from({ length: size }, () => integer(n)),
  };
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
