/** Page side of tests/setup/gpu-ops.ts: builds the graph a test describes, runs it, and gives back outputs and statistics. */
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import type { FuseOptions } from '../../src/graph/fuse.ts';
import { Graph, type Tensor } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { type HostArray, Program, type ProgramStatistics } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import { operations } from './op-registry.ts';

export interface GraphInput {
  data: HostArray;
  shape: readonly number[];
  /** A parameter of the graph instead of an input. */
  parameter?: boolean;
  /** With `parameter`: one value a row, stored four times. */
  replicated?: boolean;
}

export interface GraphStep {
  op: string;
  /** Names of inputs or of earlier steps' outputs. */
  inputs: readonly string[];
  outputs: readonly string[];
  attributes?: unknown;
}

export interface GraphCase {
  inputs: Readonly<Record<string, GraphInput>>;
  steps: readonly GraphStep[];
  outputs: readonly string[];
  options?: RunOptions;
}

export interface RunOptions {
  variants?: Readonly<Record<string, string>>;
  fuse?: FuseOptions;
  reuseMemory?: boolean;
}

export interface GraphResult {
  outputs: Record<string, { data: HostArray; shape: readonly number[] }>;
  statistics: ProgramStatistics;
  /** Shader of each dispatch. */
  kernels: string[];
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

async function device(): Promise<{ gpu: Gpu; kernels: KernelCache }> {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  return shared;
}

function build({ inputs, steps, outputs }: GraphCase): Graph {
  const graph = new Graph();
  const tensors = new Map<string, Tensor>();
  for (const [name, { data, shape, parameter, replicated = false }] of Object.entries(inputs)) {
    const type = data instanceof Uint32Array ? 'u32' : 'f32';
    const stored = replicated ? Float32Array.from({ length: data.length * 4 }, (_, i) => data[i >> 2]) : data;
    const tensor = parameter
      ? graph.parameter({ key: name, shape, type, replicated, sources: [], build: () => stored })
      : graph.input(name, shape, type);
    tensors.set(name, tensor);
  }
  const get = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the test's graph has no tensor ${name}`);
    return tensor;
  };
  for (const step of steps) {
    const op = operations[step.op];
    if (!op) throw new Error(`no operation ${step.op} in tests/setup/op-registry.ts`);
    const made = op(step.inputs.map(get), step.attributes ?? {});
    step.outputs.forEach((name, i) => {
      if (!made[i]) throw new Error(`${step.op} has no output ${i}`);
      tensors.set(name, made[i]);
    });
  }
  for (const name of outputs) graph.output(name, get(name));
  return graph;
}

function sameBits(a: HostArray, b: HostArray): boolean {
  const [x, y] = [a, b].map((data) => new Uint32Array(data.buffer, data.byteOffset, data.length));
  return x.length === y.length && x.every((word, i) => word === y[i]);
}

async function run(given: GraphCase): Promise<GraphResult> {
  const { gpu, kernels } = await device();
  const graph = build(given);
  const parameters = new ParameterStore(gpu, { readFloat32: (name) => Promise.reject(new Error(`no checkpoint tensor ${name}`)) });
  let program: Program | null = null;
  try {
    program = await Program.build(gpu, kernels, graph, parameters, given.options ?? {});
    const inputs = Object.fromEntries([...graph.inputs.keys()].map((name) => [name, given.inputs[name].data]));
    const first = await program.run(inputs);
    const second = await program.run({});
    for (const [name, data] of first) if (!sameBits(data, second.get(name)!)) throw new Error(`${name} differs between two runs`);
    gpu.check();
    return {
      outputs: Object.fromEntries([...first].map(([name, data]) => [name, { data, shape: graph.outputs.get(name)!.shape }])),
      statistics: program.statistics,
      kernels: program.steps.map((step) => step.kernel),
    };
  } finally {
    program?.destroy();
    parameters.destroy();
  }
}

/** Runs twice: different bits, a leaked buffer or an uncaptured error fail the call. */
register<GraphCase>('run-graph', async (given) => {
  const before = (await device()).gpu.counters.buffers;
  const result = await run(given);
  const leaked = (await device()).gpu.counters.buffers - before;
  if (leaked !== 0) throw new Error(`${leaked} buffers were not destroyed`);
  return result;
});
