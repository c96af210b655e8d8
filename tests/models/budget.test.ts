import { describe, expect, it } from 'vitest';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { type Dispatch, Graph, type Target, type Value } from '../../src/graph/graph.ts';
import { lower } from '../../src/graph/lower.ts';
import { planMemory } from '../../src/graph/plan.ts';
import { models } from '../../src/models/configs.ts';
import { modelConfig } from '../../src/models/resolve.ts';
import { buildModel } from '../../src/models/rt-detr.ts';

const targets: Record<string, Target> = {
  'a GPU': { software: false, subgroups: false, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} },
  'a software adapter': { software: true, subgroups: true, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} },
};

function forward(model: string, target: Target, changes: Parameters<typeof modelConfig>[1] = {}): Dispatch[] {
  const graph = new Graph();
  const { logits, boxes } = buildModel(modelConfig(model, changes)).trace(graph, graph.input('image', [1, 640, 640, 3]));
  graph.output('logits', logits);
  graph.output('boxes', boxes);
  return lower(graph, target);
}

function planned(dispatches: readonly Dispatch[]): number {
  const plan = planMemory(
    dispatches.map(({ shader, bind }) => {
      const roots = (access: string): Value[] =>
        shader.bindings.flatMap((b) => (b.access === access && bind[b.name] ? [bind[b.name].layout().root] : []));
      return { reads: roots('read'), writes: roots('read_write') };
    }),
  );
  return plan.arenas.reduce((a, b) => a + b, 0);
}

describe.each(Object.entries(targets))('one 640x640 forward on %s', (_, target) => {
  it.each([
    ['rtdetr-r18', 150],
    ['rtdetrv2-r18', 150],
    ['rtdetr-r34', 190],
    ['rtdetr-r50', 240],
  ])('%s takes at most %i dispatches', (model, budget) => {
    expect(forward(model, target).length).toBeLessThanOrEqual(budget);
  });

  it.each([
    ['association-detr-r34', 'rtdetr-r34'],
    ['association-detr-r50', 'rtdetr-r50'],
  ])('%s takes at most 25 more than %s', (model, base) => {
    expect(forward(model, target).length - forward(base, target).length).toBeLessThanOrEqual(25);
  });

  it('association-detr-r34 compiles at most 60 pipelines and plans at most 64 MiB of activations', () => {
    const dispatches = forward('association-detr-r34', target);
    expect(new Set(dispatches.map((d) => KernelCache.key(d))).size).toBeLessThanOrEqual(60);
    expect(planned(dispatches)).toBeLessThanOrEqual(64 * 2 ** 20);
  });

  it('no dispatch binds more than the default limit of 8 storage buffers', () => {
    for (const { shader, label } of forward('association-detr-r34', target)) {
      expect(shader.bindings.length, label).toBeLessThanOrEqual(8);
    }
  });
});

describe('association-detr-nano', () => {
  it('has at most 3 million parameters, and at most 6 MB as float16', () => {
    const sizes = [...buildModel('association-detr-nano').parameters].map(([, { kind, shape }]) => ({
      kind,
      size: shape.reduce((a, b) => a * b, 1),
    }));
    const total = (list: typeof sizes) => list.reduce((sum, { size }) => sum + size, 0);
    expect(total(sizes.filter(({ kind }) => kind === 'param'))).toBe(2_290_476);
    expect(2 * total(sizes)).toBeLessThanOrEqual(6e6);
  });

  it('needs about half a GMAC at its own size', () => {
    const graph = new Graph();
    const { logits, boxes } = buildModel('association-detr-nano').trace(graph, graph.input('image', [1, 256, 256, 3]));
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    const flops = lower(graph, targets['a GPU']).reduce((sum, d) => sum + (d.flops ?? 0), 0);
    expect(flops / 2e9).toBeLessThan(0.6);
  });

  it('follows the configuration rules of the others', () => {
    const config = models.get('association-detr-nano')!;
    expect(modelConfig(config)).toEqual(config);
  });
});

describe('what is computed', () => {
  // GMAC of research on the authors' own models: convolutions, linear layers, attention products, sampling.
  it.each([
    ['rtdetr-r18', 30.76],
    ['rtdetr-r34', 46.82],
    ['rtdetr-r50m', 50.31],
    ['rtdetr-r50', 68.92],
    ['rtdetr-r101', 130.31],
  ])('%s needs no more arithmetic than PyTorch', (model, gmac) => {
    const flops = forward(model, targets['a GPU']).reduce((sum, d) => sum + (d.flops ?? 0), 0);
    expect(flops / 2e9).toBeLessThan(gmac);
    // Folded RepVGG branches and the box head on the selected rows alone save about 5 %.
    expect(flops / 2e9).toBeGreaterThan(0.9 * gmac);
  });

  it('the projection of S_1 runs once, though the Association Encoder reads it too', () => {
    const labels = forward('association-detr-r34', targets['a GPU']).map(({ label }) => label);
    expect(labels.filter((label) => label.startsWith('encoder.input_proj.0'))).toHaveLength(1);
  });
});
