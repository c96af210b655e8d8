/**
 * Arenas: parameters side by side in few buffers, and gradients, Adam's moments and the moving average in buffers of the same
 * layout, so that the optimizer goes over all of them in a handful of launches.
 */
import { BackdropError } from '../errors.ts';
import { type Gpu, limitError } from '../gpu/device.ts';
import type { ParameterLocation } from '../graph/parameters.ts';

/**
 * trained: AdamW changes it. statistics: the batch's own value stands where a gradient would. watched: it has only a gradient's place,
 * for numbers (the losses) that must be finite if a step is to be taken.
 */
export type ArenaKind = 'trained' | 'statistics' | 'watched';

export interface ArenaTensor {
  readonly name: string;
  /** Elements. */
  readonly size: number;
  readonly kind: ArenaKind;
  /** Optimizer group of a trained tensor. */
  readonly group?: number;
}

/** Elements; 256 bytes, so that every tensor can be bound on its own. */
const ALIGNMENT = 64;

interface Place {
  segment: number;
  /** In elements, within the segment. */
  offset: number;
  size: number;
}

/** A run of tensors that the optimizer treats alike. */
export interface ArenaSpan {
  readonly kind: ArenaKind;
  readonly group: number;
  /** Past its last element, counting through all segments. */
  end: number;
}

/** Where each tensor lies. Watched tensors come first, then the groups in order, then statistics. */
export class ArenaLayout {
  readonly spans: readonly ArenaSpan[];
  /** Elements of each segment; a segment is a buffer of its own. */
  readonly segments: readonly number[];
  readonly #places = new Map<string, Place>();
  readonly #order: { name: string; start: number; size: number }[] = [];

  /**
   * @param maxBytes most bytes of a segment: the device's binding limit
   * @throws BackdropError E_GPU_LIMIT when a tensor alone is larger, E_INPUT for a name that comes twice
   */
  constructor(tensors: readonly ArenaTensor[], maxBytes: number) {
    const rank = ({ kind, group = 0 }: ArenaTensor): number => (kind === 'watched' ? -1 : kind === 'statistics' ? Infinity : group);
    const sorted = [...tensors].sort((a, b) => rank(a) - rank(b) || 0);
    const segments: number[] = [0];
    const spans: ArenaSpan[] = [];
    let total = 0;
    for (const tensor of sorted) {
      const { name, size, kind, group = 0 } = tensor;
      if (this.#places.has(name)) throw new BackdropError('E_INPUT', `${name} comes twice among the trained tensors.`);
      const room = Math.ceil(size / ALIGNMENT) * ALIGNMENT;
      if (room * 4 > maxBytes) throw limitError('maxStorageBufferBindingSize', room * 4, maxBytes, name);
      if ((segments[segments.length - 1] + room) * 4 > maxBytes) segments.push(0);
      const segment = segments.length - 1;
      this.#places.set(name, { segment, offset: segments[segment], size });
      this.#order.push({ name, start: total, size });
      segments[segment] += room;
      total += room;
      const last = spans[spans.length - 1];
      if (last && last.kind === kind && last.group === group) last.end = total;
      else spans.push({ kind, group, end: total });
    }
    this.segments = segments;
    this.spans = spans;
  }

  get names(): string[] {
    return this.#order.map(({ name }) => name);
  }

  place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) throw new BackdropError('E_INPUT', `There is no trained tensor ${name}.`);
    return place;
  }

  /** The tensor that has an element, by the element's number through all segments. */
  tensorAt(element: number): { name: string; index: number } {
    const found = this.#order.findLast(({ start }) => start <= element)!;
    return { name: found.name, index: element - found.start };
  }
}

/** One copy of the arenas on the GPU. All zeros at first. */
export class Arena {
  readonly layout: ArenaLayout;
  readonly buffers: readonly GPUBuffer[];
  readonly #gpu: Gpu;

  constructor(gpu: Gpu, layout: ArenaLayout, label: string) {
    this.#gpu = gpu;
    this.layout = layout;
    this.buffers = layout.segments.map((size, i) => gpu.createBuffer(`${label} ${i}`, Math.max(size, ALIGNMENT) * 4, 0x80 | 0x4 | 0x8));
  }

  location(name: string): ParameterLocation {
    const { segment, offset, size } = this.layout.place(name);
    return { buffer: this.buffers[segment], offset: offset * 4, bytes: size * 4 };
  }

  /** @throws BackdropError E_SHAPE */
  write(name: string, values: Float32Array): void {
    const { buffer, offset, bytes } = this.location(name);
    if (values.byteLength !== bytes) throw new BackdropError('E_SHAPE', `${name} has ${bytes / 4} elements, not ${values.length}.`);
    this.#gpu.device.queue.writeBuffer(buffer, offset, values.buffer as ArrayBuffer, values.byteOffset, bytes);
  }

  /** Every tensor, in one read-back. */
  async read(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const { device, counters } = this.#gpu;
    const starts = this.buffers.map((_, i) => this.buffers.slice(0, i).reduce((sum, b) => sum + b.size, 0));
    const bytes = this.buffers.reduce((sum, b) => sum + b.size, 0);
    const staging = this.#gpu.createBuffer('arena read-back', bytes, 0x1 | 0x8 /* MAP_READ | COPY_DST */);
    try {
      const encoder = device.createCommandEncoder();
      this.buffers.forEach((buffer, i) => {
        encoder.copyBufferToBuffer(buffer, 0, staging, starts[i], buffer.size);
      });
      counters.submits += 1;
      counters.readbacks += 1;
      device.queue.submit([encoder.finish()]);
      await this.#gpu.guard(staging.mapAsync(1));
      const all = new Float32Array(staging.getMappedRange());
      return new Map(
        this.layout.names.map((name) => {
          const { segment, offset, size } = this.layout.place(name);
          const from = starts[segment] / 4 + offset;
          return [name, all.slice(from, from + size)];
        }),
      );
    } finally {
      this.#gpu.destroyBuffer(staging);
    }
  }

  destroy(): void {
    for (const buffer of this.buffers) this.#gpu.destroyBuffer(buffer);
  }
}
