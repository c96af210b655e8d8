import { describe, expect, it } from 'vitest';
import { mapSource } from '../../weights-tools/mapped.ts';
import { fromPaddle, fromRfaConv, fromTorchvision } from '../../weights-tools/names/backbones.ts';
import { fromHuggingFace, toHuggingFace } from '../../weights-tools/names/hugging-face.ts';
import { toVersion } from '../../weights-tools/names/rt-detr.ts';
import { recognise } from '../../weights-tools/recognise.ts';
import { errorOf, fixtureJson, modelKeys, modelNames, sha256, sourceOf } from '../checkpoints/fixtures.ts';

const hfMaps = fixtureJson<Record<string, Record<string, string[]>>>('hf-maps.json.gz');
const versionIn = (model: string): 1 | 2 => (model.includes('v2') ? 2 : 1);

describe.each(Object.keys(hfMaps))('Hugging Face names of %s', (model) => {
  const version = versionIn(model);
  const source = sourceOf(modelKeys(model));
  const map = hfMaps[model]!;

  it('are those of the complete generated map', () => {
    const { mapping, unknown } = toHuggingFace(source, version);
    expect(unknown).toEqual([]);
    const theirs = new Map<string, string[]>();
    for (const [name, [piece]] of mapping) theirs.set(piece!.from, [...(theirs.get(piece!.from) ?? []), name]);
    for (const [ours, names] of Object.entries(map)) expect([...(theirs.get(ours) ?? [])].sort(), ours).toEqual([...names].sort());
    expect(theirs.size).toBe(Object.values(map).filter((names) => names.length > 0).length);
  });

  it('and back, bit by bit, from either form and either copy of the heads', async () => {
    const hugging = mapSource(source, toHuggingFace(source, version).mapping);
    const newer = (name: string) =>
      name
        .replace('.out_proj.', '.o_proj.')
        .replace(/(layers\.\d+)\.fc/, '$1.mlp.fc')
        .replace(/encoder\.encoder\.(\d+)\.layers/, 'encoder.aifi.$1.layers');
    const forms = [
      [...hugging.tensors.keys()].map((name) => [name, name] as const),
      [...hugging.tensors.keys()].map((name) => [newer(name), name] as const),
      [...hugging.tensors.keys()].filter((name) => !/^(?:class|bbox)_embed/.test(name)).map((name) => [name, name] as const),
      [...hugging.tensors.keys()]
        .filter((name) => !/^model\.decoder\.(?:class|bbox)_embed/.test(name))
        .map((name) => [name, name] as const),
    ];
    const kept = [...source.tensors.keys()].filter((name) => (map[name]?.length ?? 0) > 0);
    for (const form of forms) {
      const file = mapSource(hugging, new Map(form.map(([to, from]) => [to, [{ from }]])));
      expect(recognise(file.tensors)).toMatchObject({ family: 'rt-detr', huggingFace: true, version, model });
      const { mapping, unknown } = fromHuggingFace(file);
      expect(unknown).toEqual([]);
      const back = mapSource(file, mapping);
      expect([...back.tensors.keys()].sort()).toEqual([...kept].sort());
      for (const name of kept.filter((name, i) => i % 20 === 0 || name.includes('in_proj'))) {
        expect(back.tensors.get(name)!.shape, name).toEqual(source.tensors.get(name)!.shape);
        expect(sha256(await back.readBytes(name)), name).toBe(sha256(await source.readBytes(name)));
      }
    }
  });
});

describe('names', () => {
  it('a file with q and k but no v is incomplete', async () => {
    const prefix = 'model.decoder.layers.0.self_attn.';
    const file = sourceOf(['q', 'k'].map((part) => [`${prefix}${part}_proj.weight`, [4, 4]]));
    expect((await errorOf(() => fromHuggingFace(file))).message).toContain('in_proj_weight');
  });
  it('a stack whose parts differ is refused', async () => {
    const prefix = 'model.decoder.layers.0.self_attn.';
    const file = sourceOf([[`${prefix}q_proj.weight`, [4, 4]], [`${prefix}k_proj.weight`, [4, 4]], [`${prefix}v_proj.weight`, [4, 5]]]); // biome-ignore format: short
    expect((await errorOf(() => mapSource(file, fromHuggingFace(file).mapping))).code).toBe('E_CKPT_SHAPE');
  });
  it('RT-DETR v1 and v2 turn into each other', () => {
    const [v1, v2] = [modelKeys('rtdetr_r18vd'), modelKeys('rtdetrv2_r18vd')];
    const buffers = /anchors|valid_mask|num_points_scale/;
    const down = toVersion(sourceOf(v2), 1).mapping;
    expect([...down.keys()].sort()).toEqual([...v1.keys()].sort());
    const up = toVersion(sourceOf(v1), 2).mapping;
    expect([...up.keys()].sort()).toEqual([...v2.keys()].filter((name) => !buffers.test(name)).sort());
    for (const [name, [piece]] of up) expect(v1.get(piece!.from), name).toEqual(v2.get(name));
    // Whatever has the right names already keeps them.
    for (const [name, [piece]] of toVersion(sourceOf(v1), 1).mapping) expect(piece!.from).toBe(name);
  });
  it('backbones from Paddle and torchvision', () => {
    const detector = modelKeys('rtdetr_r50vd');
    const paddle = [...detector].filter(([name]) => name.startsWith('backbone.')).map(([name, shape]) => [name.slice(9), shape] as const);
    const mapped = fromPaddle(sourceOf([...paddle, ['fc.weight', [1000, 2048]]]));
    expect([...mapped.mapping.keys()]).toEqual(paddle.map(([name]) => `backbone.${name}`));
    expect(mapped.unknown).toEqual(['fc.weight']);
    const detr = [...modelKeys('detr-r50')]
      .filter(([name]) => name.startsWith('backbone.0.body.'))
      .map(([name, shape]) => [name.slice(16), shape] as const);
    const torchvision = fromTorchvision(sourceOf([...detr, ['fc.bias', [1000]]]));
    expect([...torchvision.mapping.keys()].every((name) => modelKeys('detr-r50').has(name))).toBe(true);
    expect(torchvision.mapping.size).toBe(detr.length);
  });
  it("RFAConv's layers become the Association Encoder's", () => {
    const ours = [...modelKeys('association_detr_r34')].filter(([name]) => name.startsWith('association_encoder.bam.'));
    const theirs = ours.map(([name, shape]) => {
      const renamed = name
        .replace('association_encoder.bam.', '')
        .replace('.expand.conv.', '.generate.0.')
        .replace('.expand.norm.', '.generate.1.')
        .replace('.channel.fc1.', '.se.fc.0.')
        .replace('.channel.fc2.', '.se.fc.2.')
        .replace('.spatial.', '.get_weight.0.')
        .replace('.fuse.', '.conv.0.')
        .replace('.norm1.', '.bn1.')
        .replace('.norm2.', '.bn2.');
      return [renamed, shape] as const;
    });
    expect([...fromRfaConv(sourceOf(theirs)).mapping.keys()]).toEqual(ours.map(([name]) => name));
  });
});

describe('recognising', () => {
  const published = modelNames().filter((model) => /^(?:rtdetr|association|detr-r|deformable)/.test(model));
  it('knows 30 published models', () => {
    expect(published.length).toBeGreaterThanOrEqual(26);
  });
  // These have the names and shapes of the model they are variants of.
  const same: Record<string, string> = {
    rtdetrv2_r18vd_dsp: 'rtdetrv2_r18vd',
    rtdetrv2_r18vd_sp1: 'rtdetrv2_r18vd',
    'detr-r50-dc5': 'detr-r50',
    'detr-r50-dc5-ae': 'detr-r50-ae',
  };
  it.each(published)('%s by its names and shapes', (model) => {
    const found = recognise(sourceOf(modelKeys(model)).tensors);
    expect(found.model).toBe(same[model] ?? model);
    expect(found.classes).toBe(model.startsWith('de') ? 91 : 80);
    expect(found.hidden).toBe(model.includes('r101') ? 384 : 256);
    expect(found.associationEncoder).toBe(/association|-ae/.test(model));
    expect(found.decoderLayers).toBe(model.includes('r18') ? 3 : model.includes('r34') ? 4 : 6);
  });
  it.each(modelNames().filter((model) => /tiny|small|odd/.test(model)))('%s is of its family, but no preset', (model) => {
    const found = recognise(sourceOf(modelKeys(model)).tensors);
    expect(found.family).toBe(model.startsWith('detr') ? 'detr' : model.startsWith('ddetr') ? 'deformable-detr' : 'rt-detr');
    if (!model.startsWith('small')) expect(found.model).toBeUndefined();
  });
  it('the CIFAR ResNets, and what nobody knows', () => {
    const cifar = [['conv1.weight', [16, 3, 3, 3]], ['layer1.0.conv1.weight', [16, 16, 3, 3]], ['layer1.2.conv1.weight', [16, 16, 3, 3]], ['linear.weight', [10, 64]]] as const; // biome-ignore format: short
    expect(recognise(sourceOf(cifar).tensors)).toMatchObject({
      family: 'torchvision-resnet',
      depth: 20,
      classes: 10,
      title: 'a CIFAR ResNet-20 classifier',
    });
    expect(recognise(sourceOf([['a', [1]]]).tensors).family).toBe('unknown');
  });
});
