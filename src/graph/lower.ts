/** From a graph to kernel launches, and what those touch. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { type FuseOptions, fuse, touched } from './fuse.ts';
import {
  type Dispatch,
  type ElementType,
  type Graph,
  type LowerContext,
  type MemoryPlace,
  type Node,
  type PartSum,
  type PartSums,
  type Target,
  Tensor,
  type Value,
} from './graph.ts';
import { type MemoryPlan, type PlanOptions, planMemory } from './plan.ts';

export interface Access {
  reads: Value[];
  writes: Value[];
}

export function targetOf(gpu: Gpu, variants: Readonly<Record<string, string>> = {}): Target {
  return {
    software: gpu.info.software,
    subgroups: gpu.device.features.has('subgroups' as GPUFeatureName),
    maxStorageBuffers: gpu.device.limits.maxStorageBuffersPerShaderStage,
    maxWorkgroupStorage: gpu.device.limits.maxComputeWorkgroupStorageSize,
    variants,
  };
}

/**
 * Lowers a graph to dispatches without a device's help: what tests and the bench count.
 * @param places where results lie (`resultPlaces`)
 */
export function lower(
  graph: Graph,
  target: Target,
  options: FuseOptions = {},
  places: ReadonlyMap<Value, MemoryPlace> = new Map(),
): Dispatch[] {
  const { nodes } = fuse(graph, options);
  const dispatches: Dispatch[] = [];
  const add = (scope: string, made: readonly Dispatch[]) => {
    for (const dispatch of made) dispatches.push({ ...dispatch, label: dispatch.label ? `${scope}.${dispatch.label}` : scope });
  };
  const temporary =
    (scope: string) =>
    (shape: readonly number[], type: ElementType = 'f32'): Tensor =>
      new Tensor(graph, shape, type, graph.value(shape, type, 'activation', `${scope}.temporary`));
  const later = new PendingSums(graph, (made) => add('sums', [made]), places);
  for (const node of nodes) {
    later.finish(node);
    const partials: LowerContext['partials'] = (kind, sums, parts) => later.partials(kind, sums, parts);
    add(node.scope, node.operation.lower(node, { target, temporary: temporary(node.scope), partials }));
  }
  later.finish();
  return dispatches;
}

/** Scratch of the partial sums that wait for their last stage, in bytes; a single sum may have more. */
const MOST_SCRATCH = 64 * 2 ** 20;

type Growing = { -readonly [K in keyof Value]: Value[K] };

interface Batch {
  /** Grows until the batch is launched. */
  scratch: Growing;
  sums: (Omit<PartSum, 'at'> & { sum: Tensor })[];
}

/** Whole vectors, where what comes next begins. */
const aligned = (length: number): number => Math.ceil(length / 4) * 4;

/** Sums in parts whose last stage waits, so that one launch makes many of them: all those whose results lie in one memory. */
class PendingSums {
  readonly #graph: Graph;
  readonly #emit: (dispatch: Dispatch) => void;
  readonly #places: ReadonlyMap<Value, MemoryPlace>;
  readonly #batches = new Map<PartSums, Batch>();

  constructor(graph: Graph, emit: (dispatch: Dispatch) => void, places: ReadonlyMap<Value, MemoryPlace>) {
    this.#graph = graph;
    this.#emit = emit;
    this.#places = places;
  }

  partials(kind: PartSums, sums: readonly Tensor[], parts: number): Tensor {
    const distance = sums.reduce((total, { size }) => total + size, 0);
    const length = parts * distance;
    let batch = this.#batches.get(kind);
    if (batch && (batch.scratch.columns + length) * 4 > MOST_SCRATCH) {
      this.#launch(kind, batch);
      batch = undefined;
    }
    if (!batch) {
      batch = { scratch: this.#graph.value([0], 'f32', 'activation', 'sums.parts'), sums: [] };
      this.#batches.set(kind, batch);
    }
    const { scratch } = batch;
    const start = scratch.columns;
    let first = start;
    for (const sum of sums) {
      batch.sums.push({ sum, size: sum.size, parts, first, distance });
      first += sum.size;
    }
    scratch.columns = aligned(start + length);
    return new Tensor(this.#graph, [length], 'f32', scratch, 0, start);
  }

  /** Launches what `reader` is about to read; without it, all. */
  finish(reader?: Node): void {
    const read = reader && new Set(touched(reader).reads);
    for (const [kind, batch] of this.#batches) {
      if (!read || batch.sums.some(({ sum }) => read.has(sum.layout().root))) this.#launch(kind, batch);
    }
  }

  #launch(kind: PartSums, { scratch, sums }: Batch): void {
    this.#batches.delete(kind);
    const together: Growing = this.#graph.value([0], 'f32', 'activation', 'sums');
    const memories = new Map<Value, { sums: PartSum[]; covers: Value[] }>();
    for (const { sum, ...copies } of sums) {
      const { memory, at } = this.#place(sum, together);
      const found = memories.get(memory) ?? { sums: [], covers: [] };
      memories.set(memory, found);
      found.sums.push({ ...copies, at });
      if (sum.layout().root !== memory) found.covers.push(sum.layout().root);
    }
    const dense = (value: Value) => new Tensor(this.#graph, [value.columns], 'f32', value);
    for (const [memory, { sums, covers }] of memories) this.#emit({ ...kind.launch(dense(scratch), dense(memory), sums), covers });
  }

  /** A result's own memory; or that of a larger value which it is a part of; else memory that the launch's other sums share. */
  #place(sum: Tensor, together: Growing): { memory: Value; at: number } {
    const { root, offset } = sum.layout();
    const place = this.#places.get(root);
    if (place) return { memory: place.value, at: place.element + offset };
    if (root !== sum.value || sum.size < root.images * root.rows * root.columns) return { memory: root, at: offset };
    root.placedIn = { value: together, element: together.columns };
    together.columns = aligned(together.columns + sum.size);
    return { memory: together, at: root.placedIn.element };
  }
}

/** The plan of a graph's activations: outputs stay to the end, results have memory elsewhere. */
export function planActivations(
  { outputs }: Graph,
  accesses: readonly Access[],
  { locations }: ResultMemory<unknown>,
  options: Pick<PlanOptions, 'reuse' | 'maxArena'>,
): MemoryPlan {
  const roots = new Set([...outputs.values()].map((t) => t.layout().root));
  return planMemory(accesses, { ...options, outputs: roots, elsewhere: new Set(locations.keys()) });
}

/** Values that a launch reads and writes. @throws BackdropError E_GPU_VALIDATION when a value is both */
export function accessesOf(dispatch: Dispatch): Access {
  const reads = new Set<Value>();
  const writes = new Set<Value>();
  for (const { name, access } of dispatch.shader.bindings) {
    const tensor = dispatch.bind[name];
    if (tensor) (access === 'read' ? reads : writes).add(tensor.layout().root);
  }
  for (const value of dispatch.covers ?? []) writes.add(value);
  for (const value of writes) {
    if (reads.has(value)) throw new BackdropError('E_GPU_VALIDATION', `${dispatch.label} reads and writes ${value.label}.`);
  }
  return { reads: [...reads], writes: [...writes] };
}

/** Memory of the graph's results: where each lies, and in whose whole memory, so that one launch can write many of them. */
export interface ResultMemory<B> {
  readonly locations: ReadonlyMap<Value, { buffer: B; offset: number; bytes: number }>;
  readonly places: ReadonlyMap<Value, MemoryPlace>;
}

/** @throws BackdropError E_GPU_VALIDATION when the graph has results, and nobody says where they lie */
export function resultMemory<B extends { readonly size: number }>(
  graph: Graph,
  locate?: (name: string) => { buffer: B; offset: number; bytes: number },
): ResultMemory<B> {
  const locations = new Map<Value, { buffer: B; offset: number; bytes: number }>();
  const places = new Map<Value, MemoryPlace>();
  const wholes = new Map<B, Value>();
  for (const [name, { value }] of graph.results) {
    if (!locate) throw new BackdropError('E_GPU_VALIDATION', `Result ${name} has been given no memory.`);
    const location = locate(name);
    const { buffer, offset } = location;
    let whole = wholes.get(buffer);
    if (!whole) {
      whole = graph.value([buffer.size / 4], 'f32', 'activation', 'results');
      wholes.set(buffer, whole);
      locations.set(whole, { buffer, offset: 0, bytes: buffer.size });
    }
    locations.set(value, location);
    places.set(value, { value: whole, element: offset / 4 });
  }
  return { locations, places };
}

/** A buffer of results is only written: no kernel may read one of them and write another. @throws BackdropError E_GPU_VALIDATION */
export function checkResults(dispatches: readonly Dispatch[], accesses: readonly Access[], { locations }: ResultMemory<unknown>): void {
  accesses.forEach(({ reads, writes }, i) => {
    if (!writes.some((value) => locations.has(value))) return;
    const read = reads.find((value) => locations.has(value));
    if (read) throw new BackdropError('E_GPU_VALIDATION', `${dispatches[i].label} reads the result ${read.label} and writes another.`);
  });
}
