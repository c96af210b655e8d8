/** Copies of several buffers' parts, read in one mapping. */
import type { Gpu } from '../gpu/device.ts';
import type { ParameterLocation } from '../graph/parameters.ts';

export class ReadBack {
  readonly #gpu: Gpu;
  readonly #parts: readonly { from: ParameterLocation; to: number }[];
  readonly #staging: GPUBuffer;

  constructor(gpu: Gpu, sources: readonly ParameterLocation[]) {
    this.#gpu = gpu;
    let at = 0;
    this.#parts = sources.map((from) => {
      const to = at;
      at += Math.ceil(from.bytes / 256) * 256;
      return { from, to };
    });
    this.#staging = gpu.createBuffer('training read-back', at, 0x1 | 0x8 /* MAP_READ | COPY_DST */);
  }

  /** Submits what `encoder` holds and copies the sources behind it: their words, in the order given. */
  async submit(encoder: GPUCommandEncoder): Promise<Uint32Array<ArrayBuffer>[]> {
    const { device, counters } = this.#gpu;
    for (const { from, to } of this.#parts) encoder.copyBufferToBuffer(from.buffer, from.offset, this.#staging, to, from.bytes);
    counters.submits += 1;
    counters.readbacks += 1;
    device.queue.submit([encoder.finish()]);
    await this.#gpu.guard(this.#staging.mapAsync(1 /* GPUMapMode.READ */));
    const all = this.#staging.getMappedRange().slice(0);
    this.#staging.unmap();
    return this.#parts.map(({ from, to }) => new Uint32Array(all, to, from.bytes / 4));
  }

  destroy(): void {
    this.#gpu.destroyBuffer(this.#staging);
  }
}

export const floats = ({ buffer, byteOffset, length }: Uint32Array<ArrayBuffer>): Float32Array<ArrayBuffer> =>
  new Float32Array(buffer, byteOffset, length);
