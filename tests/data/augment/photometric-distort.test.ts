import { describe, expect, it } from 'vitest';
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation, permuteChannels } from '../../../src/data/augment/colour.ts';
import { imageDraws } from '../../../src/data/augment/draws.ts';
import { photometricDistort, photometricDistortDefaults } from '../../../src/data/augment/photometric-distort.ts';
import { picture } from './picture.ts';

const { data: rgb } = picture(12, 10);
const draws = (id: number) => imageDraws(4, 2, id, 'photometricDistort');

describe('photometric distortion', () => {
  it('gives a copy, unchanged where nothing is drawn', () => {
    const before = rgb.slice();
    const out = photometricDistort(rgb, { ...photometricDistortDefaults, probability: 0 }, draws(1));
    expect(out).toEqual(before);
    expect(out).not.toBe(rgb);
    photometricDistort(rgb, { ...photometricDistortDefaults, probability: 1 }, draws(1));
    expect(rgb).toEqual(before);
  });

  it('is brightness, contrast before or after saturation and hue, then exchanged channels', () => {
    const config = { probability: 1, brightness: [0.9, 0.9], contrast: [1.4, 1.4], saturation: [0.6, 0.6], hue: [0.05, 0.05] } as const;
    const orders = [0, 1, 2].flatMap((a) => [0, 1, 2].flatMap((b) => (a === b ? [] : [[a, b, 3 - a - b]])));
    const expected = [true, false].flatMap((contrastFirst) =>
      orders.map((order) => {
        const out = rgb.slice();
        adjustBrightness(out, 0.9);
        if (contrastFirst) adjustContrast(out, 1.4);
        adjustSaturation(out, 0.6);
        adjustHue(out, 0.05);
        if (!contrastFirst) adjustContrast(out, 1.4);
        permuteChannels(out, order);
        return out.join();
      }),
    );
    const found = Array.from({ length: 200 }, (_, id) => photometricDistort(rgb, config, draws(id)).join());
    // All twelve come: one of them is left out by 200 draws once in three million times.
    expect(new Set(found)).toEqual(new Set(expected));
  });

  it('draws each part by itself with the probability given', () => {
    const none = { ...photometricDistortDefaults, brightness: [1, 1], contrast: [1, 1], saturation: [1, 1], hue: [0, 0] } as const;
    const white = new Uint8Array(3).fill(200);
    const parts = { brightness: [0, 0], contrast: [0.5, 0.5] } as const;
    const count = 2000;
    const dark = Array.from(
      { length: count },
      (_, id) => photometricDistort(white, { ...none, brightness: parts.brightness }, draws(id))[0],
    );
    // Six standard deviations of the share.
    expect(Math.abs(dark.filter((v) => v === 0).length / count - 0.5)).toBeLessThan(6 * Math.sqrt(0.25 / count));
    const permuted = Array.from({ length: count }, (_, id) => photometricDistort(Uint8Array.of(1, 2, 3), none, draws(id)).join());
    // Half are permuted, a sixth of these to what they were.
    expect(Math.abs(permuted.filter((v) => v === '1,2,3').length / count - 7 / 12)).toBeLessThan(6 * Math.sqrt(0.25 / count));
    const both = dark.filter((v, id) => v === 0 && permuted[id] !== '1,2,3').length / count;
    expect(Math.abs(both - 5 / 24)).toBeLessThan(6 * Math.sqrt(0.17 / count));
  });
});
