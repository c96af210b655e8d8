/** Losses and the matcher's costs, built of pointwise rows and reductions whose order is fixed. */
import type { Tensor } from '../graph/graph.ts';
import { boxesToCorners, pairOverlap, tableDistance, tableOverlap } from './boxes.ts';
import { gatherRows } from './gather.ts';
import { logSoftmax } from './norm.ts';
import { add, div, mul, pointwise, rows, scale } from './pointwise.ts';
import { reduceAll } from './reduce.ts';
import { permute } from './reshape.ts';

/** Binary cross-entropy of logits with targets in 0..1, element by element. */
export const bceWithLogits = (logits: Tensor, targets: Tensor): Tensor => pointwise(rows.bceWithLogits, [logits, targets]);

/** Focal loss, element by element. */
export function sigmoidFocalLoss(logits: Tensor, targets: Tensor, { alpha, gamma }: { alpha: number; gamma: number }): Tensor {
  return pointwise(rows.sigmoidFocal, [logits, targets], [alpha, gamma]);
}

/** Varifocal loss, element by element: `scores` holds the IoU at the matched class and 0 elsewhere, `labels` 1 and 0. */
export function varifocalLoss(logits: Tensor, scores: Tensor, labels: Tensor, { alpha, gamma }: { alpha: number; gamma: number }): Tensor {
  return pointwise(rows.varifocal, [logits, logits.detach(), scores, labels], [alpha, gamma]);
}

/** Sum of |a - b|: [1]. */
export const l1Loss = (a: Tensor, b: Tensor): Tensor => reduceAll(pointwise(rows.distance, [a, b]), 'sum');

/** 1 - GIoU of boxes cx, cy, w, h [batch, n, 4], pair by pair: [batch, n, 1]. @throws BackdropError E_SHAPE */
export function giouLoss(a: Tensor, b: Tensor): Tensor {
  return scale(pairOverlap(boxesToCorners(a), boxesToCorners(b)).giou, -1, 1);
}

/**
 * Cross-entropy of logits [rows, classes] with target distributions [rows, classes], summed and divided by the sum of the
 * targets: with one-hot rows times a class weight it is torch's weighted mean.
 */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const total = reduceAll(mul(logSoftmax(logits), targets), 'sum');
  return scale(div(total, reduceAll(targets, 'sum')), -1);
}

export interface MatcherCosts {
  classes: number;
  boxes: number;
  giou: number;
  alpha: number;
  gamma: number;
}

/**
 * The matcher's cost of every query with every target: logits [1, queries, classes], boxes [1, queries, 4], labels
 * [1, targets, 1] (u32), targets [1, targets, 4], both boxes as cx, cy, w, h. Result [1, queries, targets].
 */
export function matcherCost(logits: Tensor, boxes: Tensor, labels: Tensor, targets: Tensor, weights: MatcherCosts): Tensor {
  const byClass = permute(pointwise(rows.focalCost, [logits], [weights.alpha, weights.gamma]), [0, 2, 1]);
  const classCost = permute(gatherRows(byClass, labels), [0, 2, 1]);
  const distance = tableDistance(boxes, targets);
  const { giou } = tableOverlap(boxesToCorners(boxes), boxesToCorners(targets));
  return add(add(scale(distance, weights.boxes), scale(classCost, weights.classes)), scale(giou, -weights.giou));
}
