/** Losses of pre-training on regions (`regionLabels`). */
import type { Tensor } from '../graph/graph.ts';
import { bceWithLogits, crossEntropy } from '../ops/losses.ts';
import { reduceAll } from '../ops/reduce.ts';

/** presence: binary cross-entropy of each class; share, dominant: cross-entropy with the classes' shares, or with one class. */
export type RegionLoss = 'presence' | 'share' | 'dominant';

/**
 * The mean over the images (for presence, over images and classes): [1]. Logits and targets [batch, classes]; a target is 1 for each
 * class present, the classes' shares, or 1 for the dominant class alone.
 */
export function regionLoss(logits: Tensor, targets: Tensor, mode: RegionLoss): Tensor {
  if (mode === 'presence') return reduceAll(bceWithLogits(logits, targets), 'mean');
  // Shares add up to 1 an image, so that their sum counts the images, as one-hot rows do.
  return crossEntropy(logits, targets);
}
