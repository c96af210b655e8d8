/** What training steps take, counted without a device: RT-DETR-R34 on 2 images of 640x640, and the convnet of `bench peers`. */
import { describe, expect, it } from 'vitest';
import { convnet, convnetWorkloads } from '../../src/bench/convnet.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import type { Dispatch, Graph, Target } from '../../src/graph/graph.ts';
import { lower, resultMemory } from '../../src/graph/lower.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { ArenaLayout } from '../../src/training/arena.ts';
import { traceStep } from '../../src/training/trace.ts';
import { trainGraph } from '../../src/training/trained-graph.ts';
import { convnetLosses } from '../peers/ours.ts';

const limits = { maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };
const targets: Record<string, Target> = {
  'a GPU': { software: false, subgroups: false, ...limits },
  'a GPU with subgroups': { software: false, subgroups: true, ...limits },
  'a software adapter': { software: true, subgroups: true, ...limits },
};

/** The launches of a step, and how many the optimizer adds: norm, clipping, AdamW with the average over each segment of its arenas. */
function step(graph: Graph, target: Target): { dispatches: Dispatch[]; optimizer: number } {
  const arenas = new ArenaLayout(
    [...graph.results].map(([name, { size }]) => ({ name, size, kind: 'trained' as const })),
    128 * 2 ** 20,
  );
  const buffers = arenas.segments.map((size) => ({ size: size * 4 }));
  const { places } = resultMemory(graph, (name) => {
    const { segment, offset, size } = arenas.place(name);
    return { buffer: buffers[segment], offset: offset * 4, bytes: size * 4 };
  });
  return { dispatches: lower(graph, target, {}, places), optimizer: 3 * buffers.length };
}

describe.each(Object.entries(targets))('a training step on %s', (_, target) => {
  const detector = step(traceStep(buildModel('rtdetr-r34'), { batch: 2, size: [640, 640], maxTargets: 100 }).graph, target);

  it('of RT-DETR-R34 takes at most 900 dispatches', () => {
    expect(detector.dispatches.length + detector.optimizer).toBeLessThanOrEqual(900);
  });

  it('of RT-DETR-R34 compiles at most 120 pipelines', () => {
    expect(new Set(detector.dispatches.map((d) => KernelCache.key(d))).size + 3).toBeLessThanOrEqual(120);
  });

  it('of RT-DETR-R34 binds at most the default limit of 8 storage buffers', () => {
    for (const { shader, label } of detector.dispatches) expect(shader.bindings.length, label).toBeLessThanOrEqual(8);
  });

  it.each(convnetWorkloads)('of $name takes at most 150 dispatches', (workload) => {
    const { dispatches, optimizer } = step(trainGraph(convnetLosses(convnet(workload))).graph, target);
    expect(dispatches.length + optimizer).toBeLessThanOrEqual(150);
  });
});
