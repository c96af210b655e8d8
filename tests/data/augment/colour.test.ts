import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation, permuteChannels } from '../../../src/data/augment/colour.ts';

/** The 4096 x 4096 picture that holds each colour once, blue changing fastest. */
const everyColour = new Uint8Array(3 * 2 ** 24);
for (let i = 0; i < 2 ** 24; i++) {
  everyColour[3 * i] = i >> 16;
  everyColour[3 * i + 1] = (i >> 8) & 255;
  everyColour[3 * i + 2] = i & 255;
}

// SHA-256 of the RGB bytes that Pillow 9.4 gives: ImageEnhance.Brightness, Contrast and Color; for the hue, torchvision's code for PIL
// images (the HSV image's first channel plus uint8(shift * 255), wrapped).
it.each([
  ['brightness', adjustBrightness, 0.93, '5a5dee2e7952b2497376a94f62f8fed43c3f04dcfd435e9f188145e1569c1367'],
  ['contrast', adjustContrast, 1.21, '8ae6059eda05d1e31ac23bb784a13d2a2be25b69b947f63145b3425e0344d92a'],
  ['saturation', adjustSaturation, 1.37, '5a909a7f0cc7567bd4a26260bdbc2e54319ed84ea6a5ebb6bcb243ed175dd399'],
  ['saturation', adjustSaturation, 0.61, 'ed4e54d975c85094996a607d309d0b3017740bbfbe0fa178c2fda335ed0ca383'],
  ['hue', adjustHue, 0.03, 'b38ef57b3b03ad060dfc5ebee8fb27340a4dfffb824482c1c0e912918f6b662f'],
  ['hue', adjustHue, -0.05, '6d7b03ab3bdfb9036ce8ebe77210a7bdc1c3298d3590d2f851bd99cc321b6c22'],
])("%s is Pillow's for every colour", (_, adjust, value, expected) => {
  const rgb = everyColour.slice();
  adjust(rgb, value);
  expect(createHash('sha256').update(rgb).digest('hex')).toBe(expected);
});

describe('each adjustment', () => {
  const some = () => Uint8Array.from({ length: 3 * 200 }, (_, i) => (i * 89 + (i >> 3) * 41) & 255);

  it.each([
    ['brightness', adjustBrightness],
    ['contrast', adjustContrast],
    ['saturation', adjustSaturation],
  ])('of %s by 1 changes nothing', (_, adjust) => {
    const rgb = some();
    adjust(rgb, 1);
    expect(rgb).toEqual(some());
  });

  it('ends in black, mean grey and grey at 0', () => {
    const [black, flat, grey] = [some(), some(), some()];
    adjustBrightness(black, 0);
    expect(new Set(black)).toEqual(new Set([0]));
    adjustContrast(flat, 0);
    expect(new Set(flat).size).toBe(1);
    adjustSaturation(grey, 0);
    for (let i = 0; i < grey.length; i += 3) expect(new Set(grey.subarray(i, i + 3)).size).toBe(1);
  });

  it('of the hue by a third of a turn takes red to green', () => {
    const rgb = Uint8Array.of(255, 0, 0, 80, 80, 80);
    adjustHue(rgb, 1 / 3);
    expect([...rgb]).toEqual([0, 255, 0, 80, 80, 80]);
  });
});

it('channels are exchanged as the order says', () => {
  const rgb = Uint8Array.of(1, 2, 3, 4, 5, 6);
  permuteChannels(rgb, [2, 0, 1]);
  expect([...rgb]).toEqual([3, 1, 2, 6, 4, 5]);
});
