/** Objects on a painted landscape: pixels, region map and exact boxes. */
import type { Background } from './background.ts';
import { hash } from './noise.ts';
import type { SceneObject } from './objects.ts';
import { regionNumber } from './regions.ts';
import type { Sprites } from './sprites.ts';
import { drawStamp, type Stamp, stampObject } from './stamp.ts';

/** An object of which less than this share shows is left out of the picture. */
export const leastVisible = 0.3;

export interface SceneAnnotation {
  /** Position in the objects given. */
  readonly object: number;
  readonly label: number;
  /** x, y, width, height in whole pixels: the bounds of the pixels that belong to it in the picture. */
  readonly box: readonly [number, number, number, number];
  /** How many pixels those are. */
  readonly area: number;
  /** Their share of all it would have with nothing before it and no edge of the picture. */
  readonly visible: number;
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** [height, width, 4], alpha 255. */
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  /** [height, width], numbers of regionNames; objects are 7, foreground. */
  readonly regions: Uint8Array;
  /** From the farthest to the nearest. */
  readonly annotations: readonly SceneAnnotation[];
}

/** Nobody's pixel, and one behind a bush or blades of grass. */
const [free, covered] = [-1, -2];

/** Paints objects over a background, the farthest first: what is in the sky, then by the height of their feet. */
export function composeScene(background: Background, objects: readonly SceneObject[], sprites: Sprites): Picture {
  const { behind, before } = background;
  const { width, height } = behind;
  const depth = ({ place, v }: SceneObject) => (place === 'sky' ? v - 10 : v);
  const order = objects.map((_, i) => i).sort((a, b) => depth(objects[a]!) - depth(objects[b]!) || a - b);
  const owner = new Int16Array(width * height).fill(free);
  for (let i = 0; i < owner.length; i++) if (before.coverage[i]! >= 0.5) owner[i] = covered;
  const kept: { stamp: Stamp; annotation: SceneAnnotation }[] = [];
  // The nearest claims its pixels first.
  for (const i of order.reverse()) {
    const object = objects[i]!;
    const stamp = stampObject(object, sprites[object.label]![object.variant]!, background);
    const annotation = claim(stamp, owner, width, height, i, object.label);
    if (annotation) kept.push({ stamp, annotation });
  }
  kept.reverse();
  const rgb = new Float32Array(behind.rgb);
  for (const { stamp } of kept) drawStamp(stamp, background, rgb, width, height);
  return {
    width,
    height,
    rgba: develop(background, rgb),
    regions: regionMap(background, owner),
    annotations: kept.map(({ annotation }) => annotation),
  };
}

function regionMap({ behind, before }: Background, owner: Int16Array): Uint8Array {
  const map = new Uint8Array(behind.regions);
  const foreground = regionNumber('foreground');
  for (let i = 0; i < map.length; i++) {
    if (owner[i] === covered) map[i] = before.regions[i]!;
    else if (owner[i] !== free) map[i] = foreground;
  }
  return map;
}

/** Lays what stands before everything over the picture, darkens its corners a little and adds the grain of a film. */
function develop({ behind: { width, height }, before, landscape }: Background, rgb: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray(width * height * 4);
  const { grain, seed } = landscape;
  for (let y = 0; y < height; y++) {
    const dy = y / height - 0.5;
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const dx = x / width - 0.5;
      const edge = 1.03 - 0.26 * (dx * dx + dy * dy);
      const rest = (1 - before.coverage[at]!) * edge;
      const speck = (hash(x, y, seed) - 0.5) * grain;
      for (let c = 0; c < 3; c++) rgba[4 * at + c] = rgb[3 * at + c]! * rest + before.rgb[3 * at + c]! * edge + speck;
      rgba[4 * at + 3] = 255;
    }
  }
  return rgba;
}

/** Gives an object its pixels that are still free: those it covers at least half. Null, and none taken, when too few are. */
function claim(stamp: Stamp, owner: Int16Array, width: number, height: number, object: number, label: number): SceneAnnotation | null {
  let whole = 0;
  let area = 0;
  let left = width;
  let top = height;
  let right = 0;
  let bottom = 0;
  for (let y = 0; y < stamp.height; y++) {
    const py = stamp.y + y;
    for (let x = 0; x < stamp.width; x++) {
      if (stamp.pixels[4 * (y * stamp.width + x) + 3]! < 0.5) continue;
      whole++;
      const px = stamp.x + x;
      if (px < 0 || py < 0 || px >= width || py >= height || owner[py * width + px] !== free) continue;
      area++;
      left = Math.min(left, px);
      right = Math.max(right, px + 1);
      top = Math.min(top, py);
      bottom = Math.max(bottom, py + 1);
    }
  }
  if (area === 0 || area < leastVisible * whole) return null;
  for (let py = top; py < bottom; py++) {
    for (let px = left; px < right; px++) {
      const at = 4 * ((py - stamp.y) * stamp.width + px - stamp.x);
      if (owner[py * width + px] === free && stamp.pixels[at + 3]! >= 0.5) owner[py * width + px] = object;
    }
  }
  return { object, label, box: [left, top, right - left, bottom - top], area, visible: area / whole };
}
