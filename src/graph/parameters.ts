/** Parameters on the GPU: built once from checkpoint tensors, packed into few buffers, shared by all Programs of a model. */
import type { Gpu } from '../gpu/device.ts';
import type { ParameterSpec } from './graph.ts';
import { ALIGNMENT } from './plan.ts';

export interface ParameterSource {
  /** Row-major float32 values of a checkpoint tensor. */
  readFloat32(name: string): Promise<Float32Array>;
}

export interface ParameterLocation {
  buffer: GPUBuffer;
  offset: number;
  bytes: number;
}

const CHUNK_BYTES = 32 * 2 ** 20;

/** Room that a parameter takes. */
export function parameterBytes({ shape, replicated }: ParameterSpec): number {
  const size = shape.reduce((a, b) => a * b, replicated ? 4 : 1);
  return Math.ceil((size * 4) / ALIGNMENT) * ALIGNMENT;
}

export class ParameterStore {
  readonly #gpu: Gpu;
  readonly #source: ParameterSource;
  readonly #locations = new Map<string, ParameterLocation>();
  readonly #buffers: GPUBuffer[] = [];
  #free = { buffer: null as GPUBuffer | null, offset: 0 };
  bytes = 0;

  constructor(gpu: Gpu, source: ParameterSource) {
    this.#gpu = gpu;
    this.#source = source;
  }

  /** Gives a parameter a place in memory of the caller's, who fills it. */
  place(key: string, location: ParameterLocation): void {
    this.#locations.set(key, location);
  }

  location(key: string): ParameterLocation {
    return this.#locations.get(key)!;
  }

  /** Uploads those of `specs` that are not there yet, one checkpoint tensor at a time. */
  async load(specs: readonly ParameterSpec[], onProgress?: (progress: { loaded: number; total: number }) => void): Promise<void> {
    const missing = specs.filter((spec) => !this.#locations.has(spec.key));
    let loaded = 0;
    let left = missing.reduce((sum, spec) => sum + parameterBytes(spec), 0);
    for (const spec of missing) {
      const sources = new Map<string, Float32Array>();
      for (const name of spec.sources) if (!sources.has(name)) sources.set(name, await this.#source.readFloat32(name));
      const data = spec.build((name) => sources.get(name)!);
      this.#upload(spec, data, left);
      left -= parameterBytes(spec);
      loaded += 1;
      onProgress?.({ loaded, total: missing.length });
    }
    this.#gpu.check();
  }

  /** @param left bytes of the parameters that are still to come, with this one */
  #upload(spec: ParameterSpec, data: Float32Array | Uint32Array, left: number): void {
    const bytes = parameterBytes(spec);
    if (!this.#free.buffer || this.#free.offset + bytes > this.#free.buffer.size) {
      const buffer = this.#gpu.createBuffer(
        'parameters',
        Math.max(Math.min(CHUNK_BYTES, left), bytes),
        0x80 | 0x4 | 0x8 /* STORAGE | COPY_SRC | COPY_DST */,
      );
      this.#buffers.push(buffer);
      this.#free = { buffer, offset: 0 };
    }
    const { buffer, offset } = this.#free as { buffer: GPUBuffer; offset: number };
    this.#gpu.device.queue.writeBuffer(buffer, offset, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    this.#locations.set(spec.key, { buffer, offset, bytes: data.byteLength });
    this.#free.offset += bytes;
    this.bytes += data.byteLength;
  }

  destroy(): void {
    for (const buffer of this.#buffers.splice(0)) this.#gpu.destroyBuffer(buffer);
    this.#locations.clear();
    this.#free = { buffer: null, offset: 0 };
  }
}
