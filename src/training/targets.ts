/** What a training step is told about an image. */
import { BackdropError } from '../errors.ts';

export interface Targets {
  /** cx, cy, w, h of each object, in units of the image's sides. */
  readonly boxes: ArrayLike<number>;
  /** 0 to classes - 1, one an object. */
  readonly labels: ArrayLike<number>;
}

export interface TargetLimits {
  classes: number;
  /** Objects of an image that the recorded step has room for. */
  maxTargets: number;
}

/**
 * Refuses what would train a model on nonsense or does not fit. Boxes that reach beyond the image are taken as they are, as
 * PyTorch's loss does; the readers of data sets clip them.
 * @throws BackdropError E_INPUT, with `image` and `target` in its details
 */
export function checkTargets(batch: readonly Targets[], { classes, maxTargets }: TargetLimits): void {
  batch.forEach(({ boxes, labels }, image) => {
    const fail = (target: number, found: string, hint: string): never => {
      throw new BackdropError('E_INPUT', `Target ${target} of image ${image} ${found}.`, { hint, details: { image, target } });
    };
    if (boxes.length !== 4 * labels.length) {
      throw new BackdropError(
        'E_INPUT',
        `Image ${image} has ${boxes.length} box numbers for ${labels.length} labels; a box is 4 numbers.`,
        {
          details: { image },
        },
      );
    }
    if (labels.length > maxTargets) {
      throw new BackdropError('E_INPUT', `Image ${image} has ${labels.length} targets; this training step holds ${maxTargets}.`, {
        hint: 'Build the training step with a larger maxTargets.',
        details: { image, targets: labels.length, maxTargets },
      });
    }
    for (let t = 0; t < labels.length; t++) {
      const label = labels[t];
      if (!Number.isInteger(label) || label < 0 || label >= classes)
        fail(t, `has label ${label}; labels are 0 to ${classes - 1}`, 'Give the model as many classes as the data set has.');
      const box = [0, 1, 2, 3].map((k) => boxes[4 * t + k]);
      if (!box.every(Number.isFinite)) fail(t, `has the box [${box.join(', ')}]`, 'Box numbers must be finite.');
      if (!(box[2] > 0 && box[3] > 0)) fail(t, `has a box without area, [${box.join(', ')}]`, 'Drop boxes of zero width or height.');
    }
  });
}

/** Most objects of any image. */
export const mostTargets = (batch: readonly Targets[]): number => batch.reduce((most, { labels }) => Math.max(most, labels.length), 0);

/** Objects of all images. */
export const countTargets = (batch: readonly Targets[]): number => batch.reduce((sum, { labels }) => sum + labels.length, 0);
