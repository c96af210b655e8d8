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
import { type Graph, shapeError, type Tensor } from '../graph/graph.ts';
import { concatRows } from '../ops/concat.ts';
import { gatherRows } from '../ops/gather.ts';
import { bceWithLogits, sigmoidFocalLoss, varifocalLoss } from '../ops/losses.ts';
import { logSoftmax, softmax } from '../ops/norm.ts';
import { mul, scale } from '../ops/pointwise.ts';
import { reduceColumns } from '../ops/reduce.ts';
import { boxLosses, type MatcherWeights, pairCosts, setSums } from './criterion-operations.ts';

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
  matcher?: MatcherWeights;
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

export const defaultMatcher: MatcherWeights = { classes: 2, boxes: 5, giou: 2, alpha: 0.25, gamma: 2 };

/** All sets behind each other, matched ones first. */
export interface JoinedOutputs {
  readonly sets: readonly OutputSet[];
  /** [batch, rows, classes] */
  readonly logits: Tensor;
  /** [batch, rows, 4] */
  readonly boxes: Tensor;
  /** Rows of the sets that are matched. */
  readonly matchedRows: number;
}

/** @throws BackdropError E_SHAPE when a matched set stands behind a denoising one */
export function joinOutputs(sets: readonly OutputSet[]): JoinedOutputs {
  const matched = sets.filter(({ denoising }) => !denoising);
  if (matched.some((set, i) => sets[i] !== set)) throw shapeError('criterion', 'sets that are matched come before denoising ones');
  const join = (tensors: readonly Tensor[]): Tensor => (tensors.length === 1 ? tensors[0] : concatRows(tensors));
  return {
    sets,
    logits: join(sets.map(({ logits }) => logits)),
    boxes: join(sets.map(({ boxes }) => boxes)),
    matchedRows: matched.reduce((sum, { boxes }) => sum + boxes.rows, 0),
  };
}

/** Costs of every query of the matched sets with every target: [batch, rows of the matched sets, maxTargets]. No gradient. */
export function matchingCosts({ logits, boxes, matchedRows }: JoinedOutputs, targets: TargetTensors, options: CriterionOptions): Tensor {
  const { matcher = defaultMatcher, maxTargets } = options;
  const scores = logits.rowsFrom(0, matchedRows);
  const [lines, labels] = [targets.table, targets.labels].map((tensor) => tensor.rowsFrom(0, maxTargets));
  return pairCosts(matcher.softmax ? softmax(scores) : scores, boxes.rowsFrom(0, matchedRows), lines, labels, matcher);
}

export interface Losses {
  /** Weighted terms of each image and set: [batch, sets, 3], classification, boxes, GIoU. Their sum is the loss. */
  readonly terms: Tensor;
  /** For `gradients`: rows' classification losses with their weights, and all boxes with the gradient of their losses. */
  readonly seeds: ReadonlyMap<Tensor, Tensor>;
}

/**
 * The losses of all sets.
 * @param match u32 [batch, rows of all sets, 1]: each row's line of the table
 */
export function criterion(joined: JoinedOutputs, targets: TargetTensors, match: Tensor, options: CriterionOptions): Losses {
  const { sets, logits, boxes } = joined;
  const line = gatherRows(targets.table, match);
  const hot = gatherRows(oneHotTable(logits.graph, options, logits.columns), gatherRows(targets.labels, match));
  const { losses, gradient } = boxLosses(boxes, line, options.boxWeight ?? 'one');
  const classes = classify(logits, hot, losses.columnsFrom(2, 1), options);
  const terms = setSums(
    classes,
    line,
    losses,
    sets.map((set) => set.boxes.rows),
  );
  const seeds = new Map([
    [classes, line.columnsFrom(4, 1)],
    [boxes, gradient],
  ]);
  return { terms, seeds };
}

/** Classification loss of each row: [batch, rows, 1]. */
function classify(logits: Tensor, hot: Tensor, iou: Tensor, { classification, alpha = 0.75, gamma = 2 }: CriterionOptions): Tensor {
  const element = (): Tensor => {
    if (classification === 'vfl') return varifocalLoss(logits, mul(hot, iou), hot, { alpha, gamma });
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
