/**
 * Value noise on a lattice of hashed integers. Only integer products, sums and divisions by powers of two: the same bits in every
 * engine, which Math.sin and Math.pow do not promise.
 */

/** 0 to 1 (excluded) for a lattice point. The finaliser of MurmurHash3 (A. Appleby) mixes the bits. */
export function hash(x: number, y: number, seed: number): number {
  let h = Math.imul(x, 0x27d4eb2d) ^ Math.imul(y, 0x165667b1) ^ seed;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

export const mix = (a: number, b: number, t: number): number => a + (b - a) * t;
export const clamp = (x: number, low: number, high: number): number => (x < low ? low : x > high ? high : x);

/** 0 below `low`, 1 above `high`, smooth between; the other way round where low > high. */
export function smoothstep(low: number, high: number, x: number): number {
  const t = clamp((x - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

/** 0 to 1, one hill or hollow a unit. */
export function noise(x: number, y: number, seed: number): number {
  return fractal(x, y, seed, 1);
}

/** 0 to 1: octaves of noise, each half as strong and twice as fine (fractal Brownian motion). */
export function fractal(x: number, y: number, seed: number, octaves: number): number {
  let sum = 0;
  let weight = 0;
  let strength = 1;
  for (let octave = 0; octave < octaves; octave++) {
    const x0 = Math.floor(x);
    const y0 = Math.floor(y);
    const fx = x - x0;
    const fy = y - y0;
    const tx = fx * fx * (3 - 2 * fx);
    const ty = fy * fy * (3 - 2 * fy);
    const a = hash(x0, y0, seed + octave);
    const b = hash(x0 + 1, y0, seed + octave);
    const c = hash(x0, y0 + 1, seed + octave);
    const d = hash(x0 + 1, y0 + 1, seed + octave);
    const top = a + (b - a) * tx;
    sum += (top + (c + (d - c) * tx - top) * ty) * strength;
    weight += strength;
    strength /= 2;
    x = x * 2 + 17;
    y = y * 2 - 31;
  }
  return sum / weight;
}
