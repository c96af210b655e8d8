import { describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/graph.ts';
import type { HostArray } from '../../src/graph/program.ts';
import { modelConfig } from '../../src/models/resolve.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { traceTraining } from '../../src/models/training.ts';
import { type TrainableParameter, trainableParameters } from '../../src/nn/training.ts';
import { uniform } from '../../src/verification/formula.ts';
import { page } from '../setup/gpu.ts';
import type { ForwardReply, ForwardRequest } from './forward.page.ts';
import { smallModels } from './small-models.ts';
import type { TrainingReply, TrainingRequest } from './training.page.ts';

const train = (request: TrainingRequest): Promise<TrainingReply> => page.call<TrainingReply>('training', request);

const largest = (values: ArrayLike<number>): number => Array.from(values, Math.abs).reduce((a, b) => Math.max(a, b), 0);
const distance = (a: HostArray, b: HostArray): number => largest(Array.from(a, (v, i) => v - b[i]));

const firstDifference = (a: HostArray, b: HostArray): number => (a.length === b.length ? a.findIndex((v, i) => v !== b[i]) : 0);

const tiny = smallModels['tiny-v1'];
const frozen = { ...tiny, freezeNorm: 'all' } as const;
const NOISY = 4;

function traced(config: Parameters<typeof buildModel>[0]): { trained: TrainableParameter[]; names: string[]; statistics: number } {
  const model = buildModel(config);
  const graph = new Graph();
  const { size, queries } = model.config;
  const denoising = {
    classes: graph.input('classes', [2, NOISY, 1], 'u32'),
    boxes: graph.input('boxes', [2, NOISY, 4]),
    mask: graph.input('mask', [queries + NOISY, queries + NOISY]),
  };
  const { statistics } = traceTraining(model, graph, graph.input('image', [2, ...size, 3]), { denoising });
  const names = [...model.parameters].filter(([, { kind }]) => kind === 'param').map(([name]) => name);
  return { trained: trainableParameters(graph, model.parameters), names, statistics: statistics.length };
}

describe('parameters in training', () => {
  const models = [tiny, smallModels['odd-ae-v2'], smallModels['tiny-ae-v1-bam+el'], modelConfig('association-detr-r50')];
  it.each(models.map((config) => [config.name, config] as const))('%s: every trained tensor has its own', (_, config) => {
    const { trained, names } = traced(config);
    expect(trained.map(({ name }) => name)).toEqual(names);
  });

  it.each([tiny, smallModels['odd-ae-v2']].map((config) => [config.name, config] as const))(
    '%s: values go to the kernels and back unchanged',
    (_, config) => {
      for (const { name, shape, tensors, fromPyTorch, toPyTorch } of traced(config).trained) {
        const values = uniform(
          name,
          shape.reduce((a, b) => a * b, 1),
        );
        const parts = fromPyTorch(values);
        expect(parts.map(({ length }) => length)).toEqual(tensors.map((t) => t.size));
        expect(firstDifference(toPyTorch(parts), values), name).toBe(-1);
      }
    },
  );

  it('a packed projection has two parts, queries and keys in one, values in the other', () => {
    const { trained } = traced(tiny);
    const packed = trained.find(({ name }) => name === 'decoder.decoder.layers.0.self_attn.in_proj_weight')!;
    expect(packed.tensors.map(({ shape }) => shape)).toEqual([
      [1, 32, 64],
      [1, 32, 32],
    ]);
  });

  it('freezing leaves out the stem, stages, norms and the offsets of discrete sampling', () => {
    const all = traced({ ...tiny, freezeAt: 1, freezeNorm: 'backbone' });
    const names = all.trained.map(({ name }) => name);
    expect(names.filter((name) => /^backbone\.(conv1|res_layers\.0)\./.test(name))).toEqual([]);
    expect(names.filter((name) => /^backbone.*norm/.test(name))).toEqual([]);
    expect(names).toContain('encoder.pan_blocks.0.conv1.norm.weight');
    expect(traced(smallModels['tiny-v2-discrete']).trained.filter(({ name }) => name.includes('sampling_offsets'))).toEqual([]);
    expect(traced(frozen).statistics).toBe(0);
    expect(traced(tiny).statistics).toBeGreaterThan(all.statistics);
  });
});

describe('a training forward', () => {
  it('with frozen norms and without denoising gives what inference gives, which has them folded', async () => {
    const [reply, [plain]] = [
      await train({ config: frozen, batch: 1 }),
      await page.call<ForwardReply[]>('forward', [{ config: frozen, images: ['image 0'] }] satisfies ForwardRequest[]),
    ];
    expect(distance(reply.outputs['layer1.logits'], plain.outputs.logits)).toBeLessThan(1e-5);
    expect(distance(reply.outputs['layer1.boxes'], plain.outputs.boxes)).toBeLessThan(1e-6);
  });

  it('puts denoising queries in front that the selected ones do not see', async () => {
    const [without, having] = [await train({ config: frozen, batch: 2 }), await train({ config: frozen, batch: 2, denoising: true })];
    for (const name of ['layer0.logits', 'layer1.boxes']) expect(distance(without.outputs[name], having.outputs[name])).toBeLessThan(1e-5);
    expect(having.outputs['denoising1.boxes'].length).toBe(2 * NOISY * 4);
    expect(Object.keys(without.outputs).some((name) => name.startsWith('denoising'))).toBe(false);
  });

  it('with batch norms in training lets images matter to each other, and gives the running statistics after the step', async () => {
    const one = await train({ config: tiny, batch: 2, images: ['a', 'b'] });
    const other = await train({ config: tiny, batch: 2, images: ['a', 'c'] });
    const first = (reply: TrainingReply) => reply.outputs['layer0.boxes'].slice(0, 4 * tiny.queries);
    expect(distance(first(one), first(other))).toBeGreaterThan(1e-4);
    const names = Object.keys(one.statistics);
    expect(names).toContain('encoder.input_proj.0.1.running_mean');
    expect(names.every((name) => one.statistics[name].every(Number.isFinite))).toBe(true);
    expect(names.filter((name) => name.endsWith('running_var')).every((name) => one.statistics[name].every((v) => v > 0))).toBe(true);
  });
});

describe('where gradients stop', () => {
  it('the last layer trains every layer below, the head before its own, and no encoder head', async () => {
    const { gradients } = await train({ config: frozen, batch: 1, seeds: ['last'] });
    const has = (name: string) => largest(gradients[name] ?? [0]) > 0;
    expect(has('decoder.dec_bbox_head.1.layers.0.weight')).toBe(true);
    // Through the box that the layer before gave out, which is not a constant to the loss.
    expect(has('decoder.dec_bbox_head.0.layers.0.weight')).toBe(true);
    expect(has('decoder.dec_score_head.0.weight')).toBe(false);
    expect(has('backbone.conv1.conv1_1.conv.weight')).toBe(true);
    expect(has('decoder.enc_output.0.weight')).toBe(false);
    expect(has('decoder.enc_bbox_head.layers.0.weight')).toBe(false);
    expect(has('decoder.denoising_class_embed.weight')).toBe(false);
  });

  it('the encoder outputs train their heads and nothing of the decoder layers', async () => {
    const { gradients } = await train({ config: frozen, batch: 1, seeds: ['encoder'] });
    const names = Object.keys(gradients);
    expect(names).toEqual(expect.arrayContaining(['decoder.enc_score_head.weight', 'decoder.enc_bbox_head.layers.2.bias']));
    expect(names.filter((name) => /decoder\.decoder|dec_|query_pos/.test(name))).toEqual([]);
  });

  it('the padding class is read but not trained', async () => {
    const { gradients } = await train({ config: frozen, batch: 1, denoising: true, seeds: ['denoising'] });
    const embedding = gradients['decoder.denoising_class_embed.weight'];
    const row = (c: number) => largest(embedding.subarray(c * 32, (c + 1) * 32));
    expect(row(0)).toBeGreaterThan(0);
    expect(row(tiny.classes - 1)).toBe(0);
    expect(row(tiny.classes)).toBe(0);
  });
});
