/** Runs small models with formula weights in the page. */
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import type { FuseOptions } from '../../src/graph/fuse.ts';
import { Graph } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { type HostArray, Program, type ProgramStatistics } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { FormulaSource, uniform } from '../../src/verification/formula.ts';

export interface ForwardRequest {
  config: ModelConfig;
  /** Names of the pictures in the batch: one name is one picture of noise. */
  images: readonly string[];
  size?: readonly [number, number];
  taps?: readonly string[];
  /** Values in place of the formula's. */
  given?: Record<string, Float32Array>;
  fuse?: FuseOptions;
  reuseMemory?: boolean;
}

export interface ForwardReply {
  outputs: Record<string, HostArray>;
  statistics: ProgramStatistics;
  /** Bytes the parameters took. */
  parameterBytes: number;
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

register<ForwardRequest[]>('forward', async (requests): Promise<ForwardReply[]> => {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  const { gpu, kernels } = shared;
  const replies: ForwardReply[] = [];
  const stores = new Map<string, ParameterStore>();
  const before = gpu.counters.buffers;
  for (const { config, images, size = config.size, taps = [], given = {}, ...options } of requests) {
    const model = buildModel(config);
    // Requests for one model share its parameters, as a detector's Programs do.
    const key = JSON.stringify([config, Object.keys(given)]);
    if (!stores.has(key)) {
      const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
      stores.set(key, new ParameterStore(gpu, new FormulaSource(shapes, 'tests', { given: new Map(Object.entries(given)) })));
    }
    const parameters = stores.get(key)!;
    const graph = new Graph();
    const image = graph.input('image', [images.length, ...size, 3]);
    const { logits, boxes, topkIndices } = model.trace(graph, image, { taps: (stage) => taps.includes(stage) });
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    graph.output('topk', topkIndices);
    const program = await Program.build(gpu, kernels, graph, parameters, options);
    const pixels = size[0] * size[1] * 3;
    const batch = new Float32Array(images.length * pixels);
    images.forEach((name, i) => {
      batch.set(uniform(name, pixels), i * pixels);
    });
    const outputs = Object.fromEntries(await program.run({ image: batch }));
    program.destroy();
    replies.push({ outputs, statistics: program.statistics, parameterBytes: parameters.bytes });
  }
  for (const store of stores.values()) store.destroy();
  if (gpu.counters.buffers !== before) throw new Error(`${gpu.counters.buffers - before} buffers were not destroyed`);
  return replies;
});
