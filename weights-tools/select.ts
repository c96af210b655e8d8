/**
 * Which of a file's tensors are the weights. RT-DETR's own rule, which its loader and both Hugging Face converters follow:
 * `ema.module`, else `model`, else `state_dict`, else the dictionary itself; then DistributedDataParallel's `module.` is removed.
 */
import type { TensorSource } from '../src/checkpoints/tensors.ts';
import { mapSource, renaming } from './mapped.ts';
import type { PickleValue } from './pickle-values.ts';
import { isTorchSource } from './torch-source.ts';

export interface Selection {
  /** The weights under their own names. */
  readonly source: TensorSource;
  /** Where they lay: 'ema.module', 'model', 'state_dict', or '' for the whole file. */
  readonly path: string;
  /** How many tensors of the file were left aside (optimizer state, the copy without averaging). */
  readonly leftAside: number;
}

const PLACES = ['ema.module', 'model', 'state_dict'];

/** True if there is a dictionary at `path`: a flat file whose names merely start so (Hugging Face's `model.`) has none. */
function hasDictionary(root: PickleValue, path: string): boolean {
  let value: PickleValue | undefined = root;
  for (const part of path.split('.')) value = value instanceof Map ? value.get(part) : undefined;
  return value instanceof Map;
}

/** Picks the weights out of a training checkpoint; for a file that holds nothing else, all of it. */
export function selectStateDict(source: TensorSource): Selection {
  const names = [...source.tensors.keys()];
  let path = '';
  for (const place of PLACES) {
    const inside = names.filter((name) => name.startsWith(`${place}.`));
    // A safetensors file is flat: only `ema.module.` cannot be the start of a model's own names.
    const present = isTorchSource(source)
      ? hasDictionary(source.root, place)
      : place === 'ema.module' || (inside.length === names.length && place !== 'model');
    if (inside.length > 0 && present) {
      path = place;
      break;
    }
  }
  const prefix = path && `${path}.`;
  const chosen = names.filter((name) => name.startsWith(prefix));
  const wrapped = chosen.length > 0 && chosen.every((name) => name.startsWith(`${prefix}module.`));
  const strip = wrapped ? `${prefix}module.` : prefix;
  if (strip === '') return { source, path, leftAside: 0 };
  const mapping = renaming(chosen.map((name) => [name.slice(strip.length), name]));
  return { source: mapSource(source, mapping), path, leftAside: names.length - chosen.length };
}
