/**
 * The criterion (RT-DETR, arXiv 2304.08069, section 4.3; DETR, arXiv 2005.12872): classification, L1 and GIoU losses of every set
 * of outputs, as one piece of graph whose shapes do not depend on the targets.
 *
 * All sets lie behind each other in rows [batch, rows, ...]. Each row has a number that says which line of a table of targets it
 * is to become: `lines = maxTargets + 2` lines a half, one half for matched sets and one for denoising sets, since they are
 * normalised differently. Line t of a half is target t, then come "no object" and "takes no part". A line holds the box, the
 * weights of the three losses with their normalisation in them, and apart from those the label. So everything that depends on
 * the batch is in three small inputs (criterion-host.ts), and a row that counts for nothing has weights of zero.
 */
import type { Graph, Tensor } from '../graph/graph.ts';
import type { PointwiseRow } from '../graph/pointwise.ts';
import { boxesToCorners, pairOverlap, tableDistance, tableOverlap } from '../ops/boxes.ts';
import { concatColumns, concatRows } from '../ops/concat.ts';
import { gatherRows } from '../ops/gather.ts';
import { bceWithLogits, type MatcherCosts, matcherCost, sigmoidFocalLoss } from '../ops/losses.ts';
import { logSoftmax, softmax } from '../ops/norm.ts';
import { add, mul, pointwise, rows, scale } from '../ops/pointwise.ts';
import { reduceColumns } from '../ops/reduce.ts';
import { permute, reshape } from '../ops/reshape.ts';

/** vfl: varifocal; focal: sigmoid focal; bce: plain binary cross-entropy; labels: softmax with a no-object class. */
export type Classification = 'vfl' | 'focal' | 'bce' | 'labels';

export interface CriterionOptions {
  classification: Classification;
  /** Without the no-object class. */
  classes: number;
  maxTargets: number;
  /** 0.75 when left out. */
  alpha?: number;
  /** 2 when left out. */
  gamma?: number;
  /** 1, 5, 2 when left out. */
  weights?: { classification: number; boxes: number; giou: number };
  /** Multiplies a row's GIoU loss with its IoU or GIoU, as a constant (`boxes_weight_format` of version 2). */
  boxWeight?: 'iou' | 'giou';
  /** Weight of the no-object class (`labels`); 0.1 when left out. */
  noObject?: number;
  /** Costs of the matching; class 2, boxes 5, giou 2, alpha 0.25, gamma 2 when left out. `softmax`: minus the class's probability. */
  matcher?: MatcherCosts & { softmax?: boolean };
  /** Gives all matched sets the last layer's assignment (`share_matched_indices` of version 2). */
  shareMatches?: boolean;
}

/** A set of outputs: the last layer's, an earlier one's, the encoder's, or a denoising part. */
export interface OutputSet {
  /** What its losses' names end with: '', '_aux_0', '_enc_0', '_dn_0'. */
  readonly suffix: string;
  /** [batch, queries, classes] (with `labels` one more). */
  readonly logits: Tensor;
  /** cx, cy, w, h in 0..1 [batch, queries, 4]. */
  readonly boxes: Tensor;
  readonly denoising?: boolean;
}

/** Columns of a line of the table: the box, three weights, and one unused. */
export const LINE = 8;

/** Lines of both halves. */
export const linesOf = ({ maxTargets }: Pick<CriterionOptions, 'maxTargets'>): number => 2 * (maxTargets + 2);

export interface TargetTensors {
  /** [batch, lines, 8] */
  readonly table: Tensor;
  /** u32 [batch, lines, 1]; `classes` for no object. */
  readonly labels: Tensor;
}

/** The graph's inputs `targets.table` and `targets.labels`. */
export function targetInputs(graph: Graph, batch: number, options: CriterionOptions): TargetTensors {
  return {
    table: graph.input('targets.table', [batch, linesOf(options), LINE]),
    labels: graph.input('targets.labels', [batch, linesOf(options), 1], 'u32'),
  };
}

export const defaultMatcher = { classes: 2, boxes: 5, giou: 2, alpha: 0.25, gamma: 2 } as const;

/** Costs of every query of the matched sets with every target: [batch, queries of all matched sets, maxTargets]. No gradient. */
export function matchingCosts(sets: readonly OutputSet[], { table, labels }: TargetTensors, options: CriterionOptions): Tensor {
  const matched = sets.filter(({ denoising }) => !denoising);
  const weights: NonNullable<CriterionOptions['matcher']> = options.matcher ?? defaultMatcher;
  const logits = joinRows(matched.map((set) => set.logits.detach()));
  const boxes = joinRows(matched.map((set) => set.boxes.detach()));
  const wanted = [table.images, options.maxTargets, 4];
  const [targets, classes] = [table.window(wanted, 0, 0), labels.rowsFrom(0, options.maxTargets)];
  if (!weights.softmax) return matcherCost(logits, boxes, classes, targets, weights);
  const likely = permute(gatherRows(permute(softmax(logits), [0, 2, 1]), classes), [0, 2, 1]);
  const { giou } = tableOverlap(boxesToCorners(boxes), boxesToCorners(targets));
  const pair = add(scale(tableDistance(boxes, targets), weights.boxes), scale(likely, -weights.classes));
  return add(pair, scale(giou, -weights.giou));
}

export interface Losses {
  /** Weighted terms of each image and set: [batch, sets, 3], classification, boxes, GIoU. Their sum is the loss. */
  readonly terms: Tensor;
  /** For `gradients`: the rows' losses, each with its weight as seed, so that what flows back is the gradient of the loss. */
  readonly seeds: ReadonlyMap<Tensor, Tensor>;
}

/**
 * Varifocal loss (arXiv 2008.13367) of the logit x, the same logit as a constant c, the target score y and the one-hot label o:
 * (alpha sigmoid(c)^gamma (1 - o) + y) times the binary cross-entropy of x with y. The weight gets no gradient.
 */
const varifocal: PointwiseRow = {
  name: 'varifocalDetached',
  arity: 4,
  value: (m, [x, c, y, o], [alpha, gamma]) => {
    const p = m.sigmoid(c);
    const weight = m.mul(m.constant(alpha), gamma === 2 ? m.mul(p, p) : m.pow(p, m.constant(gamma)));
    return m.mul(m.add(m.mul(weight, m.sub(m.constant(1), o)), y), rows.bceWithLogits.value(m, [x, y], []));
  },
};

/**
 * The losses of all sets.
 * @param match u32 [batch, rows of all sets, 1]: each row's line of the table
 */
export function criterion(sets: readonly OutputSet[], targets: TargetTensors, match: Tensor, options: CriterionOptions): Losses {
  const { boxWeight } = options;
  const logits = joinRows(sets.map((set) => set.logits));
  const boxes = joinRows(sets.map((set) => set.boxes));
  const line = gatherRows(targets.table, match);
  const wanted = line.columnsFrom(0, 4);
  const hot = gatherRows(oneHotTable(logits.graph, options, logits.columns), gatherRows(targets.labels, match));
  const { iou, giou } = pairOverlap(boxesToCorners(boxes), boxesToCorners(wanted));
  const overlap = scale(giou, -1, 1);
  const parts = [
    classify(logits, hot, iou.detach(), options),
    reduceColumns(pointwise(rows.distance, [boxes, wanted]), 'sum'),
    boxWeight ? mul(overlap, (boxWeight === 'iou' ? iou : giou).detach()) : overlap,
  ];
  const weights = [4, 5, 6].map((column) => line.columnsFrom(column, 1));
  const terms = sumsOfSets(
    sets,
    parts.map((part, i) => mul(part, weights[i])),
  );
  return { terms, seeds: new Map(parts.map((part, i) => [part, weights[i]])) };
}

/** Classification loss of each row: [batch, rows, 1]. */
function classify(logits: Tensor, hot: Tensor, iou: Tensor, { classification, alpha = 0.75, gamma = 2 }: CriterionOptions): Tensor {
  const element = (): Tensor => {
    if (classification === 'vfl') return pointwise(varifocal, [logits, logits.detach(), mul(hot, iou), hot], [alpha, gamma]);
    if (classification === 'focal') return sigmoidFocalLoss(logits, hot, { alpha, gamma });
    if (classification === 'bce') return bceWithLogits(logits, hot);
    return scale(mul(logSoftmax(logits), hot), -1);
  };
  return reduceColumns(element(), 'sum');
}

/** Row c: 1 at class c; row `classes` (no object) is empty, or with a no-object class has its 1 there. */
function oneHotTable(graph: Graph, { classes }: CriterionOptions, columns: number): Tensor {
  const build = () => {
    const table = new Float32Array((classes + 1) * columns);
    for (let c = 0; c < Math.min(classes + 1, columns); c++) table[c * columns + c] = 1;
    return table;
  };
  return graph.parameter({ key: `one-hot ${classes} ${columns}`, shape: [1, classes + 1, columns], type: 'f32', sources: [], build });
}

/** Sums over the rows of each set, of [batch, rows, 1] terms: [batch, sets, terms]. Neighbours of equal length are summed at once. */
function sumsOfSets(sets: readonly OutputSet[], terms: readonly Tensor[]): Tensor {
  const batch = terms[0].images;
  const whole = terms.map((term) => reshape(term, [1, term.images, term.rows]));
  const sums: Tensor[] = [];
  let at = 0;
  for (let first = 0; first < sets.length; ) {
    const queries = sets[first].boxes.rows;
    let last = first;
    while (last < sets.length && sets[last].boxes.rows === queries) last += 1;
    const count = last - first;
    const from = at;
    const lines = whole.map((term) => reshape(term.columnsFrom(from, count * queries), [1, batch * count, queries]));
    sums.push(reshape(reduceColumns(joinRows(lines), 'sum'), [terms.length, batch, count]));
    at += count * queries;
    first = last;
  }
  const all = sums.length === 1 ? sums[0] : concatColumns(sums);
  return permute(all, [1, 2, 0]);
}

const joinRows = (tensors: readonly Tensor[]): Tensor => (tensors.length === 1 ? tensors[0] : concatRows(tensors));
