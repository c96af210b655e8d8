/** What a training run consists of beside its data: enough to continue it bit for bit. */
import { BackdropError } from '../errors.ts';
import type { KernelTensors } from '../nn/training.ts';
import type { Arena } from './arena.ts';

/** Arrays in PyTorch's layout, by PyTorch's names. */
export type NamedArrays = Record<string, Float32Array<ArrayBuffer>>;

export interface TrainingState {
  /** Steps begun: the number of the next one. */
  steps: number;
  /** Steps taken; those with a number that was not finite are not. */
  updates: number;
  /** Trained parameters and the batch norms' running statistics. */
  parameters: NamedArrays;
  /** Adam's moments of the trained parameters. */
  firstMoments: NamedArrays;
  secondMoments: NamedArrays;
  /** The moving average of `parameters`; null where none is kept. */
  average: NamedArrays | null;
}

/** An arena's arrays of the given tensors. */
export async function readArrays(arena: Arena, tensors: readonly KernelTensors[]): Promise<NamedArrays> {
  const all = await arena.read();
  return Object.fromEntries(
    tensors.map((tensor) => [tensor.name, tensor.toPyTorch(tensor.kernelKeys.map((key) => all.get(key)!))]),
  ) as NamedArrays;
}

/** @throws BackdropError E_CKPT_ARCH when an array is missing, E_CKPT_SHAPE when it has another size; nothing is written then */
export function checkArrays(what: string, arrays: NamedArrays, tensors: readonly KernelTensors[]): void {
  for (const { name, shape } of tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    const found = arrays[name];
    if (!found) throw new BackdropError('E_CKPT_ARCH', `The training state has no ${what} of ${name}.`, { details: { tensor: name } });
    if (found.length === size) continue;
    throw new BackdropError('E_CKPT_SHAPE', `The training state's ${what} of ${name} has ${found.length} numbers, expected ${size}.`, {
      details: { tensor: name, found: found.length, expected: size },
    });
  }
}

export function writeArrays(arena: Arena, arrays: NamedArrays, tensors: readonly KernelTensors[]): void {
  for (const tensor of tensors) {
    tensor.fromPyTorch(arrays[tensor.name]).forEach((part, i) => {
      arena.write(tensor.kernelKeys[i], part);
    });
  }
}
