/** The objects' pictures, cut from the sheet, each with ever smaller copies of itself to be drawn small or blurred. */
import { BackdropError } from '../../errors.ts';
import { sceneCategories } from './categories.ts';
import { decodeRgbaPng } from './png.ts';

const [cellWidth, cellHeight, columns] = [136, 128, 8];

/** One picture at one size: [height, width, 4], red, green and blue 0 to 255 and multiplied by alpha, alpha 0 to 1. */
export interface SpriteLevel {
  readonly width: number;
  readonly height: number;
  readonly pixels: Float32Array;
}

export interface Sprite {
  /** Full size, half, a quarter, ... */
  readonly levels: readonly SpriteLevel[];
  /** Where it is opaque, in pixels of the full size: left, top, right, bottom. */
  readonly bounds: readonly [number, number, number, number];
}

/** By category, then variant. */
export type Sprites = readonly (readonly Sprite[])[];

/** Cuts the sheet sprites/sprites.png. @throws BackdropError E_IMAGE when it is damaged or not that sheet */
export async function loadSprites(png: Uint8Array<ArrayBuffer>): Promise<Sprites> {
  const sheet = await decodeRgbaPng(png);
  const count = sceneCategories.reduce((sum, { variants }) => sum + [...variants].length, 0);
  if (sheet.width !== columns * cellWidth || sheet.height !== Math.ceil(count / columns) * cellHeight) {
    throw new BackdropError('E_IMAGE', `sprite sheet: ${sheet.width} x ${sheet.height} pixels do not hold ${count} sprites`);
  }
  let next = 0;
  return sceneCategories.map(({ variants }) => [...variants].map(() => cut(sheet.pixels, next++)));
}

function cut(sheet: Uint8Array, index: number): Sprite {
  const [left, top] = [(index % columns) * cellWidth, Math.floor(index / columns) * cellHeight];
  const pixels = new Float32Array(cellWidth * cellHeight * 4);
  let bounds: [number, number, number, number] = [cellWidth, cellHeight, 0, 0];
  for (let y = 0; y < cellHeight; y++) {
    for (let x = 0; x < cellWidth; x++) {
      const from = 4 * ((top + y) * columns * cellWidth + left + x);
      const to = 4 * (y * cellWidth + x);
      const alpha = sheet[from + 3]! / 255;
      for (let c = 0; c < 3; c++) pixels[to + c] = sheet[from + c]! * alpha;
      pixels[to + 3] = alpha;
      if (alpha >= 0.5) bounds = [Math.min(bounds[0], x), Math.min(bounds[1], y), Math.max(bounds[2], x + 1), Math.max(bounds[3], y + 1)];
    }
  }
  const levels: SpriteLevel[] = [{ width: cellWidth, height: cellHeight, pixels }];
  while (levels.length < 6) levels.push(half(levels[levels.length - 1]!));
  return { levels, bounds };
}

/** Averages of two by two pixels; what sticks out of an odd size counts as transparent. */
function half({ width, height, pixels }: SpriteLevel): SpriteLevel {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const result = new Float32Array(w * h * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 4; c++) result[4 * ((y >> 1) * w + (x >> 1)) + c]! += pixels[4 * (y * width + x) + c]! / 4;
    }
  }
  return { width: w, height: h, pixels: result };
}
