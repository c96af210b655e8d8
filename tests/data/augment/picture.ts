import type { RgbImage } from '../../../src/data/augment/resample.ts';

/** The picture behind tests/fixtures/preprocess: stripes, checks and a product, so that no two neighbours are alike. */
export function picture(width: number, height: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return ((x * 7 + y * 13 + c * 31) ^ ((x * y) >> 2) ^ (((Math.floor(x / 5) + Math.floor(y / 7)) % 2) * 120)) & 255;
  });
  return { data, width, height };
}

/** The colour of each pixel given by its place, black where there is none. */
export function remap(width: number, height: number, image: RgbImage, from: (x: number, y: number) => readonly [number, number]): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = from(x, y);
      if (u < 0 || v < 0 || u >= image.width || v >= image.height) continue;
      data.set(image.data.subarray((v * image.width + u) * 3, (v * image.width + u) * 3 + 3), (y * width + x) * 3);
    }
  }
  return { data, width, height };
}
