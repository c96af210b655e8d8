/**
 * Recomputation: what the backward pass reads is kept from the forward pass, or computed a second time right before its first use.
 * Which is which is a minimum cut, as in torch's `min_cut_rematerialization_partition`: of all sets of values from which the rest of
 * what backward reads can be computed again, the one with the fewest bytes; of several, the one that leaves least to compute. It
 * works on fused nodes, so that what is counted is memory that would exist. Copies do the same arithmetic on the same numbers: a
 * step has the same bits with and without.
 */
import { BackdropError } from '../errors.ts';
import { touched } from './fuse.ts';
import { type Graph, type Node, Tensor, type Value } from './graph.ts';
import { Network } from './min-cut.ts';
import type { PointwiseChain } from './pointwise.ts';

/**
 * none: all is kept. normalised: what operations compute about as fast as they read (`Operation.again`) is not kept: normalised and
 * activated maps, resized, pooled and joined ones. Patterns: also the whole inside of the blocks that they match in the nodes'
 * scopes, convolutions too (arXiv 1604.06174); equal matched texts are one block, whose results are kept.
 */
export type Recompute = 'none' | 'normalised' | readonly string[];

/** What a training step does when it is not told. */
export const DEFAULT_RECOMPUTE: Recompute = 'normalised';

/** Values that are smaller than this part of what the forward pass computes are kept: they are not worth a launch. In blocks; elsewhere. */
const WORTH = { block: 1 / 16384, again: 1 / 1024 };

/** A value with memory of its own, and those who write it or a part of it, in their order. */
interface Root {
  value: Value;
  producers: Node[];
  /** Blocks (null: none) of the forward nodes that read it. */
  readers: Set<string | null>;
  needed: boolean;
}

const bytesOf = ({ images, rows, columns }: Value): number => images * rows * columns * 4;

/**
 * The nodes with copies of forward nodes among the backward ones. The nodes given are not changed.
 * @throws BackdropError E_INPUT for a pattern that matches no forward node
 */
export function recompute(graph: Graph, nodes: readonly Node[], what: Recompute): Node[] {
  if (what === 'none') return [...nodes];
  const backward = new Set(graph.nodes.slice(graph.forwardNodes));
  const forward = nodes.filter((node) => !backward.has(node));
  const blocks = blocksOf(forward, what === 'normalised' ? [] : what);
  const roots = new Map<Value, Root>();
  for (const node of forward) {
    const { reads, writes } = touched(node);
    for (const value of new Set(writes)) {
      const root = roots.get(value) ?? { value, producers: [], readers: new Set(), needed: false };
      root.producers.push(node);
      roots.set(value, root);
    }
    for (const value of reads) roots.get(value)?.readers.add(blocks.get(node) ?? null);
  }
  for (const node of nodes) {
    if (!backward.has(node)) continue;
    for (const value of touched(node).reads) {
      const root = roots.get(value);
      if (root) root.needed = true;
    }
  }
  const kept = new Set([...graph.outputs.values(), ...graph.results.values()].map((tensor) => tensor.layout().root));
  const computed = [...roots.keys()].reduce((sum, value) => sum + bytesOf(value), 0);
  const repeatable = [...roots.values()].filter((root) => !kept.has(root.value) && isRepeatable(root, blocks, computed));
  const copied = unkept(roots, new Set(repeatable));
  const copies = new Copies(graph, new Map(copied.map(({ value, producers }) => [value, producers])));
  const result: Node[] = [];
  for (const node of nodes) result.push(...(backward.has(node) ? copies.before(node) : [node]));
  return needed(result, kept);
}

/** The block of each node that a pattern matches. */
function blocksOf(nodes: readonly Node[], patterns: readonly string[]): Map<Node, string> {
  const blocks = new Map<Node, string>();
  for (const pattern of patterns) {
    const expression = compile(pattern);
    let matched = false;
    for (const node of nodes) {
      const [text] = expression.exec(node.scope) ?? [];
      if (text === undefined) continue;
      matched = true;
      if (!blocks.has(node)) blocks.set(node, text);
    }
    if (!matched) {
      throw new BackdropError('E_INPUT', `The pattern ${pattern} of blocks to recompute matches no operation of the forward pass.`, {
        hint: 'Blocks are named as the parameters are: ^backbone\\.res_layers\\.0',
        details: { pattern },
      });
    }
  }
  return blocks;
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new BackdropError('E_INPUT', `The pattern ${pattern} of blocks to recompute is no regular expression.`, {
      cause,
      details: { pattern },
    });
  }
}

/** The node that computes a node's results, or the first of them, a second time from values of the forward pass. */
function again(node: Node): Node {
  const { again: other } = node.operation;
  return typeof other === 'function' ? { ...node, ...other(node), outputs: node.outputs.slice(0, 1) } : node;
}

function isRepeatable({ value, producers, readers }: Root, blocks: ReadonlyMap<Node, string>, computed: number): boolean {
  const block = blocks.get(producers[0]);
  const within = block !== undefined && producers.every((node) => blocks.get(node) === block);
  if (within && [...readers].some((reader) => reader !== block)) return false;
  if (bytesOf(value) < computed * (within ? WORTH.block : WORTH.again)) return false;
  return producers.every(({ operation, outputs: [first] }) => {
    const isFirst = first.layout().root === value;
    return operation.again ? isFirst || (within && operation.again === true) : within;
  });
}

/** The repeatable values that are computed again. */
function unkept(roots: ReadonlyMap<Value, Root>, repeatable: ReadonlySet<Root>): Root[] {
  const network = new Network();
  const [source, sink] = [network.vertex(), network.vertex()];
  const vertices = new Map(
    [...roots.values()].map((root): [Value, [number, number]] => [root.value, [network.vertex(), network.vertex()]]),
  );
  for (const root of roots.values()) {
    const [before, behind] = vertices.get(root.value)!;
    network.connect(before, behind, bytesOf(root.value));
    if (root.needed) network.connect(behind, sink, Infinity);
    if (!repeatable.has(root)) network.connect(source, before, Infinity);
    else
      for (const value of new Set(root.producers.flatMap((node) => touched(again(node)).reads))) {
        const read = vertices.get(value);
        if (read) network.connect(read[1], before, Infinity);
      }
  }
  const behind = network.behindCut(source, sink);
  return [...repeatable].filter(({ value }) => behind[vertices.get(value)![0]]);
}

/** Makes copies of what is not kept, where it is first read. */
class Copies {
  readonly #graph: Graph;
  readonly #producers: ReadonlyMap<Value, readonly Node[]>;
  readonly #done = new Set<Node>();
  readonly #values = new Map<Value, Value>();

  /** @param producers of each value that is not kept */
  constructor(graph: Graph, producers: ReadonlyMap<Value, readonly Node[]>) {
    this.#graph = graph;
    this.#producers = producers;
  }

  /** The node, reading copies, and before it those that are not there yet. */
  before(node: Node): Node[] {
    const made: Node[] = [];
    for (const value of touched(node).reads) this.#make(value, made);
    return [...made, this.#reading(node)];
  }

  #make(value: Value, made: Node[]): void {
    for (const producer of this.#producers.get(value) ?? []) {
      if (this.#done.has(producer)) continue;
      this.#done.add(producer);
      const copy = again(producer);
      for (const read of touched(copy).reads) this.#make(read, made);
      const outputs = copy.outputs.map((tensor) => this.#tensor(tensor));
      made.push({ ...this.#reading(copy), outputs, scope: `${producer.scope}.again` });
    }
  }

  #reading(node: Node): Node {
    const read = (tensor: Tensor): Tensor => (this.#producers.has(tensor.layout().root) ? this.#tensor(tensor) : tensor);
    const chain = (old: PointwiseChain | null) => old && { ...old, extras: old.extras.map(read) };
    return { ...node, inputs: node.inputs.map(read), prologue: chain(node.prologue), epilogue: chain(node.epilogue) };
  }

  #tensor({ shape, type, value, row, column }: Tensor): Tensor {
    return new Tensor(this.#graph, shape, type, this.#value(value), row, column);
  }

  /** The copy lies in its place within a larger value if that is copied, too. */
  #value(value: Value): Value {
    const known = this.#values.get(value);
    if (known) return known;
    const { images, rows, columns, type, label, placedIn } = value;
    const copy = this.#graph.value([images, rows, columns], type, 'activation', `${label}.again`);
    this.#values.set(value, copy);
    if (placedIn && this.#producers.has(rootOf(value))) copy.placedIn = { ...placedIn, value: this.#value(placedIn.value) };
    return copy;
  }
}

function rootOf(value: Value): Value {
  return value.placedIn ? rootOf(value.placedIn.value) : value;
}

/** Without the nodes whose results nobody reads any more. */
function needed(nodes: readonly Node[], kept: ReadonlySet<Value>): Node[] {
  const wanted = new Set(kept);
  return nodes
    .toReversed()
    .filter((node) => {
      const { reads, writes } = touched(node);
      if (!writes.some((value) => wanted.has(value))) return false;
      for (const value of reads) wanted.add(value);
      return true;
    })
    .reverse();
}
