import { describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/graph.ts';
import { models } from '../../src/models/configs.ts';
import { type ModelChanges, modelConfig } from '../../src/models/resolve.ts';
import { buildModel } from '../../src/models/rt-detr.ts';

describe('model names', () => {
  it.each([
    ['rtdetr_r18vd', 'rtdetr-r18'],
    ['RTDETR-R50vd_m', 'rtdetr-r50m'],
    ['rtdetr_r50vd', 'rtdetr-r50'],
    ['rtdetrv2_r101vd', 'rtdetrv2-r101'],
    ['rtdetrv2_r18vd_dsp', 'rtdetrv2-r18-dsp'],
    ['rtdetrv2_r50vd_m_dsp', 'rtdetrv2-r50m-dsp'],
    ['rtdetrv2_r18vd_sp1', 'rtdetrv2-r18-sp1'],
    ['association_detr_r34', 'association-detr-r34'],
    ['association_detrv2_r34', 'association-detrv2-r34'],
  ])('%s is %s', (alias, name) => expect(modelConfig(alias).name).toBe(name));

  it.each([...models.keys()])('%s can be built', (name) => expect(buildModel(name).parameters.size).toBeGreaterThan(500));

  it('a slip is answered with the nearest name', () => {
    expect(() => modelConfig('asociation-detr-r34')).toThrow(
      expect.objectContaining({ code: 'E_MODEL_UNKNOWN', message: expect.stringContaining('Did you mean association-detr-r34?') }),
    );
    expect(() => modelConfig('yolo')).toThrow(expect.objectContaining({ code: 'E_MODEL_UNKNOWN', message: 'There is no model "yolo".' }));
  });
});

describe('a wrong configuration names the field, what it is and what it should be:', () => {
  it.each<[string, ModelChanges]>([
    ['counts', { counts: [2, 2, 2] }],
    ['baseWidth', { baseWidth: 7 }],
    ['encoderHidden', { encoderHidden: 250 }],
    ['decoderHidden', { decoderHidden: 100 }],
    ['evalLayer', { evalLayer: 3 }],
    ['points', { points: [4, 0, 4] }],
    ['size', { size: [640, 600] }],
    ['anchorEps', { anchorEps: 0.5 }],
    ['sampling', { sampling: 'nearest' as 'bilinear' }],
    ['classes', { classes: 0 }],
    ['associationEncoder.dim', { associationEncoder: { dim: 128 } }],
    ['associationEncoder.shift', { associationEncoder: { shift: 10 } }],
    ['associationEncoder.kernel', { associationEncoder: { kernel: 2 } }],
    ['associationEncoder.blockStrides', { associationEncoder: { pool: 'none' } }],
    ['associationEncoder.wiring', { associationEncoder: { wiring: 'triple' as 'double' } }],
  ])('%s', (field, changes) => {
    expect(() => modelConfig('rtdetr-r18', changes)).toThrow(
      expect.objectContaining({ code: 'E_MODEL_CONFIG', details: expect.objectContaining({ field }) }),
    );
  });
});

describe('an image that does not fit', () => {
  const trace = (shape: number[]) => {
    const graph = new Graph();
    return buildModel('rtdetr-r18').trace(graph, graph.input('image', shape));
  };
  it.each([
    ['sides that are no multiples of 32', [1, 640, 600, 3], 'Use 608x640.'],
    ['four channels', [1, 640, 640, 4], undefined],
    ['fewer tokens than queries', [1, 96, 96, 3], 'Use a larger input size.'],
  ])('%s', (_, shape, hint) => {
    expect(() => trace(shape)).toThrow(expect.objectContaining({ code: 'E_INPUT', hint }));
  });
});
