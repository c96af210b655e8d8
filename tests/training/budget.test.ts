/** What a training step of RT-DETR-R34 takes, 2 images of 640x640, counted without a device. */
import { describe, expect, it } from 'vitest';
import { KernelCache } from '../../src/gpu/kernels.ts';
import type { Target } from '../../src/graph/graph.ts';
import { lower, resultMemory } from '../../src/graph/lower.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { ArenaLayout } from '../../src/training/arena.ts';
import { traceStep } from '../../src/training/trace.ts';

const limits = { maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };
const targets: Record<string, Target> = {
  'a GPU': { software: false, subgroups: false, ...limits },
  'a GPU with subgroups': { software: false, subgroups: true, ...limits },
  'a software adapter': { software: true, subgroups: true, ...limits },
};
/** Launches of the optimizer over a segment: norm, clipping, AdamW with the average. */
const OPTIMIZER = 3;

describe.each(Object.entries(targets))('a training step of RT-DETR-R34 on %s', (_, target) => {
  const { graph } = traceStep(buildModel('rtdetr-r34'), { batch: 2, size: [640, 640], maxTargets: 100 });
  const arenas = new ArenaLayout(
    [...graph.results].map(([name, { size }]) => ({ name, size, kind: 'trained' as const })),
    128 * 2 ** 20,
  );
  const buffers = arenas.segments.map((size) => ({ size: size * 4 }));
  const { places } = resultMemory(graph, (name) => {
    const { segment, offset, size } = arenas.place(name);
    return { buffer: buffers[segment], offset: offset * 4, bytes: size * 4 };
  });
  const dispatches = lower(graph, target, {}, places);

  it('takes at most 900 dispatches, with the optimizer', () => {
    expect(dispatches.length + OPTIMIZER * buffers.length).toBeLessThanOrEqual(900);
  });

  it('compiles at most 120 pipelines, with the optimizer', () => {
    expect(new Set(dispatches.map((d) => KernelCache.key(d))).size + OPTIMIZER).toBeLessThanOrEqual(120);
  });

  it('binds at most the default limit of 8 storage buffers', () => {
    for (const { shader, label } of dispatches) expect(shader.bindings.length, label).toBeLessThanOrEqual(limits.maxStorageBuffers);
  });
});
