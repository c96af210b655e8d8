/**
 * Pillow's colour arithmetic, to the last bit: what torchvision's adjust_* do with PIL images, as RT-DETR's training does. Each
 * function changes the RGB bytes it is given. A factor of 1, or a shift of 0, leaves them (hue loses what 8 bits of HSV lose).
 */

/** ITU-R 601 luma of Convert.c, in units of 2^-16. */
const luma = (r: number, g: number, b: number): number => (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;

/** Blend.c in float32: from `a` towards (or away from) `b`, cut off at 0 and 255, digits behind the point dropped. */
function blend(a: number, b: number, factor: number): number {
  const v = Math.fround(a + Math.fround(factor * (b - a)));
  return v <= 0 ? 0 : v >= 255 ? 255 : Math.trunc(v);
}

function mapLevels(rgb: Uint8Array, level: (v: number) => number): void {
  const table = Uint8Array.from({ length: 256 }, (_, v) => level(v));
  for (let i = 0; i < rgb.length; i++) rgb[i] = table[rgb[i]];
}

/** ImageEnhance.Brightness: towards black. */
export function adjustBrightness(rgb: Uint8Array, factor: number): void {
  const f = Math.fround(factor);
  mapLevels(rgb, (v) => blend(0, v, f));
}

/** ImageEnhance.Contrast: towards the image's mean luma. */
export function adjustContrast(rgb: Uint8Array, factor: number): void {
  let sum = 0;
  for (let i = 0; i < rgb.length; i += 3) sum += luma(rgb[i], rgb[i + 1], rgb[i + 2]);
  const mean = Math.trunc(sum / (rgb.length / 3) + 0.5);
  const f = Math.fround(factor);
  mapLevels(rgb, (v) => blend(mean, v, f));
}

/** ImageEnhance.Color: towards each pixel's luma. */
export function adjustSaturation(rgb: Uint8Array, factor: number): void {
  const f = Math.fround(factor);
  const scaled = Float32Array.from({ length: 511 }, (_, i) => f * (i - 255));
  const clipped = (grey: number, v: number) => {
    const sum = Math.fround(grey + scaled[v - grey + 255]);
    return sum <= 0 ? 0 : sum >= 255 ? 255 : Math.trunc(sum);
  };
  for (let i = 0; i < rgb.length; i += 3) {
    const grey = luma(rgb[i], rgb[i + 1], rgb[i + 2]);
    rgb[i] = clipped(grey, rgb[i]);
    rgb[i + 1] = clipped(grey, rgb[i + 1]);
    rgb[i + 2] = clipped(grey, rgb[i + 2]);
  }
}

/**
 * Turns the hue by `shift` of a full turn (-0.5 to 0.5), in 8 bits of hue, saturation and value: rgb2hsv and hsv2rgb of Convert.c, with
 * its mixture of float32 and float64.
 */
export function adjustHue(rgb: Uint8Array, shift: number): void {
  const turn = Math.trunc(shift * 255) & 255;
  for (let i = 0; i < rgb.length; i += 3) {
    const r = rgb[i];
    const g = rgb[i + 1];
    const b = rgb[i + 2];
    const value = r > g ? (r > b ? r : b) : g > b ? g : b;
    const range = value - (r < g ? (r < b ? r : b) : g < b ? g : b);
    // Grey has no hue: it stays as it is.
    if (range === 0) continue;
    const red = Math.fround((value - r) / range);
    const green = Math.fround((value - g) / range);
    const blue = Math.fround((value - b) / range);
    const sixths = r === value ? Math.fround(blue - green) : g === value ? Math.fround(2 + red - blue) : Math.fround(4 + green - red);
    const wrapped = sixths < 0 ? sixths / 6 + 1 : sixths / 6 + 1 - 1;
    const hue = (((Math.fround(wrapped) * 255) | 0) + turn) & 255;
    const s = Math.fround(((Math.fround(range / value) * 255) | 0) / 255);
    // In [0.5, 255.5]: cut off is rounded.
    const f = remainders[hue];
    const p = (value * (1 - s) + 0.5) | 0;
    const q = (value * (1 - Math.fround(s * f)) + 0.5) | 0;
    const t = (value * (1 - s * (1 - f)) + 0.5) | 0;
    const sector = sectors[hue];
    rgb[i] = sector === 0 || sector === 5 ? value : sector === 1 ? q : sector === 4 ? t : p;
    rgb[i + 1] = sector === 1 || sector === 2 ? value : sector === 3 ? q : sector === 0 ? t : p;
    rgb[i + 2] = sector === 3 || sector === 4 ? value : sector === 5 ? q : sector === 2 ? t : p;
  }
}

/** Which sixth of the turn a hue of 8 bits is in (the last value is back in the first), and how far into it. */
const sectors = Uint8Array.from({ length: 256 }, (_, hue) => Math.floor((hue * 6) / 255) % 6);
const remainders = Float32Array.from({ length: 256 }, (_, hue) => (hue * 6) / 255 - Math.floor((hue * 6) / 255));

/** Channel c becomes what channel order[c] was. */
export function permuteChannels(rgb: Uint8Array, order: readonly number[]): void {
  const [r, g, b] = order;
  for (let i = 0; i < rgb.length; i += 3) {
    const [x, y, z] = [rgb[i + r], rgb[i + g], rgb[i + b]];
    rgb[i] = x;
    rgb[i + 1] = y;
    rgb[i + 2] = z;
  }
}
