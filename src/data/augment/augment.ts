/**
 * RT-DETR's training augmentations in their order: photometric distortion, zoom-out, IoU crop, flip, resize; targets that became too
 * small are dropped. All draws come from (seed, epoch, image id), so a batch depends on nothing that was loaded before it.
 */
import { imageDraws } from './draws.ts';
import { cornersIn, type Frame, imageFrame, scaledFrame, type Target } from './frame.ts';
import { horizontalFlip } from './horizontal-flip.ts';
import { type IouCrop, iouCrop, iouCropDefaults } from './iou-crop.ts';
import type { OutputSize } from './multi-scale.ts';
import { type PhotometricDistort, photometricDistort, photometricDistortDefaults } from './photometric-distort.ts';
import { type RgbImage, resample } from './resample.ts';
import { sanitize } from './sanitize.ts';
import { type ZoomOut, zoomOut, zoomOutDefaults } from './zoom-out.ts';

/** What is null is left out. */
export interface AugmentationConfig {
  readonly photometricDistort: PhotometricDistort | null;
  readonly zoomOut: ZoomOut | null;
  readonly iouCrop: IouCrop | null;
  /** Its probability. */
  readonly horizontalFlip: number;
  /** From this epoch on, counted from 0, only the flip is left: RT-DETRv2's last epochs see the images as they are. */
  readonly stopEpoch: number | null;
}

/** RT-DETR's values. */
export const rtDetrAugmentation: AugmentationConfig = {
  photometricDistort: photometricDistortDefaults,
  zoomOut: zoomOutDefaults,
  iouCrop: iouCropDefaults,
  horizontalFlip: 0.5,
  stopEpoch: null,
};

/** An image as a training step takes it. */
export interface Sample {
  /** [height, width, 3], 0 to 1. */
  readonly image: Float32Array;
  /** cx, cy, w, h of each target in units of the image's sides. */
  readonly boxes: Float32Array;
  readonly labels: Int32Array;
}

export interface AugmentOptions {
  /** null: resized only, as for evaluation. */
  readonly config: AugmentationConfig | null;
  readonly seed: number;
  readonly epoch: number;
  readonly imageId: number;
  readonly size: OutputSize;
}

export function augment(image: RgbImage, targets: readonly Target[], options: AugmentOptions): Sample {
  const { config, seed, epoch, imageId, size } = options;
  const draws = (transform: Parameters<typeof imageDraws>[3]) => imageDraws(seed, epoch, imageId, transform);
  let frame = imageFrame(image.width, image.height);
  let { data } = image;
  if (config) {
    if (config.stopEpoch === null || epoch < config.stopEpoch) {
      if (config.photometricDistort) data = photometricDistort(data, config.photometricDistort, draws('photometricDistort'));
      if (config.zoomOut) frame = zoomOut(frame, config.zoomOut, draws('zoomOut'));
      if (config.iouCrop) ({ frame, targets } = iouCrop(frame, targets, config.iouCrop, draws('iouCrop')));
    }
    targets = sanitize(targets, frame);
    frame = horizontalFlip(frame, config.horizontalFlip, draws('horizontalFlip'));
  }
  const final = scaledFrame(frame, size.resized[1], size.resized[0]);
  targets = sanitize(targets, final);
  return {
    image: resample({ ...image, data }, frame, size),
    boxes: Float32Array.from(targets.flatMap((target) => normalisedBox(target, final))),
    labels: Int32Array.from(targets, ({ label }) => label),
  };
}

function normalisedBox({ corners }: Target, frame: Frame): number[] {
  const [x0, y0, x1, y1] = cornersIn(frame, corners);
  return [(x0 + x1) / 2 / frame.width, (y0 + y1) / 2 / frame.height, (x1 - x0) / frame.width, (y1 - y0) / frame.height];
}
