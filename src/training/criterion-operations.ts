/** The criterion's own kernels: what would be dozens of pointwise launches over columns of four numbers is one. */
import boxesShader from '../../shaders/criterion/boxes.wgsl';
import costsShader from '../../shaders/criterion/costs.wgsl';
import sumsShader from '../../shaders/criterion/sums.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, layoutParams } from '../ops/common.ts';
import type { MatcherCosts } from '../ops/losses.ts';

/** What the GIoU loss of a row is multiplied with, as a constant. */
export type BoxShare = 'one' | 'iou' | 'giou';

const boxLossesOperation: Operation<{ share: BoxShare }> = {
  name: 'boxLosses',

  infer([boxes, line]) {
    if (boxes.columns !== 4 || line.columns < 7 || boxes.rows !== line.rows || boxes.images !== line.images)
      throw shapeError('boxLosses', `${show(boxes.shape)} with lines ${show(line.shape)}`);
    const shape = [boxes.images, boxes.rows, 4];
    return [{ shape }, { shape }];
  },

  lower({ inputs: [boxes, line], outputs: [losses, gradient], attributes: { share } }) {
    const [gx, gy] = fold(Math.ceil(boxes.rows / 64));
    return [
      launch(boxesShader, {
        consts: { SHARE: { one: 0, iou: 1, giou: 2 }[share] },
        bind: { boxes, line, losses, gradient },
        params: {
          rows: boxes.rows,
          ...layoutParams('boxes', boxes, 1),
          ...layoutParams('line', line, 1),
          ...layoutParams('losses', losses, 1),
          ...layoutParams('gradient', gradient, 1),
        },
        grid: [gx, gy, boxes.images],
        flops: 90 * boxes.images * boxes.rows,
      }),
    ];
  },
};

/**
 * Weighted box losses of boxes [batch, rows, 4] against lines [batch, rows, 8] of the table of targets.
 * @returns losses [batch, rows, 4]: L1, GIoU loss, IoU, GIoU, the first two weighted; gradient: of their sum, [batch, rows, 4]
 * @throws BackdropError E_SHAPE
 */
export function boxLosses(boxes: Tensor, line: Tensor, share: BoxShare): { losses: Tensor; gradient: Tensor } {
  const [losses, gradient] = boxes.graph.add(boxLossesOperation, [boxes.detach(), line], { share });
  return { losses, gradient };
}

const setSumsOperation: Operation<{ sets: number }> = {
  name: 'setSums',
  infer: ([classes], { sets }) => [{ shape: [classes.images, sets, 3] }],

  lower({ inputs: [classes, line, losses, starts], outputs: [y], attributes: { sets } }) {
    return [
      launch(sumsShader, {
        bind: { classes, line, losses, starts, y },
        params: {
          sets,
          ...layoutParams('classes', classes, 1),
          ...layoutParams('line', line, 1),
          ...layoutParams('losses', losses, 1),
        },
        grid: [sets, 1, classes.images],
        flops: 4 * classes.size,
      }),
    ];
  },
};

/**
 * Weighted losses of each set: classification losses [batch, rows, 1] times the lines' weight, and the box losses, summed over
 * `queries[set]` rows each: [batch, sets, 3].
 */
export function setSums(classes: Tensor, line: Tensor, losses: Tensor, queries: readonly number[]): Tensor {
  const starts = Uint32Array.from([0, ...queries.map((_, i) => queries.slice(0, i + 1).reduce((a, b) => a + b, 0))]);
  const { graph } = classes;
  const parameter = graph.parameter({
    key: `first rows ${starts.join(' ')}`,
    shape: [starts.length],
    type: 'u32',
    sources: [],
    build: () => starts,
  });
  return graph.add(setSumsOperation, [classes.detach(), line, losses, parameter], { sets: queries.length })[0];
}

/** `softmax`: the scores are probabilities already, and the class costs what is missing to 1, less a constant. */
export type MatcherWeights = MatcherCosts & { softmax?: boolean };

const pairCostsOperation: Operation<MatcherWeights> = {
  name: 'pairCosts',
  infer: ([, boxes, lines]) => [{ shape: [boxes.images, boxes.rows, lines.rows] }],

  lower({ inputs: [scores, boxes, lines, labels], outputs: [y], attributes: weights }) {
    const [gx, gy] = fold(Math.ceil((boxes.rows * lines.rows) / 64));
    return [
      launch(costsShader, {
        consts: { PROBABILITY: weights.softmax ? 1 : 0, SQUARE: weights.gamma === 2 ? 1 : 0 },
        bind: { scores, boxes, lines, labels, y },
        params: {
          queries: boxes.rows,
          targets: lines.rows,
          box_cost: weights.boxes,
          class_cost: weights.classes,
          giou_cost: weights.giou,
          alpha: weights.alpha,
          gamma: weights.gamma,
          ...layoutParams('scores', scores, 1),
          ...layoutParams('boxes', boxes, 1),
          ...layoutParams('lines', lines, 1),
          ...layoutParams('labels', labels, 1),
        },
        grid: [gx, gy, boxes.images],
        flops: 60 * boxes.images * boxes.rows * lines.rows,
      }),
    ];
  },
};

/**
 * The matcher's cost of every query with every target: scores [batch, queries, classes], boxes [batch, queries, 4], lines
 * [batch, targets, 4 or more] with a box first, labels u32 [batch, targets, 1]. Result [batch, queries, targets]; no gradient.
 */
export function pairCosts(scores: Tensor, boxes: Tensor, lines: Tensor, labels: Tensor, weights: MatcherWeights): Tensor {
  return scores.graph.add(pairCostsOperation, [scores.detach(), boxes.detach(), lines, labels], weights)[0];
}
