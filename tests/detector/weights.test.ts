import { describe, expect, it } from 'vitest';
import { modelFor, type WeightSource } from '../../src/detector/weights.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { type ModelChanges, modelConfig } from '../../src/models/resolve.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';

type Shapes = Map<string, { shape: readonly number[] }>;

function fileOf(
  config: string | ModelConfig,
  change: (tensors: Shapes) => void = () => {},
  metadata: Record<string, string> = {},
): WeightSource {
  const tensors: Shapes = new Map([...modelParameters(config)].map(([name, { shape }]) => [name, { shape }]));
  change(tensors);
  return { tensors, metadata: new Map(Object.entries(metadata)), readFloat32: () => Promise.reject(new Error('not read')) };
}

describe('the model of a file', () => {
  it.each([
    'rtdetr-r18',
    'rtdetr-r34',
    'rtdetr-r50m',
    'rtdetr-r50',
    'rtdetr-r101',
    'rtdetrv2-r18',
    'rtdetrv2-r18-sp1',
    'rtdetrv2-r50m',
    'association-detr-r34',
    'association-detr-r50',
    'association-detrv2-r34',
  ])('%s is told from names and shapes', (name) => {
    expect(modelFor(fileOf(name)).name).toBe(name);
  });

  it.each<[string, ModelChanges]>([
    ['its number of classes', { classes: 3 }],
    ['a row of Table 3', { associationEncoder: { variant: 'bam+el' } }],
    ['only a BAM', { associationEncoder: { variant: 'bam' } }],
    ['a gate', { associationEncoder: { gate: 'scalar' } }],
    ['a window and heads', { associationEncoder: { window: 7, heads: 4, headDim: 32 } }],
    ['a projection of its own', { associationEncoder: { bamInput: 'own', reduced: 16 } }],
  ])('%s comes from the shapes, too', (_, changes) => {
    const config = modelConfig('association-detr-r34', changes);
    expect(modelFor(fileOf(config))).toEqual(config);
  });

  it('a fine-tuned file keeps its classes when the model is named', () => {
    expect(modelFor(fileOf(modelConfig('rtdetr-r18', { classes: 3 })), 'rtdetr_r18vd').classes).toBe(3);
  });

  it('metadata names what shapes do not show', () => {
    expect(modelFor(fileOf('rtdetrv2-r18', undefined, { model: 'rtdetrv2_r18vd_dsp' })).sampling).toBe('discrete');
    expect(modelFor(fileOf('rtdetr-r18', undefined, { model: 'somebody else’s' })).name).toBe('rtdetr-r18');
  });

  it('the size it was trained at is the size it looks at', () => {
    const trained = modelConfig('rtdetr-r18', { size: [192, 320] });
    const stored = (config: string) => fileOf(trained, undefined, { model: 'rtdetr-r18', config });
    expect(modelFor(stored(JSON.stringify(trained))).size).toEqual([192, 320]);
    for (const config of ['{', '{"size":[192,320]}', JSON.stringify({ ...trained, size: [100, 100] })]) {
      expect(modelFor(stored(config)).size, config).toEqual([640, 640]);
    }
  });

  it('what inference does not read may be there or not', () => {
    const lean = (tensors: Shapes) => {
      for (const name of [...tensors.keys()])
        if (/num_batches_tracked|anchors|valid_mask|num_points_scale/.test(name)) tensors.delete(name);
    };
    expect(modelFor(fileOf('rtdetrv2-r18', lean)).name).toBe('rtdetrv2-r18');
    const rich = (tensors: Shapes) => {
      tensors.set('decoder.anchors', { shape: [1, 5, 4] });
      tensors.set('decoder.valid_mask', { shape: [1, 5, 1] });
    };
    expect(modelFor(fileOf('rtdetr-r18', rich)).name).toBe('rtdetr-r18');
  });
});

describe('weights that do not fit', () => {
  const failure = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      return error as { code: string; message: string; hint: string; details: Record<string, unknown> };
    }
    throw new Error('it fitted');
  };

  it('another model is named', () => {
    const error = failure(() => modelFor(fileOf('rtdetr-r34'), 'rtdetr-r18'));
    expect(error.code).toBe('E_CKPT_ARCH');
    expect(error.message).toContain('unexpected: backbone.res_layers.0.blocks.2.branch2a.conv.weight');
    expect(error.hint).toBe('They fit rtdetr-r34.');
  });

  it('missing, unexpected and mis-shaped names are listed', () => {
    const error = failure(() =>
      modelFor(
        fileOf('rtdetr-r18', (tensors) => {
          tensors.delete('encoder.lateral_convs.0.conv.weight');
          tensors.set('extra', { shape: [1] });
          tensors.set('decoder.enc_output.0.bias', { shape: [128] });
        }),
      ),
    );
    expect(error.code).toBe('E_CKPT_ARCH');
    expect(error.message).toContain('missing: encoder.lateral_convs.0.conv.weight');
    expect(error.message).toContain('unexpected: extra');
    expect(error.message).toContain('decoder.enc_output.0.bias [128] instead of [256]');
  });

  it('only shapes differ', () => {
    const change = (tensors: Shapes) => tensors.set('decoder.enc_output.0.bias', { shape: [128] });
    expect(failure(() => modelFor(fileOf('rtdetr-r18', change), 'rtdetr-r18')).code).toBe('E_CKPT_SHAPE');
  });

  it('a file of something else', () => {
    const other = { tensors: new Map([['fc.weight', { shape: [10, 10] }]]), readFloat32: () => Promise.reject(new Error('not read')) };
    expect(failure(() => modelFor(other)).code).toBe('E_CKPT_ARCH');
  });
});
