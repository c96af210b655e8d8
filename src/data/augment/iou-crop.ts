/**
 * torchvision's RandomIoUCrop (SSD, arXiv 1512.02325, section 2.2): a part of the image that overlaps some object by at least a drawn
 * IoU. Objects stay whose centre is inside.
 */
import type { Draws } from './draws.ts';
import { type Corners, cornersIn, type Frame, movedFrame, type Target } from './frame.ts';

export interface IouCrop {
  readonly probability: number;
  /** Each side of the crop in units of the frame's. */
  readonly scale: readonly [number, number];
  /** Width over height. */
  readonly aspect: readonly [number, number];
  /** One of these is drawn; 1 leaves the image as it is. */
  readonly leastIou: readonly number[];
  /** Crops tried before another IoU is drawn. */
  readonly trials: number;
}

export const iouCropDefaults: IouCrop = {
  probability: 0.8,
  scale: [0.3, 1],
  aspect: [0.5, 2],
  leastIou: [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1],
  trials: 40,
};

/** torchvision draws until something fits. By then six in seven draws have failed this often: less than one image in a million. */
const MOST_ROUNDS = 100;

export function iouCrop(
  frame: Frame,
  targets: readonly Target[],
  config: IouCrop,
  draws: Draws,
): { frame: Frame; targets: readonly Target[] } {
  const whole = { frame, targets };
  // Without objects no crop would ever fit.
  if (!draws.chance(config.probability) || targets.length === 0) return whole;
  const boxes = targets.map(({ corners }) => cornersIn(frame, corners));
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const least = config.leastIou[draws.integer(config.leastIou.length)];
    if (least >= 1) return whole;
    for (let trial = 0; trial < config.trials; trial++) {
      const crop = drawCrop(frame, config, draws);
      if (!crop) continue;
      const inside = boxes.map((box) => hasCentre(crop, box));
      if (!boxes.some((box, i) => inside[i] && iou(crop, box) >= least)) continue;
      const [left, top, right, bottom] = crop;
      return { frame: movedFrame(frame, left, top, right - left, bottom - top), targets: targets.filter((_, i) => inside[i]) };
    }
  }
  return whole;
}

/** Whole pixels of the frame; null where the shape is not allowed. */
function drawCrop({ width, height }: Frame, { scale, aspect }: IouCrop, draws: Draws): Corners | null {
  const w = Math.trunc(width * draws.between(...scale));
  const h = Math.trunc(height * draws.between(...scale));
  const left = Math.trunc((width - w) * draws.uniform());
  const top = Math.trunc((height - h) * draws.uniform());
  if (w < 1 || h < 1 || w / h < aspect[0] || w / h > aspect[1]) return null;
  return [left, top, left + w, top + h];
}

function hasCentre([left, top, right, bottom]: Corners, [x0, y0, x1, y1]: Corners): boolean {
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return left < x && x < right && top < y && y < bottom;
}

function iou(a: Corners, b: Corners): number {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const area = ([x0, y0, x1, y1]: Corners) => (x1 - x0) * (y1 - y0);
  const shared = width * height;
  return shared / (area(a) + area(b) - shared);
}
