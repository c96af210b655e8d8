/** What training steps at 640 x 640 take of the GPU's memory, on a device with WebGPU's default limits. */
import { describe, expect, it } from 'vitest';
import { buildModel } from '../../src/models/rt-detr.ts';
import { DEFAULT_LIMITS, planStep } from '../../src/training/memory.ts';
import type { TrainingConfig } from '../../src/training/step.ts';

const MIB = 2 ** 20;
const gpu = { software: false, subgroups: false, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };
const software = { ...gpu, software: true, subgroups: true };
const planned = (model: string, changes: Partial<TrainingConfig> & { batch: number }, target = gpu) =>
  planStep(buildModel(model), { maxTargets: 16, ...changes }, target);

describe.each([
  ['a GPU', gpu],
  ['a software adapter', software],
])('on %s', (_, target) => {
  it('RT-DETR-R34, 2 images: 1.3 GiB with normalised maps recomputed', () => {
    const { memory, plan } = planned('rtdetr-r34', { batch: 2, recompute: 'normalised' }, target);
    expect(memory.total).toBeLessThanOrEqual(1.3 * 1024 * MIB);
    expect(Math.max(...plan.arenas)).toBeLessThanOrEqual(DEFAULT_LIMITS.maxBufferSize);
    expect(Math.max(...plan.placements.map(({ bytes }) => bytes))).toBeLessThanOrEqual(DEFAULT_LIMITS.maxStorageBufferBindingSize);
  });
});

it('RT-DETR-R50, 1 image: within 4 GB, less with blocks recomputed', () => {
  const kept = planned('rtdetr-r50', { batch: 1, recompute: 'none' });
  const stages = planned('rtdetr-r50', { batch: 1, recompute: ['^backbone\\.res_layers\\.\\d+'] });
  expect(kept.memory.total).toBeLessThan(4e9);
  expect(stages.memory.activations).toBeLessThan(kept.memory.activations / 2);
  for (const { arenas } of [kept.plan, stages.plan]) expect(Math.max(...arenas)).toBeLessThanOrEqual(DEFAULT_LIMITS.maxBufferSize);
});

it('counts the arenas that a configuration has', () => {
  const optimizer = (changes: Partial<TrainingConfig>) => planned('association-detr-nano', { batch: 1, ...changes }).memory.optimizer;
  const copy = optimizer({}) / 5;
  expect(optimizer({ average: false })).toBe(4 * copy);
  expect(optimizer({ accumulation: true })).toBe(6 * copy);
});
