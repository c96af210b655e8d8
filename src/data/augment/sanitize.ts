/** torchvision's SanitizeBoundingBoxes: what became too small to be seen is no target. */
import { cornersIn, type Frame, type Target } from './frame.ts';

const LEAST_SIDE = 1;

/** The targets whose visible part has sides of at least one pixel of the frame. */
export function sanitize(targets: readonly Target[], frame: Frame): Target[] {
  return targets.filter(({ corners }) => {
    const [x0, y0, x1, y1] = cornersIn(frame, corners);
    return x1 - x0 >= LEAST_SIDE && y1 - y0 >= LEAST_SIDE;
  });
}
