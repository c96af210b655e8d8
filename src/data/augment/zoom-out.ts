/** torchvision's RandomZoomOut: the image on a larger black canvas, for small objects (SSD, arXiv 1512.02325, section 3.6). */
import type { Draws } from './draws.ts';
import { type Frame, movedFrame } from './frame.ts';

export interface ZoomOut {
  readonly probability: number;
  /** The canvas has sides this many times the image's, one factor for both. */
  readonly side: readonly [number, number];
}

export const zoomOutDefaults: ZoomOut = { probability: 0.5, side: [1, 4] };

export function zoomOut(frame: Frame, { probability, side }: ZoomOut, draws: Draws): Frame {
  if (!draws.chance(probability)) return frame;
  const factor = draws.between(...side);
  const width = Math.trunc(frame.width * factor);
  const height = Math.trunc(frame.height * factor);
  const left = Math.trunc((width - frame.width) * draws.uniform());
  const top = Math.trunc((height - frame.height) * draws.uniform());
  return movedFrame(frame, -left, -top, width, height);
}
