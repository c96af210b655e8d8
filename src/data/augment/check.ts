/** Refuses augmentations that cannot be meant, or would take for ever. */
import { BackdropError } from '../../errors.ts';
import type { AugmentationConfig } from './augment.ts';

const isIn = (v: number, low: number, high: number): boolean => v >= low && v <= high;
const isRange = ([a, b]: readonly [number, number], low: number, high: number): boolean => isIn(a, low, high) && isIn(b, a, high);

/** @throws BackdropError E_INPUT, with `field` in its details */
export function checkAugmentation({ photometricDistort, zoomOut, iouCrop, horizontalFlip, stopEpoch }: AugmentationConfig): void {
  const need = (good: boolean, field: string, value: unknown, expected: string): void => {
    if (good) return;
    throw new BackdropError('E_INPUT', `The augmentation's ${field} is ${JSON.stringify(value)}.`, {
      hint: `It is ${expected}.`,
      details: { field },
    });
  };
  const probability = (field: string, value: number) => need(isIn(value, 0, 1), field, value, 'a probability, 0 to 1');
  const range = (field: string, value: readonly [number, number], low: number, high: number) =>
    need(isRange(value, low, high), field, value, `the lower and the upper end of a range, both from ${low} to ${high}`);

  if (photometricDistort) {
    probability('photometricDistort.probability', photometricDistort.probability);
    for (const name of ['brightness', 'contrast', 'saturation'] as const)
      range(`photometricDistort.${name}`, photometricDistort[name], 0, 100);
    range('photometricDistort.hue', photometricDistort.hue, -0.5, 0.5);
  }
  if (zoomOut) {
    probability('zoomOut.probability', zoomOut.probability);
    range('zoomOut.side', zoomOut.side, 1, 100);
  }
  if (iouCrop) {
    const { leastIou, trials } = iouCrop;
    probability('iouCrop.probability', iouCrop.probability);
    range('iouCrop.scale', iouCrop.scale, 0.01, 1);
    range('iouCrop.aspect', iouCrop.aspect, 0.01, 100);
    need(
      leastIou.length > 0 && leastIou.every((v) => isIn(v, 0, 1)),
      'iouCrop.leastIou',
      leastIou,
      'a list of numbers from 0 to 1, at least one',
    );
    need(Number.isInteger(trials) && isIn(trials, 1, 1000), 'iouCrop.trials', trials, 'a whole number from 1 to 1000');
  }
  probability('horizontalFlip', horizontalFlip);
  need(stopEpoch === null || (Number.isInteger(stopEpoch) && stopEpoch >= 0), 'stopEpoch', stopEpoch, 'an epoch counted from 0, or null');
}
