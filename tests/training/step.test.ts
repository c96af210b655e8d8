/** What a training step is made of, without a GPU. */
import { expect, it } from 'vitest';
import { accessesOf, checkResults, lower } from '../../src/graph/lower.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { lowerStep } from '../../src/training/memory.ts';
import { type StepShape, traceStep } from '../../src/training/trace.ts';
import { LOSSES } from '../../src/training/trained-graph.ts';
import { smallModels } from '../models/small-models.ts';

const shape: StepShape = { batch: 2, maxTargets: 4 };
const trace = (model: ModelConfig, changes: Partial<StepShape> = {}) => traceStep(buildModel(model), { ...shape, ...changes });
const target = { software: true, subgroups: false, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };

it.each(['tiny-v1', 'odd-v2', 'tiny-ae-v1', 'odd-ae-v2'])('%s: every result is written, and never read by what writes another', (name) => {
  const traced = trace(smallModels[name]);
  const { graph, trained, statistics } = traced;
  const { dispatches, results } = lowerStep(traced, {}, target);
  const accesses = dispatches.map(accessesOf);
  checkResults(dispatches, accesses, results);
  const written = new Set(accesses.flatMap(({ writes }) => writes));
  expect([...graph.results.values()].every(({ value }) => written.has(value))).toBe(true);
  const keys = [...trained, ...statistics].flatMap(({ kernelKeys }) => kernelKeys);
  expect([...graph.results.keys()]).toEqual([LOSSES, ...keys]);
});

it('the matching waits for nothing that depends on it', () => {
  const { graph } = trace(smallModels['tiny-v1']);
  const accesses = lower(graph, target).map(accessesOf);
  const [costs, match] = [graph.outputs.get('costs')!.value, graph.inputs.get('match')!.value];
  const ready = accesses.findIndex(({ writes }) => writes.includes(costs));
  const first = accesses.findIndex(({ reads }) => reads.includes(match));
  expect(ready).toBeGreaterThan(0);
  expect(first).toBeGreaterThan(ready);
});

it('all parameters but the frozen ones are trained', () => {
  const model = smallModels['tiny-v1'];
  const { parameters } = buildModel(model);
  const trainable = [...parameters].filter(([, { kind }]) => kind === 'param').map(([name]) => name);
  const names = (changes: Partial<StepShape> = {}) => trace(model, changes).trained.map(({ name }) => name);
  expect(names()).toEqual(trainable);
  const rest = trainable.filter((name) => !name.startsWith('backbone.conv1') && !name.includes('norm1'));
  expect(names({ freeze: ['^backbone\\.conv1', 'norm1'] })).toEqual(rest);
  expect(() => names({ freeze: ['^bakbone'] })).toThrow(expect.objectContaining({ code: 'E_INPUT' }));
  expect(trace({ ...model, freezeNorm: 'all' }).statistics).toEqual([]);
});

it('without denoising its embedding gets no gradient, and its losses are gone', () => {
  const { trained, sets, graph } = trace(smallModels['tiny-v1'], { denoising: false });
  expect(trained.map(({ name }) => name)).not.toContain('decoder.denoising_class_embed.weight');
  expect(sets.map(({ suffix }) => suffix)).toEqual(['', '_aux_0', '_aux_1']);
  expect([...graph.inputs.keys()]).toEqual(['image', 'targets.table', 'targets.labels', 'match']);
});

it('version 2 keeps the encoder apart', () => {
  const { sets } = trace(smallModels['odd-v2']);
  expect(sets.map(({ suffix }) => suffix)).toEqual(['', '_aux_0', '_aux_1', '_enc_0', '_dn_0', '_dn_1', '_dn_2']);
});
