/** Random numbers of the input pipeline: a function of seed, epoch and what they are for, whatever was drawn before. */
import { RandomStream } from '../../random.ts';

/** Domains of ../../random.ts; 0 is the training step's. */
const IMAGE = 1;
const ORDER = 2;
const SIZE = 3;
/** A multiple of DOMAINS: no image's. */
const SPLIT = 4;
/** Bits of a domain's number; above them stand the upper bits of an image's id. */
const DOMAINS = 4;

/** Each transform draws from numbers of its own, so that one turned off leaves the others' draws as they are. */
const transforms = { photometricDistort: 0, zoomOut: 1, iouCrop: 2, horizontalFlip: 3 };
const PER_TRANSFORM = 2 ** 20;

/** Numbers one after the other. */
export class Draws {
  readonly #stream: RandomStream;
  #next: number;

  constructor(stream: RandomStream, start = 0) {
    this.#stream = stream;
    this.#next = start;
  }

  /** In [0, 1). */
  uniform(): number {
    return this.#stream.uniform(this.#next++);
  }

  /** In [low, high), or low where they are equal. */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** 0 to n - 1. */
  integer(n: number): number {
    return this.#stream.integer(this.#next++, n);
  }

  /** The numbers 0 to n - 1 in random order (Fisher and Yates). */
  permutation(n: number): number[] {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

/** What a transform draws for an image in an epoch. Ids are whole numbers up to 2^53 - 1. */
export function imageDraws(seed: number, epoch: number, imageId: number, transform: keyof typeof transforms): Draws {
  const domain = IMAGE + DOMAINS * Math.floor(imageId / 2 ** 32);
  return new Draws(new RandomStream(seed, epoch, imageId, domain), transforms[transform] * PER_TRANSFORM);
}

/** What an epoch's order of images is drawn from. */
export const orderDraws = (seed: number, epoch: number): Draws => new Draws(new RandomStream(seed, epoch, 0, ORDER));

/** What the size of a batch is drawn from. */
export const sizeDraws = (seed: number, epoch: number, batch: number): Draws => new Draws(new RandomStream(seed, epoch, batch, SIZE));

/** Which images go to which split. */
export const splitDraws = (seed: number): Draws => new Draws(new RandomStream(seed, 0, 0, SPLIT));
