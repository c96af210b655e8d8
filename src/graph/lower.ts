/** From a graph to kernel launches, and what those touch. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { type FuseOptions, fuse, touched } from './fuse.ts';
import {
  type Dispatch,
  type ElementType,
  type Graph,
  type LowerContext,
  type Node,
  type PartSum,
  type PartSums,
  type Target,
  Tensor,
  type Value,
} from './graph.ts';
import type { ParameterLocation } from './parameters.ts';
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

/** Lowers a graph to dispatches without a device's help: what tests and the bench count. */
export function lower(graph: Graph, target: Target, options: FuseOptions = {}): Dispatch[] {
  const { nodes } = fuse(graph, options);
  const dispatches: Dispatch[] = [];
  const add = (scope: string, made: readonly Dispatch[]) => {
    for (const dispatch of made) dispatches.push({ ...dispatch, label: dispatch.label ? `${scope}.${dispatch.label}` : scope });
  };
  const temporaries =
    (scope: string) =>
    (shape: readonly number[], type: ElementType = 'f32'): Tensor =>
      new Tensor(graph, shape, type, graph.value(shape, type, 'activation', `${scope}.temporary`));
  const later = new PendingSums(graph, (made) => add('sums', [made]), temporaries('sums'));
  for (const node of nodes) {
    later.finish(node);
    const partials: LowerContext['partials'] = (kind, sums, parts) => later.partials(kind, sums, parts);
    add(node.scope, node.operation.lower(node, { target, temporary: temporaries(node.scope), partials }));
  }
  later.finish();
  return dispatches;
}

/** Scratch of the partial sums that wait for their last stage, in bytes; a single sum may have more. */
const MOST_SCRATCH = 32 * 2 ** 20;

interface Batch {
  /** Grows until the batch is launched. */
  scratch: { -readonly [K in keyof Value]: Value[K] };
  sums: PartSum[];
}

/** No launch may bind one value twice for writing. */
function hasRoom(batch: Batch, { most }: PartSums, sums: readonly Tensor[], length: number): boolean {
  const roots = new Set(sums.map((sum) => sum.layout().root));
  const meets = batch.sums.some(({ sum }) => roots.has(sum.layout().root));
  return !meets && batch.sums.length + sums.length <= most && (batch.scratch.columns + length) * 4 <= MOST_SCRATCH;
}

/** Sums in parts whose last stage waits, so that one launch makes many of them. */
class PendingSums {
  readonly #graph: Graph;
  readonly #emit: (dispatch: Dispatch) => void;
  readonly #temporary: LowerContext['temporary'];
  readonly #batches = new Map<PartSums, Batch>();

  constructor(graph: Graph, emit: (dispatch: Dispatch) => void, temporary: LowerContext['temporary']) {
    this.#graph = graph;
    this.#emit = emit;
    this.#temporary = temporary;
  }

  partials(kind: PartSums, sums: readonly Tensor[], parts: number): Tensor {
    const distance = sums.reduce((total, { size }) => total + size, 0);
    const length = parts * distance;
    let batch = this.#batches.get(kind);
    if (batch && !hasRoom(batch, kind, sums, length)) {
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
      batch.sums.push({ sum, parts, first, distance });
      first += sum.size;
    }
    // The next copies begin where whole vectors do.
    scratch.columns = Math.ceil((start + length) / 4) * 4;
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
    this.#emit(kind.launch(new Tensor(this.#graph, [scratch.columns], 'f32', scratch), sums, this.#temporary));
  }
}

/** The plan of a graph's activations: outputs stay to the end, results have memory elsewhere. */
export function planActivations(
  { outputs, results }: Graph,
  accesses: readonly Access[],
  options: Pick<PlanOptions, 'reuse' | 'maxArena'>,
): MemoryPlan {
  const roots = (tensors: ReadonlyMap<string, Tensor>) => new Set([...tensors.values()].map((t) => t.layout().root));
  return planMemory(accesses, { ...options, outputs: roots(outputs), elsewhere: roots(results) });
}

/** Values that a launch reads and writes. @throws BackdropError E_GPU_VALIDATION when a value is both */
export function accessesOf(dispatch: Dispatch): Access {
  const reads = new Set<Value>();
  const writes = new Set<Value>();
  for (const { name, access } of dispatch.shader.bindings) {
    const tensor = dispatch.bind[name];
    if (tensor) (access === 'read' ? reads : writes).add(tensor.layout().root);
  }
  for (const value of writes) {
    if (reads.has(value)) throw new BackdropError('E_GPU_VALIDATION', `${dispatch.label} reads and writes ${value.label}.`);
  }
  return { reads: [...reads], writes: [...writes] };
}

/**
 * Memory of the graph's results. A buffer of results is only written: no kernel may read one of them and write another.
 * @throws BackdropError E_GPU_VALIDATION
 */
export function resultLocations(
  graph: Graph,
  dispatches: readonly Dispatch[],
  accesses: readonly Access[],
  locate?: (name: string) => ParameterLocation,
): Map<Value, ParameterLocation> {
  const found = new Map<Value, ParameterLocation>();
  for (const [name, tensor] of graph.results) {
    if (!locate) throw new BackdropError('E_GPU_VALIDATION', `Result ${name} has been given no memory.`);
    found.set(tensor.layout().root, locate(name));
  }
  accesses.forEach(({ reads, writes }, i) => {
    if (!writes.some((value) => found.has(value))) return;
    const read = reads.find((value) => found.has(value));
    if (read) throw new BackdropError('E_GPU_VALIDATION', `${dispatches[i].label} reads the result ${read.label} and writes another.`);
  });
  return found;
}
