/** What a training step says about numbers that are not finite. */
import { BackdropError } from '../errors.ts';
import type { KernelTensors } from '../nn/training.ts';
import type { Arena } from './arena.ts';
import type { NonFinite } from './optimizer.ts';
import type { TracedStep } from './trace.ts';
import { LOSSES, type TrainedGraph } from './trained-graph.ts';

function trainError(step: number, what: string, details: Record<string, unknown>): BackdropError {
  return new BackdropError('E_TRAIN_NAN', `In step ${step} ${what} had a number that is not finite; no parameter has changed.`, {
    hint: 'Check the images and boxes, lower the learning rate, or clip the gradient at a smaller norm.',
    details: { step, ...details },
  });
}

/**
 * E_TRAIN_NAN for what the optimizer has found: a parameter, a gradient or a statistic's next value by PyTorch's name, or the losses.
 * @param lossAt what the loss at an index is called, where there are several
 */
export function nonFiniteTensor(
  { trained, statistics }: TrainedGraph,
  step: number,
  found: NonFinite,
  lossAt?: (index: number) => { what: string; tensor: string },
): BackdropError {
  if (found.in === 'norm') return trainError(step, "the gradient's norm", { tensor: 'gradient norm' });
  const { tensor, index } = found;
  const holds = ({ kernelKeys }: KernelTensors) => kernelKeys.includes(tensor);
  const parameter = trained.find(holds)?.name;
  const name = parameter ?? statistics.find(holds)?.name;
  if (name)
    return trainError(step, parameter && found.in === 'gradient' ? `the gradient of ${name}` : name, { tensor: name, in: found.in, index });
  const { what, tensor: loss } = lossAt?.(index) ?? { what: 'the loss', tensor };
  return trainError(step, what, { tensor: loss, index });
}

const LOSS_KINDS = ['classification', 'box', 'GIoU'];

/** Names of a criterion's losses [batch, sets, 3]. */
export function criterionLoss({ sets }: TracedStep, index: number): { what: string; tensor: string } {
  const { suffix } = sets[Math.floor(index / LOSS_KINDS.length) % sets.length];
  const kind = LOSS_KINDS[index % LOSS_KINDS.length];
  return { what: `the ${kind} loss of outputs ${suffix || 'of the last layer'}`, tensor: `${LOSSES}${suffix}` };
}

/**
 * Looks at the matching costs, before they are used.
 * @throws BackdropError E_TRAIN_NAN naming the parameter that is not finite, else the outputs that a cost comes from
 */
export async function checkCosts(traced: TracedStep, step: number, costs: Float32Array, parameters: Arena): Promise<void> {
  const bad = costs.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const values = await parameters.read();
  for (const { name, kernelKeys } of [...traced.trained, ...traced.statistics]) {
    for (const key of kernelKeys) {
      const index = values.get(key)!.findIndex((value) => !Number.isFinite(value));
      if (index >= 0) throw trainError(step, name, { tensor: name, in: 'parameter', index });
    }
  }
  const matched = traced.sets.filter(({ denoising }) => !denoising);
  const rows = matched.flatMap(({ suffix, boxes }) => Array.from({ length: boxes.rows }, () => suffix));
  const suffix = rows[Math.floor(bad / traced.criterion.maxTargets) % rows.length];
  throw trainError(step, `outputs ${suffix || 'of the last layer'}`, { tensor: `outputs${suffix}` });
}

/** A picture with a number that is not finite would go unseen: a kernel's maximum may drop it. @throws BackdropError E_INPUT */
export function checkImages(batches: readonly { readonly image: Float32Array }[]): void {
  batches.forEach(({ image }, batch) => {
    // The sum of zero times each number is zero unless one is not finite.
    let sum = 0;
    for (let i = 0; i < image.length; i++) sum += 0 * image[i];
    if (sum === 0) return;
    const index = image.findIndex((value) => !Number.isFinite(value));
    throw new BackdropError('E_INPUT', `Number ${index} of the images is ${image[index]}.`, {
      hint: 'Images are RGB in 0..1.',
      details: { batch, index },
    });
  });
}
