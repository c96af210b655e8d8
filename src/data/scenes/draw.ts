/** Random choices in sequence from one counter-based stream. */
import { RandomStream } from '../../random.ts';

/** Keeps scenes' numbers apart from those of training and augmentation under the same seed. */
const domain = 0x5ce1;

export class Draws {
  readonly #stream: RandomStream;
  #next = 0;

  constructor(seed: number, index: number, stream: number) {
    this.#stream = new RandomStream(seed, index, stream, domain);
  }

  /** In [0, 1). */
  unit(): number {
    return this.#stream.uniform(this.#next++);
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** 0 to n - 1. */
  integer(n: number): number {
    return this.#stream.integer(this.#next++, n);
  }

  /** 32 random bits: the seed of a noise. */
  bits(): number {
    return this.#stream.bits(this.#next++) | 0;
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!;
  }

  /** A position, with probability proportional to its weight. */
  weighted(weights: readonly number[]): number {
    let left = this.unit() * weights.reduce((sum, weight) => sum + weight, 0);
    for (let i = 0; i < weights.length; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return weights.length - 1;
  }
}
