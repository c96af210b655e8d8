/** torchvision's RandomPhotometricDistort (SSD's photometric distortions): each of its parts with the same probability. */
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation, permuteChannels } from './colour.ts';
import type { Draws } from './draws.ts';

export interface PhotometricDistort {
  /** Of each part: brightness, contrast, saturation, hue, exchanged channels. */
  readonly probability: number;
  /** Factors; 1 changes nothing. */
  readonly brightness: readonly [number, number];
  readonly contrast: readonly [number, number];
  readonly saturation: readonly [number, number];
  /** Parts of a full turn; 0 changes nothing. */
  readonly hue: readonly [number, number];
}

export const photometricDistortDefaults: PhotometricDistort = {
  probability: 0.5,
  brightness: [0.875, 1.125],
  contrast: [0.5, 1.5],
  saturation: [0.5, 1.5],
  hue: [-0.05, 0.05],
};

/** The image's RGB bytes, distorted. What it is given stays as it is. */
export function photometricDistort(rgb: Uint8Array, config: PhotometricDistort, draws: Draws): Uint8Array {
  // Everything is drawn, used or not: what one part does decides nothing about the next.
  const part = (range: readonly [number, number]) => {
    const [used, value] = [draws.chance(config.probability), draws.between(...range)];
    return used ? value : null;
  };
  const brightness = part(config.brightness);
  const contrast = part(config.contrast);
  const saturation = part(config.saturation);
  const hue = part(config.hue);
  const contrastFirst = draws.chance(0.5);
  const permute = draws.chance(config.probability);

  const out = rgb.slice();
  if (brightness !== null) adjustBrightness(out, brightness);
  if (contrast !== null && contrastFirst) adjustContrast(out, contrast);
  if (saturation !== null) adjustSaturation(out, saturation);
  if (hue !== null) adjustHue(out, hue);
  if (contrast !== null && !contrastFirst) adjustContrast(out, contrast);
  if (permute) permuteChannels(out, draws.permutation(3));
  return out;
}
