/** One object as it will lie on the picture: turned, scaled, lit, under water as far as it swims. */
import type { Background } from './background.ts';
import { sceneCategories } from './categories.ts';
import { clamp, mix, noise, smoothstep } from './noise.ts';
import type { SceneObject } from './objects.ts';
import type { Region } from './regions.ts';
import type { Sprite, SpriteLevel } from './sprites.ts';

export interface Stamp {
  /** Upper left corner, in pixels of the picture; may lie outside of it. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** [height, width, 4]: colours 0 to 255 multiplied by alpha, alpha 0 to 1. */
  readonly pixels: Float32Array;
  /** Where it meets what it stands on, and half its width there. */
  readonly foot: { readonly x: number; readonly y: number; readonly half: number };
  readonly place: Region;
}

/** How dark a shadow lies there; none hangs in the air or on what stands upright. */
const shadows: Partial<Record<Region, number>> = { grass: 1, road: 1, mountain: 0.45 };

export function stampObject(object: SceneObject, sprite: Sprite, background: Background): Stamp {
  const { behind, landscape } = background;
  const [left, top, right, bottom] = sprite.bounds;
  const [w, h] = [right - left, bottom - top];
  const longest = Math.max(w, h);
  const scale = (object.size * behind.width) / longest;
  const flies = object.place === 'sky';
  const swims = object.place === 'water';
  const draught = swims ? sceneCategories[object.label]!.draught * h : 0;
  const [ax, ay] = [(left + right) / 2, flies ? (top + bottom) / 2 : bottom - draught];
  const [footX, footY] = [object.u * behind.width, object.v * behind.width];
  const t2 = object.turn * object.turn;
  const [cos, sin] = [(1 - t2) / (1 + t2), (2 * object.turn) / (1 + t2)];
  const mirror = object.flip ? -1 : 1;

  const margin = 1.5 / scale + object.look.blur * longest * 2;
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const cornerX of [left - margin, right + margin]) {
    for (const cornerY of [top - margin, bottom + margin]) {
      const [dx, dy] = [(cornerX - ax) * mirror * scale, (cornerY - ay) * scale];
      const [x, y] = [footX + cos * dx - sin * dy, footY + sin * dx + cos * dy];
      [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    }
  }
  const [x, y] = [Math.floor(x0), Math.floor(y0)];
  const [width, height] = [Math.ceil(x1) - x, Math.ceil(y1) - y];

  // A smaller copy for a smaller or softer picture, between two of them where it lies between.
  let [ratio, level] = [Math.max(1 / scale, object.look.blur * longest), 0];
  while (ratio >= 2 && level < sprite.levels.length - 2) [ratio, level] = [ratio / 2, level + 1];
  const [fine, coarse] = [sprite.levels[level]!, sprite.levels[level + 1]!];
  const between = clamp(ratio - 1, 0, 1);
  const shrink = 1 / (1 << level);
  const shade = shading(object, background);
  const sun = landscape.sun.u * behind.width > footX ? 1 : -1;
  const side = (0.16 * landscape.palette.hour.contrast * sun) / (object.size * behind.width);
  const middle = (x0 + x1) / 2;

  const pixels = new Float32Array(width * height * 4);
  const texel = new Float32Array(4);
  for (let row = 0; row < height; row++) {
    const dy = y + row + 0.5 - footY;
    for (let column = 0; column < width; column++) {
      const dx = x + column + 0.5 - footX;
      if (swims && dy > (noise((x + column) * 0.35, footY, landscape.seed) - 0.5) * 0.05 * object.size * behind.width) continue;
      const sx = (((cos * dx + sin * dy) / scale) * mirror + ax) * shrink;
      const sy = ((cos * dy - sin * dx) / scale + ay) * shrink;
      texel.fill(0);
      sample(fine, sx, sy, 1 - between, texel);
      if (between > 0) sample(coarse, sx / 2, sy / 2, between, texel);
      const alpha = texel[3]!;
      if (alpha < 0.004) continue;
      const at = 4 * (row * width + column);
      const sunny = 1 + (x + column + 0.5 - middle) * side;
      for (let c = 0; c < 3; c++) pixels[at + c] = texel[c]! * shade.factor[c]! * sunny + shade.add[c]! * alpha;
      pixels[at + 3] = alpha;
    }
  }
  return { x, y, width, height, pixels, foot: { x: footX, y: footY, half: 0.5 * w * scale }, place: object.place };
}

/** Colour becomes colour * factor + add: light of the hour, haze, and how hard the object is to make out. */
function shading({ u, v, size, place, look }: SceneObject, { behind, landscape }: Background): { factor: number[]; add: number[] } {
  const { hour } = landscape.palette;
  const near = clamp((v - landscape.horizon) / (landscape.aspect - landscape.horizon), 0, 1);
  const haze = place === 'sky' ? 0.12 : 0.3 * (1 - near) * (1 - near);
  const centre = place === 'sky' ? v : v - size / 2;
  const column = clamp(Math.floor(u * behind.width), 0, behind.width - 1);
  const row = clamp(Math.floor(centre * behind.width), 0, behind.height - 1);
  const around = behind.color(row * behind.width + column);
  const factor: number[] = [];
  const add: number[] = [];
  for (let c = 0; c < 3; c++) {
    const light = mix(1, hour.light[c]!, 0.75) * look.exposure * (1 - look.silhouette);
    factor.push(light * (1 - haze) * (1 - look.fade));
    add.push(mix(hour.haze[c]! * haze * (1 - look.silhouette), around[c]!, look.fade));
  }
  return { factor, add };
}

/** Adds `weight` times the bilinear sample at (x, y), whose whole numbers lie between pixels; transparent outside. */
function sample({ width, height, pixels }: SpriteLevel, x: number, y: number, weight: number, out: Float32Array): void {
  const x0 = Math.floor(x - 0.5);
  const y0 = Math.floor(y - 0.5);
  if (x0 < -1 || y0 < -1 || x0 >= width || y0 >= height) return;
  const right = (x - 0.5 - x0) * weight;
  const left = weight - right;
  const down = y - 0.5 - y0;
  for (let row = y0; row < y0 + 2; row++) {
    if (row < 0 || row >= height) continue;
    const share = row === y0 ? 1 - down : down;
    const at = 4 * (row * width + x0);
    if (x0 >= 0) for (let c = 0; c < 4; c++) out[c]! += pixels[at + c]! * left * share;
    if (x0 + 1 < width) for (let c = 0; c < 4; c++) out[c]! += pixels[at + 4 + c]! * right * share;
  }
}

/** Paints a stamp with its shadow or its mirror image over colours of [height, width, 3]. */
export function drawStamp(stamp: Stamp, { landscape }: Background, rgb: Float32Array, width: number, height: number): void {
  const shadow = shadows[stamp.place];
  if (stamp.place === 'water') drawReflection(stamp, rgb, width, height);
  else if (shadow !== undefined) drawShadow(stamp, shadow * (0.2 + 0.35 * landscape.palette.hour.contrast), rgb, width, height);
  for (let row = 0; row < stamp.height; row++) {
    const py = stamp.y + row;
    if (py < 0 || py >= height) continue;
    for (let column = Math.max(0, -stamp.x); column < stamp.width && stamp.x + column < width; column++) {
      const from = 4 * (row * stamp.width + column);
      const rest = 1 - stamp.pixels[from + 3]!;
      if (rest === 1) continue;
      const to = 3 * (py * width + stamp.x + column);
      for (let c = 0; c < 3; c++) rgb[to + c] = stamp.pixels[from + c]! + rgb[to + c]! * rest;
    }
  }
}

function drawShadow({ foot }: Stamp, darkest: number, rgb: Float32Array, width: number, height: number): void {
  const { x, y, half } = foot;
  const [rx, ry] = [half * 1.15, Math.max(1, half * 0.26)];
  for (let py = Math.max(0, Math.ceil(y - ry)); py < Math.min(height, y + ry); py++) {
    for (let px = Math.max(0, Math.ceil(x - rx)); px < Math.min(width, x + rx); px++) {
      const dx = (px + 0.5 - x) / rx;
      const dy = (py + 0.5 - y) / ry;
      const strength = darkest * smoothstep(1, 0.1, dx * dx + dy * dy);
      const at = 3 * (py * width + px);
      for (let c = 0; c < 3; c++) rgb[at + c]! *= 1 - strength;
    }
  }
}

/** The rows above the waterline upside down below it, squeezed, fading and shaken. */
function drawReflection(stamp: Stamp, rgb: Float32Array, width: number, height: number): void {
  const line = stamp.foot.y;
  const rows = Math.floor((line - stamp.y) * 0.7);
  for (let down = 0; down < rows; down++) {
    const py = Math.floor(line) + down;
    const row = Math.floor(line - stamp.y - (down + 0.5) / 0.7);
    if (py < 0 || py >= height || row < 0 || row >= stamp.height) continue;
    const shift = Math.round((noise(down * 0.5, line, 77) - 0.5) * 0.14 * stamp.width * (0.2 + down / rows));
    const strength = 0.38 * (1 - down / rows);
    for (let column = 0; column < stamp.width; column++) {
      const px = stamp.x + column + shift;
      if (px < 0 || px >= width) continue;
      const from = 4 * (row * stamp.width + column);
      const rest = 1 - stamp.pixels[from + 3]! * strength;
      const to = 3 * (py * width + px);
      for (let c = 0; c < 3; c++) rgb[to + c] = stamp.pixels[from + c]! * strength + rgb[to + c]! * rest;
    }
  }
}
