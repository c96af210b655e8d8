/**
 * Arithmetic of boxes: centre form cx, cy, w, h and corner form x1, y1, x2, y2 in the last dimension. IoU and GIoU
 * (arXiv 1902.09630) have no epsilon, as PyTorch's: boxes without area must not come here.
 */
import { shapeError, show, type Tensor } from '../graph/graph.ts';
import { concatColumns } from './concat.ts';
import { add, div, mul, pointwise, rows, scale, sub } from './pointwise.ts';
import { permute } from './reshape.ts';

function checkBoxes(operation: string, ...tensors: readonly Tensor[]): void {
  for (const { columns, shape } of tensors) if (columns !== 4) throw shapeError(operation, `${show(shape)} is not [..., 4]`);
}

/** [..., 4] cx, cy, w, h to x1, y1, x2, y2. @throws BackdropError E_SHAPE */
export function boxesToCorners(boxes: Tensor): Tensor {
  checkBoxes('boxesToCorners', boxes);
  const [centre, half] = [boxes.columnsFrom(0, 2), scale(boxes.columnsFrom(2, 2), 0.5)];
  return concatColumns([sub(centre, half), add(centre, half)]);
}

/** [..., 4] x1, y1, x2, y2 to cx, cy, w, h. @throws BackdropError E_SHAPE */
export function cornersToBoxes(corners: Tensor): Tensor {
  checkBoxes('cornersToBoxes', corners);
  const [low, high] = [corners.columnsFrom(0, 2), corners.columnsFrom(2, 2)];
  return concatColumns([scale(add(low, high), 0.5), sub(high, low)]);
}

/** x1, y1, x2, y2 as four tensors that broadcast against another box's. */
type Sides = readonly [Tensor, Tensor, Tensor, Tensor];

function sidesOf(corners: Tensor): Sides {
  return [0, 1, 2, 3].map((i) => corners.columnsFrom(i, 1)) as unknown as Sides;
}

const areaOf = ([x1, y1, x2, y2]: Sides): Tensor => mul(sub(x2, x1), sub(y2, y1));

export interface Overlap {
  iou: Tensor;
  union: Tensor;
  giou: Tensor;
}

function overlap(a: Sides, b: Sides): Overlap {
  const along = (row: typeof rows.overlap, axis: 0 | 1) => pointwise(row, [a[axis], a[axis + 2], b[axis], b[axis + 2]]);
  const inside = mul(along(rows.overlap, 0), along(rows.overlap, 1));
  const union = sub(add(areaOf(a), areaOf(b)), inside);
  const iou = div(inside, union);
  const hull = mul(along(rows.hull, 0), along(rows.hull, 1));
  return { iou, union, giou: sub(iou, div(sub(hull, union), hull)) };
}

/** Of corners a [batch, n, 4] and b [batch, n, 4], pair by pair: [batch, n, 1] each. @throws BackdropError E_SHAPE */
export function pairOverlap(a: Tensor, b: Tensor): Overlap {
  checkBoxes('pairOverlap', a, b);
  return overlap(sidesOf(a), sidesOf(b));
}

/** The columns of b [batch, m, columns] as rows [batch, 1, m] each. */
function columnsAsRows(b: Tensor): Tensor[] {
  const turned = permute(b, [0, 2, 1]);
  return Array.from({ length: b.columns }, (_, i) => turned.rowsFrom(i, 1));
}

/** Of corners a [batch, n, 4] against each of b [batch, m, 4]: tables [batch, n, m]. @throws BackdropError E_SHAPE */
export function tableOverlap(a: Tensor, b: Tensor): Overlap {
  checkBoxes('tableOverlap', a, b);
  return overlap(sidesOf(a), columnsAsRows(b) as unknown as Sides);
}

/** Sum of |a - b| over the last dimension, of each row of a [batch, n, c] against each of b [batch, m, c]: [batch, n, m]. */
export function tableDistance(a: Tensor, b: Tensor): Tensor {
  return columnsAsRows(b)
    .map((row, i) => pointwise(rows.distance, [a.columnsFrom(i, 1), row]))
    .reduce((sum, term) => add(sum, term));
}
