/** One framework in the comparison. */
import type { OpCase } from '../../src/bench/cases.ts';
import type { Convnet } from '../../src/bench/convnet.ts';

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
  /** Where the subject can train. */
  prepareTraining?(net: Convnet): Promise<PreparedTraining>;
}

/** A network with its optimizer on a subject's device, data uploaded. */
export interface PreparedTraining {
  readonly device: GPUDevice;
  /** Takes a step and reads its loss back. */
  step(): Promise<number>;
}

export interface ModelOutputs {
  logits: Float32Array;
  boxes: Float32Array;
  /** Best class logit of every token. */
  scores: Float32Array;
}

/** The RT-DETR forward on a subject. */
export interface PreparedModel {
  run(): Promise<void>;
  result(): Promise<ModelOutputs>;
}
