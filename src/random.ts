/**
 * Counter-based random numbers: Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A number
 * is a function of seed, step, stream and index, so a training step depends on nothing that ran before it, and a resumed run
 * draws what the uninterrupted one would have. shaders/optimizer/philox.wgsl gives the same bits. Training, data and scenes draw
 * from it, each in domains of its own.
 */

const [M0, M1] = [0xd2511f53, 0xcd9e8d57];
const [W0, W1] = [0x9e3779b9, 0xbb67ae85];

/** The upper 32 bits of the product of two 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0;
}

/** Ten rounds over a counter of four words under a key of two: four random words into `out`. */
export function philox(counter: readonly [number, number, number, number], key: readonly [number, number], out: Uint32Array): void {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0, high1, low1] = [mulHigh(M0, a), Math.imul(M0, a), mulHigh(M1, c), Math.imul(M1, c)];
    [a, b, c, d] = [(high1 ^ b ^ k0) >>> 0, low1 >>> 0, (high0 ^ d ^ k1) >>> 0, low0 >>> 0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

/** The numbers of one seed, step, stream and domain, in any order. Seeds are whole numbers from 0 to 2^53 - 1. */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #domain: number;
  readonly #step: number;
  readonly #stream: number;
  readonly #words = new Uint32Array(4);
  #quad = -1;

  /** A domain keeps one use of the numbers apart from another; 0 is a training step's noise. */
  constructor(seed: number, step: number, stream: number, domain = 0) {
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.#step = step >>> 0;
    this.#stream = stream >>> 0;
    this.#domain = domain >>> 0;
  }

  /** 32 random bits. Index i is word i mod 4 of counter (i div 4, domain, step, stream). */
  bits(index: number): number {
    const quad = Math.floor(index / 4);
    if (quad !== this.#quad) {
      philox([quad >>> 0, this.#domain, this.#step, this.#stream], this.#key, this.#words);
      this.#quad = quad;
    }
    return this.#words[index % 4];
  }

  /** In [0, 1), a multiple of 2^-24: exact in float32. */
  uniform(index: number): number {
    return (this.bits(index) >>> 8) / 2 ** 24;
  }

  /** 0 to n - 1, by the upper half of the 64-bit product. */
  integer(index: number, n: number): number {
    return mulHigh(this.bits(index), n);
  }
}
