/** What is known of torch.save's files without reading them: their first bytes, and what an opened one offers. */
import type { TensorSource } from '../src/checkpoints/tensors.ts';
import type { PickleValue, TensorRecord } from './pickle-values.ts';

/** The first bytes of the legacy format: the pickled integer 0x1950a86a20f9469cfc6c. */
export const LEGACY_MAGIC: readonly number[] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/** A torch file: besides its tensors (named by their path, joined with dots), the structure around them. */
export interface TorchSource extends TensorSource {
  readonly root: PickleValue;
  /** The tensors found below `value`, by path relative to it: what select.ts chooses from. */
  readonly records: ReadonlyMap<string, TensorRecord>;
}

export function isTorchSource(source: TensorSource): source is TorchSource {
  return 'root' in source && 'records' in source;
}
