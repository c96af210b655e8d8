/**
 * Reverse-mode differentiation: new nodes in the same graph, which go through the same fusion, planning and replay.
 * Each operation states its gradient in terms of operations; here they are chained and summed.
 */
import { BackdropError } from '../errors.ts';
import { type Graph, type Node, type Operation, shapeError, show, type Tensor, type Value } from './graph.ts';

/**
 * Gradients with respect to an operation's inputs, as new nodes, from those with respect to its outputs (null: none arrives).
 * Only where `wanted` is true is an answer needed; null means zero. Rules stand beside their operations, apart from them, so
 * that a page which only detects does not load their kernels.
 */
export type GradientRule<A> = (node: Node<A>, gradients: readonly (Tensor | null)[], wanted: readonly boolean[]) => (Tensor | null)[];

/** Rules by operation. */
export type GradientRules = ReadonlyMap<Operation, GradientRule<unknown>>;

/** How the sums and joins are made; ops/gradient.ts fills it in, since arrows go one way. */
export interface GradientAlgebra {
  add(a: Tensor, b: Tensor): Tensor;
  concatColumns(parts: readonly Tensor[]): Tensor;
  concatRows(parts: readonly Tensor[]): Tensor;
  /** Zeros of a value's shape with `part` at a row and column. */
  embed(part: Tensor, value: Value, row: number, column: number): Tensor;
}

interface Contribution {
  row: number;
  column: number;
  rows: number;
  columns: number;
  gradient: Tensor;
}

/**
 * Gradients of the sum over `seeds` of <tensor, seed> with respect to every tensor of `wanted` (inputs or parameters).
 * A wanted tensor that the seeds do not depend on has no entry. Contributions are added in the order of the forward nodes
 * reversed, so the result has the same bits every time.
 * @throws BackdropError E_SHAPE when a seed's shape differs, E_MODEL_CONFIG when an operation on the way has no gradient
 */
export function backward(
  graph: Graph,
  seeds: ReadonlyMap<Tensor, Tensor>,
  wanted: readonly Tensor[],
  rules: GradientRules,
  algebra: GradientAlgebra,
): Map<Tensor, Tensor> {
  const dependent = new Set(wanted.map((t) => t.value));
  const forward = [...graph.nodes];
  graph.forwardNodes = Math.min(graph.forwardNodes, forward.length);
  for (const node of forward) {
    if (node.inputs.some((t) => !t.detached && dependent.has(t.value))) for (const t of node.outputs) dependent.add(t.value);
  }
  const contributions = new Map<Value, Contribution[]>();
  const contribute = (tensor: Tensor, gradient: Tensor) => {
    if (tensor.detached || !dependent.has(tensor.value)) return;
    if (gradient.size !== tensor.size) throw shapeError('backward', `gradient ${show(gradient.shape)} of a tensor ${show(tensor.shape)}`);
    const { row, column, rows, columns } = tensor;
    const list = contributions.get(tensor.value) ?? [];
    list.push({ row, column, rows, columns, gradient });
    contributions.set(tensor.value, list);
  };
  for (const [tensor, seed] of seeds) contribute(tensor, seed);
  for (const node of forward.reverse()) {
    const gradients = node.outputs.map((t) => total(t, contributions, algebra));
    if (gradients.every((g) => g === null)) continue;
    const wants = node.inputs.map((t) => !t.detached && dependent.has(t.value));
    if (!wants.some(Boolean)) continue;
    const rule = rules.get(node.operation) ?? node.operation.gradient;
    if (!rule) {
      throw new BackdropError('E_MODEL_CONFIG', `${node.scope} has no gradient.`, {
        hint: 'Detach its inputs, or leave it out of training.',
        details: { withoutGradient: node.operation.name },
      });
    }
    graph.scoped(`${node.scope}.backward`, () => {
      const results = rule(node, gradients, wants);
      results.forEach((gradient, i) => {
        if (gradient && wants[i]) contribute(node.inputs[i], gradient);
      });
    });
  }
  const result = new Map<Tensor, Tensor>();
  for (const tensor of wanted) {
    const gradient = total(tensor, contributions, algebra);
    if (gradient) result.set(tensor, gradient);
  }
  return result;
}

const sameWindow = (a: Contribution, b: Contribution): boolean =>
  a.row === b.row && a.column === b.column && a.rows === b.rows && a.columns === b.columns;

/** The sum of a whole tensor's contributions, windows put in their places. */
function total(tensor: Tensor, contributions: ReadonlyMap<Value, Contribution[]>, algebra: GradientAlgebra): Tensor | null {
  const list = contributions.get(tensor.value);
  if (!list) return null;
  const windows: Contribution[] = [];
  for (const item of list) {
    const known = windows.find((w) => sameWindow(w, item));
    if (known) known.gradient = algebra.add(known.gradient, item.gradient.viewAs(known.gradient.shape));
    else windows.push({ ...item });
  }
  // A parameter stored four times is one number in each row.
  const value = tensor.parameter?.replicated ? { ...tensor.value, columns: 1 } : tensor.value;
  const joined = join(windows, value, algebra);
  return joined.viewAs(tensor.shape);
}

function join(windows: readonly Contribution[], value: Value, algebra: GradientAlgebra): Tensor {
  const whole = windows.find((w) => w.rows === value.rows && w.columns === value.columns);
  if (whole) {
    const rest = windows.filter((w) => w !== whole);
    if (rest.length === 0) return whole.gradient;
    const joined = join(rest, value, algebra);
    return algebra.add(whole.gradient, joined.viewAs(whole.gradient.shape));
  }
  const byColumn = [...windows].sort((a, b) => a.column - b.column);
  if (
    tiles(
      byColumn.map((w) => [w.column, w.columns]),
      value.columns,
    ) &&
    windows.every((w) => w.rows === value.rows)
  ) {
    return algebra.concatColumns(byColumn.map((w) => w.gradient));
  }
  const byRow = [...windows].sort((a, b) => a.row - b.row);
  if (
    tiles(
      byRow.map((w) => [w.row, w.rows]),
      value.rows,
    ) &&
    windows.every((w) => w.columns === value.columns)
  ) {
    return algebra.concatRows(byRow.map((w) => w.gradient.viewAs([value.images, w.rows, w.columns])));
  }
  return windows.map((w) => algebra.embed(w.gradient, value, w.row, w.column)).reduce((a, b) => algebra.add(a, b));
}

/** Do the intervals follow each other without gap or overlap, from 0 to `end`? */
function tiles(intervals: readonly (readonly [number, number])[], end: number): boolean {
  let at = 0;
  for (const [start, length] of intervals) {
    if (start !== at) return false;
    at += length;
  }
  return at === end;
}
