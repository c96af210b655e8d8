/**
 * Contrastive denoising (DINO, arXiv 2203.03605, section 3.3; RT-DETR's form): groups of queries that are noisy copies of the
 * targets. In each group a target has a positive query, which is to find it again, and a negative one, with more noise, which
 * is to find nothing. Query g * 2M + s * M + j of an image: group g, s = 0 positive or 1 negative, target j, with M the largest
 * number of targets in the batch; slots j beyond an image's own targets are padding.
 *
 * A recorded step has room for `denoisingCapacity` queries; those behind the 2 M G of a batch take no part in it.
 */
import type { Tensor } from '../graph/graph.ts';
import type { PointwiseRow } from '../graph/pointwise.ts';
import { pointwise } from '../ops/pointwise.ts';
import { reshape } from '../ops/reshape.ts';
import { RandomStream } from '../random.ts';
import { mostTargets, type Targets } from './targets.ts';

export interface DenoisingOptions {
  version: 1 | 2;
  classes: number;
  /** Denoising queries wanted, `num_denoising` of the configurations; 0 turns denoising off. */
  denoising: number;
  maxTargets: number;
  /** Half of it is the probability that a label is replaced. 0.5 when left out. */
  labelNoise?: number;
  /** Noise of a box in halves of its sides. 1 when left out. */
  boxNoise?: number;
}

/** How a batch's denoising queries are arranged. */
export interface DenoisingLayout {
  /** G */
  readonly groups: number;
  /** M */
  readonly targets: number;
  /** 2 M G */
  readonly count: number;
  /** Version 2's group for a batch without any targets. */
  readonly empty: boolean;
}

/** The four random draws, each for a query of an image and, with boxes, for one of x1, y1, x2, y2. */
export interface DenoisingDraws {
  /** In [0, 1): below half the label noise the label is replaced. */
  labelUniform(image: number, query: number): number;
  /** 0 to classes - 1 */
  newLabel(image: number, query: number, classes: number): number;
  /** 0 for minus, 1 for plus. */
  boxSign(image: number, query: number, side: number): number;
  /** In [0, 1). */
  boxUniform(image: number, query: number, side: number): number;
}

export interface DenoisingBatch {
  readonly layout: DenoisingLayout;
  /** Rows of denoising_class_embed [images, capacity]; `classes` for padding. */
  readonly classes: Uint32Array;
  /** Boxes before the sigmoid [images, capacity, 4]. */
  readonly boxes: Float32Array;
}

/** Queries that the largest batch needs: 2 M floor(D / M) is at most 2 D, and a single group has 2 M. */
export function denoisingCapacity({ denoising, maxTargets }: Pick<DenoisingOptions, 'denoising' | 'maxTargets'>): number {
  return denoising > 0 ? 2 * Math.max(denoising, maxTargets) : 0;
}

/**
 * G = max(1, floor(D / M)). Without any targets version 1 has no denoising queries; version 2 has one group of two padded ones.
 * @param targets the largest number of targets of an image: of all images of a step, where gradients are accumulated
 */
export function denoisingLayout({ version, denoising }: Pick<DenoisingOptions, 'version' | 'denoising'>, targets: number): DenoisingLayout {
  if (denoising <= 0 || (targets === 0 && version === 1)) return { groups: 0, targets: 0, count: 0, empty: false };
  const most = Math.max(targets, 1);
  const groups = targets === 0 ? 1 : Math.max(1, Math.floor(denoising / most));
  return { groups, targets: most, count: 2 * most * groups, empty: targets === 0 };
}

/** Draws that depend on seed, step and the image's number in the step alone. */
export function seededDraws(seed: number, step: number, firstImage = 0): DenoisingDraws {
  const [labels, news, signs, parts] = [0, 1, 2, 3].map((stream) => new RandomStream(seed, step, stream));
  const at = (image: number, query: number) => (firstImage + image) * 2 ** 16 + query;
  return {
    labelUniform: (image, query) => labels.uniform(at(image, query)),
    newLabel: (image, query, classes) => news.integer(at(image, query), classes),
    boxSign: (image, query, side) => signs.bits(4 * at(image, query) + side) >>> 31,
    boxUniform: (image, query, side) => parts.uniform(4 * at(image, query) + side),
  };
}

/** The draws of a part of a step, whose images begin at `first`. */
export function drawsFrom(draws: DenoisingDraws, first: number): DenoisingDraws {
  return {
    labelUniform: (image, query) => draws.labelUniform(first + image, query),
    newLabel: (image, query, classes) => draws.newLabel(first + image, query, classes),
    boxSign: (image, query, side) => draws.boxSign(first + image, query, side),
    boxUniform: (image, query, side) => draws.boxUniform(first + image, query, side),
  };
}

const f = Math.fround;

/** What version 2 puts noise on where there is no target: its class is the padding. */
const EMPTY_BOX = [0.5, 0.5, 0.1, 0.1];

/** log(max(x, 1e-5) / max(1 - x, 1e-5)) of x clipped to [0, 1], in float32. */
function inverseSigmoid(x: number): number {
  const inside = Math.min(Math.max(x, 0), 1);
  return f(Math.log(f(Math.max(inside, f(1e-5)) / Math.max(f(1 - inside), f(1e-5)))));
}

/**
 * A target with noise on its corners, before the sigmoid: each corner number moves by sign * part * half a side, is clipped to
 * the image, and what is left may be a box turned inside out, whose sides count as 1e-5. In float32, step by step as PyTorch
 * goes, since a thin box's logarithm shows every rounding.
 */
function noisyBox(box: readonly number[], noise: number, moves: readonly number[]): number[] {
  const [cx, cy, w, h] = box.map(f);
  const half = [f(w * 0.5), f(h * 0.5)];
  const corners = [f(cx - half[0]), f(cy - half[1]), f(cx + half[0]), f(cy + half[1])].map((corner, side) =>
    Math.min(Math.max(f(corner + f(moves[side] * f(half[side % 2] * f(noise)))), 0), 1),
  );
  const [x1, y1, x2, y2] = corners;
  return [f(f(x1 + x2) / 2), f(f(y1 + y2) / 2), f(x2 - x1), f(y2 - y1)].map(inverseSigmoid);
}

/**
 * The denoising queries of a batch, padded to the capacity.
 * @param layout of the whole step where gradients are accumulated; the batch's own when left out
 */
export function denoisingQueries(
  batch: readonly Targets[],
  options: DenoisingOptions,
  draws: DenoisingDraws,
  layout: DenoisingLayout = denoisingLayout(options, mostTargets(batch)),
): DenoisingBatch {
  const { classes: padding, labelNoise = 0.5, boxNoise = 1 } = options;
  const capacity = denoisingCapacity(options);
  const { targets: most, count } = layout;
  const classes = new Uint32Array(batch.length * capacity).fill(padding);
  // A box of zeros does not move and has the smallest logarithm in all four numbers.
  const boxes = new Float32Array(batch.length * capacity * 4).fill(inverseSigmoid(0));
  batch.forEach((targets, image) => {
    for (let query = 0; query < count; query++) {
      const at = image * capacity + query;
      const target = query % most;
      const real = target < targets.labels.length;
      if (!real && !layout.empty) continue;
      const box = real ? [0, 1, 2, 3].map((k) => targets.boxes[4 * target + k]) : EMPTY_BOX;
      const negative = Math.floor(query / most) % 2;
      const moves = [0, 1, 2, 3].map((side) => {
        const part = f(draws.boxUniform(image, query, side) + negative);
        return draws.boxSign(image, query, side) === 1 ? part : -part;
      });
      boxes.set(noisyBox(box, boxNoise, moves), 4 * at);
      if (!real) continue;
      const replaced = draws.labelUniform(image, query) < f(labelNoise * 0.5);
      classes[at] = replaced ? draws.newLabel(image, query, padding) : targets.labels[target];
    }
  });
  return { layout, classes, boxes };
}

/**
 * Which queries see each other: group 1 to G for denoising queries, G + 1 for those without a part, 0 for the selected ones
 * behind them. [capacity + queries]
 */
export function attentionGroups(options: DenoisingOptions, layout: DenoisingLayout, queries: number): Float32Array {
  const capacity = denoisingCapacity(options);
  return Float32Array.from({ length: capacity + queries }, (_, query) => {
    if (query >= capacity) return 0;
    return query < layout.count ? 1 + Math.floor(query / (2 * layout.targets)) : layout.groups + 1;
  });
}

/** Added to the attention score of query i (group a) with key j (group b): keys of another denoising group may not be seen. */
export const blockedScore: PointwiseRow = {
  name: 'blockedScore',
  arity: 2,
  value: (m, [a, b]) => {
    const half = m.constant(0.5);
    const foreign = m.select(m.less(half, m.abs(m.sub(a, b))), m.constant(-1e9), m.constant(0));
    return m.select(m.less(half, b), foreign, m.constant(0));
  },
};

/** The self-attention's mask [queries, queries] of groups [queries] (`attentionGroups`), where 0 is seen and -1e9 is not. */
export function attentionMask(groups: Tensor): Tensor {
  const n = groups.size;
  return pointwise(blockedScore, [reshape(groups, [1, n, 1]), groups.viewAs([1, 1, n])]).viewAs([n, n]);
}
