/** One framework in the comparison. */
import type { OpCase } from '../../src/bench/cases.ts';

export type Data = Record<string, Float32Array>;

/** A case on a subject's device, data uploaded. */
export interface Prepared {
  /** Starts `times` runs and waits for the device; nothing is read back. */
  run(times: number): Promise<void>;
  /** The result in the case's own order (maps as [height, width, channels]). */
  result(): Promise<Float32Array>;
  destroy(): void | Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** Null where the subject has no such operation. */
  prepare(op: OpCase, data: Data): Promise<Prepared | null>;
}

/** The RT-DETR forward on a subject: image [3, size, size] in, logits and boxes out. */
export interface PreparedModel {
  run(): Promise<void>;
  result(): Promise<{ logits: Float32Array; boxes: Float32Array }>;
  /** Kernel launches of one forward, where the subject tells. */
  readonly dispatches?: number;
}
