/** From a graph to kernel launches, and what those touch. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { type FuseOptions, fuse } from './fuse.ts';
import { type Dispatch, type ElementType, type Graph, type Target, Tensor, type Value } from './graph.ts';
import type { ParameterLocation } from './parameters.ts';

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
  return nodes.flatMap((node) =>
    node.operation
      .lower(node, {
        target,
        temporary: (shape, type: ElementType = 'f32') =>
          new Tensor(graph, shape, type, graph.value(shape, type, 'activation', `${node.scope}.temporary`)),
      })
      .map((dispatch) => ({ ...dispatch, label: dispatch.label ? `${node.scope}.${dispatch.label}` : node.scope })),
  );
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
