import { describe, expect, it } from 'vitest';
import { type AugmentationConfig, rtDetrAugmentation } from '../../../src/data/augment/augment.ts';
import { checkAugmentation } from '../../../src/data/augment/check.ts';
import { iouCropDefaults } from '../../../src/data/augment/iou-crop.ts';
import { photometricDistortDefaults } from '../../../src/data/augment/photometric-distort.ts';
import { zoomOutDefaults } from '../../../src/data/augment/zoom-out.ts';

const refused = (change: Partial<AugmentationConfig>) => {
  try {
    checkAugmentation({ ...rtDetrAugmentation, ...change });
    return 'accepted';
  } catch (error) {
    return error;
  }
};

describe('an augmentation', () => {
  it("of RT-DETR's values, of its extremes, and of nothing is accepted", () => {
    expect(refused({})).toBe('accepted');
    expect(refused({ photometricDistort: null, zoomOut: null, iouCrop: null, horizontalFlip: 0, stopEpoch: 0 })).toBe('accepted');
    expect(refused({ zoomOut: { probability: 1, side: [2, 2] }, iouCrop: { ...iouCropDefaults, leastIou: [0], trials: 1 } })).toBe(
      'accepted',
    );
  });

  it.each<[string, Partial<AugmentationConfig>]>([
    ['photometricDistort.probability', { photometricDistort: { ...photometricDistortDefaults, probability: 1.1 } }],
    ['photometricDistort.brightness', { photometricDistort: { ...photometricDistortDefaults, brightness: [1, 0.9] } }],
    ['photometricDistort.contrast', { photometricDistort: { ...photometricDistortDefaults, contrast: [-0.1, 1] } }],
    ['photometricDistort.saturation', { photometricDistort: { ...photometricDistortDefaults, saturation: [1, Number.NaN] } }],
    ['photometricDistort.hue', { photometricDistort: { ...photometricDistortDefaults, hue: [-0.6, 0] } }],
    ['zoomOut.probability', { zoomOut: { ...zoomOutDefaults, probability: Number.NaN } }],
    ['zoomOut.side', { zoomOut: { ...zoomOutDefaults, side: [0, 4] } }],
    ['zoomOut.side', { zoomOut: { ...zoomOutDefaults, side: [1, 1e9] } }],
    ['iouCrop.probability', { iouCrop: { ...iouCropDefaults, probability: -1 } }],
    ['iouCrop.scale', { iouCrop: { ...iouCropDefaults, scale: [0.3, 1.5] } }],
    ['iouCrop.aspect', { iouCrop: { ...iouCropDefaults, aspect: [0, 2] } }],
    ['iouCrop.leastIou', { iouCrop: { ...iouCropDefaults, leastIou: [] } }],
    ['iouCrop.leastIou', { iouCrop: { ...iouCropDefaults, leastIou: [0, 1.5] } }],
    ['iouCrop.trials', { iouCrop: { ...iouCropDefaults, trials: 1e9 } }],
    ['horizontalFlip', { horizontalFlip: 2 }],
    ['stopEpoch', { stopEpoch: 1.5 }],
  ])('with %s out of range gives E_INPUT that names it', (field, change) => {
    expect(refused(change)).toMatchObject({ code: 'E_INPUT', message: expect.stringContaining(field), details: { field } });
  });
});
