/** What a training step says about numbers that are not finite. */
import { BackdropError } from '../errors.ts';
import { LOSSES, type TracedStep } from './trace.ts';

function trainError(step: number, what: string, details: Record<string, unknown>): BackdropError {
  return new BackdropError('E_TRAIN_NAN', `In step ${step} ${what} had a number that is not finite; no parameter has changed.`, {
    hint: 'Check the images and boxes, lower the learning rate, or clip the gradient at a smaller norm.',
    details: { step, ...details },
  });
}

const LOSS_KINDS = ['classification', 'box', 'GIoU'];

/** E_TRAIN_NAN for a tensor of the arenas: the losses, a gradient, a statistic, or the gradient's norm. */
export function nonFiniteTensor(traced: TracedStep, step: number, { tensor, index }: { tensor: string; index: number }): BackdropError {
  const { trained, statistics, sets } = traced;
  const holds = ({ kernelKeys }: { kernelKeys: readonly string[] }) => kernelKeys.includes(tensor);
  const parameter = trained.find(holds)?.name;
  if (parameter) return trainError(step, `the gradient of ${parameter}`, { tensor: parameter, index });
  const statistic = statistics.find(holds)?.name;
  if (statistic) return trainError(step, statistic, { tensor: statistic, index });
  if (tensor !== LOSSES) return trainError(step, `the ${tensor}`, { tensor });
  const { suffix } = sets[Math.floor(index / LOSS_KINDS.length) % sets.length];
  const kind = LOSS_KINDS[index % LOSS_KINDS.length];
  return trainError(step, `the ${kind} loss of outputs ${suffix || 'of the last layer'}`, { tensor: `${tensor}${suffix}`, index });
}

/** @throws BackdropError E_TRAIN_NAN when a matching cost is not finite, naming the outputs it comes from */
export function checkCosts(traced: TracedStep, step: number, costs: Float32Array): void {
  const bad = costs.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
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
