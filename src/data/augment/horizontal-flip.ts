/** torchvision's RandomHorizontalFlip. */
import type { Draws } from './draws.ts';
import { type Frame, mirroredFrame } from './frame.ts';

export const horizontalFlip = (frame: Frame, probability: number, draws: Draws): Frame =>
  draws.chance(probability) ? mirroredFrame(frame) : frame;
