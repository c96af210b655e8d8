/**
 * Fusion. A pointwise node disappears into the node that computes its input (epilogue) or into all that load its output
 * (prologue); a concatenation disappears when its inputs can be written straight into their place.
 */
import { type Graph, type Node, split, type Tensor, type Value } from './graph.ts';
import type { Operand, PointwiseChain, PointwiseRow } from './pointwise.ts';

export interface PointwiseAttributes {
  row: PointwiseRow;
  constants: readonly number[];
}

const isPointwise = (node: Node): boolean => node.operation.name === 'pointwise';

/** Tensors that a node's kernel reads beside its own: for a pointwise kernel, that has one of its own, the other operands too. */
function extrasOf(node: Node): number {
  const operands = isPointwise(node) ? node.inputs.length - 1 : 0;
  return operands + (node.prologue?.extras.length ?? 0) + (node.epilogue?.extras.length ?? 0);
}

/** Can `extra` be read beside `main` by a kernel that walks main's rows in vectors of four columns? */
function readable(extra: Tensor, main: readonly number[]): boolean {
  const [images, rows, columns] = split(main);
  if (extra.type !== 'f32' || (extra.columns !== columns && !extra.parameter?.replicated)) return false;
  return (extra.images === images || extra.images === 1) && (extra.rows === rows || extra.rows === 1);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const [x, y] = [split(a), split(b)];
  return x[0] === y[0] && x[1] === y[1] && x[2] === y[2];
}

/** Joins a pointwise node's arithmetic to a chain whose running value is the node's operand `at`. */
function extend(chain: PointwiseChain | null, node: Node, at: number): PointwiseChain {
  const { row, constants } = node.attributes as PointwiseAttributes;
  const extras = [...(chain?.extras ?? [])];
  const operands: Operand[] = node.inputs.map((tensor, i) => {
    if (i === at || (tensor.value === node.inputs[at].value && sameWindow(tensor, node.inputs[at]))) return 'v';
    extras.push(tensor);
    return extras.length - 1;
  });
  const steps = [...(chain?.steps ?? []), { row, operands, constants }];
  const tail = node.epilogue;
  if (tail) {
    const first = extras.length;
    extras.push(...tail.extras);
    for (const step of tail.steps) steps.push({ ...step, operands: step.operands.map((o) => (o === 'v' ? o : o + first)) });
  }
  return { steps, extras };
}

function sameWindow(a: Tensor, b: Tensor): boolean {
  return a.row === b.row && a.column === b.column && sameShape(a.shape, b.shape);
}

export interface FusedGraph {
  nodes: Node[];
}

export interface FuseOptions {
  /** False keeps every node as traced: the plain form that tests compare the fused one with. */
  pointwise?: boolean;
  concat?: boolean;
  /** Changes the fused nodes: training computes some of them again (recompute.ts). */
  rewrite?: (graph: Graph, nodes: Node[]) => Node[];
}

/** The nodes that remain, in order. The graph's own nodes are changed: fuse a graph once. */
export function fuse(graph: Graph, options: FuseOptions = {}): FusedGraph {
  const kept = new Set<Value>();
  for (const tensor of [...graph.outputs.values(), ...graph.results.values()]) kept.add(tensor.value);
  let nodes = live(graph, kept);
  if (options.pointwise !== false) {
    nodes = fuseEpilogues(nodes, kept);
    nodes = fusePrologues(nodes, kept);
  }
  if (options.concat !== false) nodes = placeConcats(nodes, graph);
  return { nodes: options.rewrite?.(graph, nodes) ?? nodes };
}

/** Drops nodes that no output needs. */
function live(graph: Graph, kept: ReadonlySet<Value>): Node[] {
  const needed = new Set(kept);
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((t) => needed.has(t.value))) continue;
    nodes.push(node);
    for (const tensor of node.inputs) needed.add(tensor.value);
  }
  return nodes.reverse();
}

function uses(nodes: readonly Node[]): Map<Value, Node[]> {
  const map = new Map<Value, Node[]>();
  for (const node of nodes) {
    const tensors = new Set([...node.inputs, ...(node.prologue?.extras ?? []), ...(node.epilogue?.extras ?? [])].map((t) => t.value));
    for (const value of tensors) map.set(value, [...(map.get(value) ?? []), node]);
  }
  return map;
}

function fuseEpilogues(nodes: Node[], kept: ReadonlySet<Value>): Node[] {
  const users = uses(nodes);
  const order = new Map<Node, number>(nodes.map((node, i) => [node, i]));
  const producers = new Map<Value, Node>();
  for (const node of nodes) for (const tensor of node.outputs) producers.set(tensor.value, node);
  const when = (tensor: Tensor): number => {
    const producer = producers.get(tensor.value);
    return producer ? order.get(producer)! : -1;
  };
  const removed = new Set<Node>();
  for (const node of nodes) {
    if (!isPointwise(node)) continue;
    const [output] = node.outputs;
    // The operand that is computed last takes the others in, so that they are ready when it runs.
    const candidates = node.inputs.map((_, i) => i).sort((a, b) => when(node.inputs[b]) - when(node.inputs[a]));
    for (const at of candidates) {
      const main = node.inputs[at];
      const producer = producers.get(main.value);
      if (!producer?.operation.fusesEpilogue?.(producer)) continue;
      if (main.value !== producer.outputs[0].value || kept.has(main.value)) continue;
      if (!sameWindow(main, producer.outputs[0]) || !sameShape(main.shape, output.shape)) continue;
      if (users.get(main.value)!.some((user) => user !== node)) continue;
      const others = node.inputs.filter((t, i) => i !== at && t.value !== main.value);
      if (others.some((t) => !readable(t, output.shape) || when(t) >= order.get(producer)!)) continue;
      if (extrasOf(producer) + others.length + (node.epilogue?.extras.length ?? 0) > (producer.operation.maxExtras ?? 0)) continue;
      producer.epilogue = extend(producer.epilogue, node, at);
      producer.outputs = [output, ...producer.outputs.slice(1)];
      output.producer = producer;
      producers.set(output.value, producer);
      removed.add(node);
      for (const tensor of node.inputs) {
        const list = users.get(tensor.value);
        if (list) users.set(tensor.value, [...list.filter((user) => user !== node), producer]);
      }
      break;
    }
  }
  return nodes.filter((node) => !removed.has(node));
}

function fusePrologues(nodes: Node[], kept: ReadonlySet<Value>): Node[] {
  const users = uses(nodes);
  const removed = new Set<Node>();
  for (const node of nodes) {
    if (!isPointwise(node) || node.epilogue) continue;
    const [output] = node.outputs;
    if (kept.has(output.value)) continue;
    const at = node.inputs.findIndex((t) => sameShape(t.shape, output.shape));
    const others = node.inputs.filter((_, i) => i !== at);
    if (at < 0 || others.some((t) => !readable(t, output.shape))) continue;
    const consumers = users.get(output.value) ?? [];
    const takes = (user: Node): boolean =>
      user.operation.fusesPrologue?.(user) === true &&
      user.prologue === null &&
      user.inputs[0].value === output.value &&
      sameWindow(user.inputs[0], output) &&
      user.inputs.slice(1).every((t) => t.value !== output.value) &&
      !(user.epilogue?.extras ?? []).some((t) => t.value === output.value) &&
      extrasOf(user) + others.length <= (user.operation.maxExtras ?? 0);
    if (consumers.length === 0 || !consumers.every(takes)) continue;
    for (const user of consumers) {
      user.prologue = extend(null, node, at);
      user.inputs[0] = node.inputs[at].window(user.inputs[0].shape, 0, 0);
    }
    removed.add(node);
  }
  return nodes.filter((node) => !removed.has(node));
}

/** Values that a node reads and writes. */
export function touched(node: Node): { reads: Value[]; writes: Value[] } {
  const reads = [...node.inputs, ...(node.prologue?.extras ?? []), ...(node.epilogue?.extras ?? [])];
  return { reads: reads.map((t) => t.layout().root), writes: node.outputs.map((t) => t.layout().root) };
}

/**
 * Places the inputs of a concatenation inside its output. Not for inputs that are windows themselves, that are outputs or
 * inputs of the graph, that go into two places, that come from kernels which cannot, or where a node would then bind one buffer
 * for writing and for anything else.
 */
function placeConcats(nodes: Node[], graph: Graph): Node[] {
  const fixed = new Set<Value>();
  for (const tensor of [...graph.inputs.values(), ...graph.results.values()]) fixed.add(tensor.value);
  const results = new Set([...graph.results.values()].map(({ value }) => value));
  const users = uses(nodes);
  for (const { operation, outputs } of nodes) if (operation.denseOutputs) for (const tensor of outputs) fixed.add(tensor.value);
  const removed = new Set<Node>();
  for (const node of nodes) {
    if (node.operation.name !== 'concat' || node.epilogue) continue;
    const target = node.outputs[0].value;
    const { axis } = node.attributes as { axis: 'columns' | 'rows' };
    const values = node.inputs.map((t) => t.value);
    const whole = node.inputs.every(
      (t) =>
        t.value.kind === 'activation' &&
        !fixed.has(t.value) &&
        !t.value.placedIn &&
        t.row === 0 &&
        t.column === 0 &&
        t.value.columns === t.columns &&
        t.value.rows === t.rows,
    );
    if (!whole || new Set(values).size !== values.length) continue;
    // A buffer of results is only written.
    if (results.has(target) && values.some((value) => users.get(value)!.length > 1)) continue;
    let at = 0;
    for (const tensor of node.inputs) {
      tensor.value.placedIn = { value: target, row: axis === 'rows' ? at : 0, column: axis === 'columns' ? at : 0 };
      at += axis === 'rows' ? tensor.rows : tensor.columns;
    }
    const clash = nodes.some((other) => {
      if (other === node || removed.has(other)) return false;
      const { reads, writes } = touched(other);
      return writes.some((value, i) => reads.includes(value) || writes.indexOf(value) !== i);
    });
    if (clash) for (const value of values) value.placedIn = null;
    else removed.add(node);
  }
  return nodes.filter((node) => !removed.has(node));
}
