/** Page side of the criterion's tests: one recorded program gives costs, losses and gradients. */
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import { gradients } from '../../src/ops/gradient.ts';
import {
  type CriterionOptions,
  criterion,
  joinOutputs,
  matchingCosts,
  type OutputSet,
  targetInputs,
} from '../../src/training/criterion.ts';
import { CriterionHost } from '../../src/training/criterion-host.ts';
import type { DenoisingLayout } from '../../src/training/denoising.ts';
import type { Targets } from '../../src/training/targets.ts';

export interface CriterionCase {
  options: CriterionOptions;
  batch: Targets[];
  /** All images of the step. */
  step?: Targets[];
  denoising: DenoisingLayout;
  sets: { suffix: string; queries: number; denoising?: boolean; logits: Float32Array; boxes: Float32Array }[];
  plain?: boolean;
}

export interface CriterionAnswer {
  loss: number;
  terms: Record<string, number>;
  costs: Float32Array;
  match: Uint32Array;
  /** Of logits and boxes, by set. */
  gradients: { logits: Float32Array; boxes: Float32Array }[];
  dispatches: number;
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

register<CriterionCase>('criterion', async (given): Promise<CriterionAnswer> => {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  const { gpu, kernels } = shared;
  const { options, batch, denoising } = given;
  const graph = new Graph();
  const sets = given.sets.map((set, i): OutputSet => {
    const classes = set.logits.length / batch.length / set.queries;
    return {
      suffix: set.suffix,
      denoising: set.denoising === true,
      logits: graph.input(`logits${i}`, [batch.length, set.queries, classes]),
      boxes: graph.input(`boxes${i}`, [batch.length, set.queries, 4]),
    };
  });
  const joined = joinOutputs(sets);
  const host = new CriterionHost(given.sets, batch.length, options);
  const targets = targetInputs(graph, batch.length, options);
  const match = graph.input('match', [batch.length, host.rows, 1], 'u32');
  graph.output('costs', matchingCosts(joined, targets, options));
  const { terms, seeds } = criterion(joined, targets, match, options);
  graph.output('terms', terms);
  const found = gradients(
    graph,
    seeds,
    sets.flatMap(({ logits, boxes }) => [logits, boxes]),
  );
  sets.forEach(({ logits, boxes }, i) => {
    graph.output(`gradient.logits${i}`, found.get(logits)!);
    graph.output(`gradient.boxes${i}`, found.get(boxes)!);
  });
  const store = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
  const fuse = given.plain ? { fuse: { pointwise: false, concat: false } } : {};
  const program = await Program.build(gpu, kernels, graph, store, fuse);
  try {
    const { table, labels } = host.targets(batch, denoising, given.step);
    const inputs: Record<string, Float32Array | Uint32Array> = { 'targets.table': table, 'targets.labels': labels };
    given.sets.forEach((set, i) => {
      inputs[`logits${i}`] = set.logits;
      inputs[`boxes${i}`] = set.boxes;
    });
    const first = await program.run({ ...inputs, match: new Uint32Array(batch.length * host.rows) });
    const costs = first.get('costs') as Float32Array;
    const lines = host.match(costs, batch, denoising);
    const second = await program.run({ match: lines });
    const read = (name: string) => second.get(name) as Float32Array;
    return {
      ...host.losses(read('terms'), denoising),
      costs,
      match: lines,
      gradients: given.sets.map((_, i) => ({ logits: read(`gradient.logits${i}`), boxes: read(`gradient.boxes${i}`) })),
      dispatches: program.statistics.dispatches,
    };
  } finally {
    program.destroy();
    store.destroy();
  }
});
