/**
 * Optimal one-to-one assignment (the rectangular linear sum assignment problem) by shortest augmenting paths: D. F. Crouse,
 * "On implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems 52 (4), 2016;
 * the algorithm of scipy's linear_sum_assignment. O(k^2 l) for k = min(rows, columns), l = the other.
 */
import { BackdropError } from '../errors.ts';

/** Pair i assigns row rows[i] to column columns[i]; rows ascend. */
export interface Assignment {
  readonly rows: Uint32Array;
  readonly columns: Uint32Array;
  /** Sum of the pairs' costs. */
  readonly cost: number;
}

/** Where a cost table lies in a longer array. */
export interface CostLayout {
  offset?: number;
  /** Elements from one row to the next; `columns` when left out. */
  pitch?: number;
}

/**
 * The min(rows, columns) pairs with the smallest total cost. Of several optima one is found, always the same one.
 * @param costs row-major [rows, columns], or longer rows of which `layout` says where they begin
 * @throws BackdropError E_INPUT when a cost is not finite
 */
export function assign(costs: ArrayLike<number>, rows: number, columns: number, layout: CostLayout = {}): Assignment {
  const { offset = 0, pitch = columns } = layout;
  const turned = columns < rows;
  const [few, many] = turned ? [columns, rows] : [rows, columns];
  const table = new Float64Array(few * many);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const value = costs[offset + r * pitch + c];
      if (!Number.isFinite(value)) {
        throw new BackdropError('E_INPUT', `The cost of row ${r} with column ${c} is ${value}: an assignment needs finite costs.`, {
          details: { row: r, column: c },
        });
      }
      table[turned ? c * many + r : r * many + c] = value;
    }
  }
  const partner = solve(table, few, many);
  const pairs = Array.from(partner, (other, i): [number, number] => (turned ? [other, i] : [i, other])).sort((a, b) => a[0] - b[0]);
  return {
    rows: Uint32Array.from(pairs, ([r]) => r),
    columns: Uint32Array.from(pairs, ([, c]) => c),
    cost: pairs.reduce((sum, [r, c]) => sum + costs[offset + r * pitch + c], 0),
  };
}

/**
 * For each of `few` rows its column out of `many`. Dual variables u, v keep every reduced cost table - u - v at zero or above,
 * and at zero on the pairs; each row in turn is joined by the cheapest path that alternates free and taken pairs.
 */
function solve(table: Float64Array, few: number, many: number): Int32Array {
  const u = new Float64Array(few);
  const v = new Float64Array(many);
  const columnOf = new Int32Array(few).fill(-1);
  const rowOf = new Int32Array(many).fill(-1);
  const distance = new Float64Array(many);
  const before = new Int32Array(many);
  const open = new Int32Array(many);
  const seen: number[] = [];
  for (let start = 0; start < few; start++) {
    distance.fill(Infinity);
    for (let c = 0; c < many; c++) open[c] = c;
    seen.length = 0;
    let left = many;
    let row = start;
    let reached = 0;
    let sink = -1;
    while (sink < 0) {
      let nearest = Infinity;
      let at = 0;
      for (let k = 0; k < left; k++) {
        const c = open[k];
        const through = reached + table[row * many + c] - u[row] - v[c];
        if (through < distance[c]) {
          distance[c] = through;
          before[c] = row;
        }
        // Among equally near columns a free one ends the path soonest.
        if (distance[c] < nearest || (distance[c] === nearest && rowOf[c] < 0)) {
          nearest = distance[c];
          at = k;
        }
      }
      reached = nearest;
      const column = open[at];
      open[at] = open[--left];
      if (rowOf[column] < 0) sink = column;
      else {
        seen.push(column);
        row = rowOf[column];
      }
    }
    u[start] += reached;
    for (const column of seen) {
      u[rowOf[column]] += reached - distance[column];
      v[column] -= reached - distance[column];
    }
    for (let column = sink; ; ) {
      const r = before[column];
      const next = columnOf[r];
      rowOf[column] = r;
      columnOf[r] = column;
      if (r === start) break;
      column = next;
    }
  }
  return columnOf;
}
