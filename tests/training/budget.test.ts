/** What training steps take, counted without a device: RT-DETR-R34 on 2 images of 640x640, and the convnet of `bench peers`. */
import { describe, expect, it } from 'vitest';
import { convnet, convnetWorkloads } from '../../src/bench/convnet.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import type { Target } from '../../src/graph/graph.ts';
import type { Recompute } from '../../src/graph/recompute.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { lowerStep } from '../../src/training/memory.ts';
import { traceStep } from '../../src/training/trace.ts';
import { trainGraph } from '../../src/training/trained-graph.ts';
import { convnetLosses } from '../peers/ours.ts';

const limits = { maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };
const targets: Record<string, Target> = {
  'a GPU': { software: false, subgroups: false, ...limits },
  'a GPU with subgroups': { software: false, subgroups: true, ...limits },
  'a software adapter': { software: true, subgroups: true, ...limits },
};
/** The optimizer's launches and pipelines: norm, clipping, AdamW with the average. All of both networks' arenas are one segment. */
const OPTIMIZER = 3;

describe.each(Object.entries(targets))('a training step on %s', (_, target) => {
  const lowered = (recompute: Recompute) =>
    lowerStep(traceStep(buildModel('rtdetr-r34'), { batch: 2, size: [640, 640], maxTargets: 100 }), { recompute }, target).dispatches;
  const dispatches = lowered('none');

  it('of RT-DETR-R34 takes at most 900 dispatches', () => {
    expect(dispatches.length + OPTIMIZER).toBeLessThanOrEqual(900);
  });

  it('of RT-DETR-R34 takes at most 90 more when normalised maps are computed again', () => {
    const { length } = lowered('normalised');
    expect(length).toBeGreaterThan(dispatches.length);
    expect(length).toBeLessThanOrEqual(dispatches.length + 90);
  });

  it('of RT-DETR-R34 compiles at most 120 pipelines', () => {
    expect(new Set(dispatches.map((d) => KernelCache.key(d))).size + OPTIMIZER).toBeLessThanOrEqual(120);
  });

  it('of RT-DETR-R34 binds at most the default limit of 8 storage buffers', () => {
    for (const { shader, label } of dispatches) expect(shader.bindings.length, label).toBeLessThanOrEqual(8);
  });

  it.each(convnetWorkloads)('of $name takes at most 250 dispatches', (workload) => {
    const step = lowerStep(trainGraph(convnetLosses(convnet(workload))), {}, target);
    expect(step.dispatches.length + OPTIMIZER).toBeLessThanOrEqual(250);
  });
});
