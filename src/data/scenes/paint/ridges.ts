/** Silhouettes along the horizon: mountain ranges, grassy hills, far forests. */
import type { Canvas } from '../canvas.ts';
import type { Forest, Landscape, Ridge } from '../landscape.ts';
import { clamp, fractal, hash, mix, noise, smoothstep } from '../noise.ts';
import type { Rgb } from '../palette.ts';

export const lit = (color: Rgb, light: Rgb): Rgb => [color[0] * light[0], color[1] * light[1], color[2] * light[2]];

/** 0 to 1: sharp crests, as folded noise has them. */
function crest(u: number, { peaks, seed }: Ridge): number {
  let sum = 0;
  let weight = 0;
  let scale = 1;
  for (let octave = 0; octave < 5; octave++) {
    const fold = 1 - Math.abs(2 * noise(u * peaks * scale + 9 * octave, 0.5, seed + octave) - 1);
    sum += (fold * fold) / scale;
    weight += 1 / scale;
    scale *= octave === 0 ? 2 : 2.1;
  }
  return sum / weight;
}

export function paintMountain(canvas: Canvas, landscape: Landscape, ridge: Ridge): void {
  const { hour, season } = landscape.palette;
  const { width } = canvas;
  const pixel = 1 / width;
  const side = landscape.sun.u < 0.5 ? 1 : -1;
  const rock = lit(season.rock, hour.light);
  const snowColor = lit([246, 249, 255], hour.light);
  canvas.begin('mountain');
  for (let x = 0; x < width; x++) {
    const u = (x + 0.5) * pixel;
    const top = ridge.base - ridge.height * crest(u, ridge);
    const snowLine = ridge.base - ridge.height * (1.02 - 0.75 * season.snow);
    for (let y = canvas.row(top - pixel), end = canvas.row(ridge.base); y < end; y++) {
      const v = (y + 0.5) * pixel;
      const depth = v - top;
      // Faces fall off to both sides of the crest: noise that is sheared along the slope reads as facets.
      const facet = fractal(u * 14 + depth * side * 9, v * 10 - depth * 4, ridge.seed ^ 0x77, 3);
      const shade = 0.62 + (facet - 0.5) * 1.5 * hour.contrast + 0.18 * clamp(1 - depth / ridge.height, 0, 1);
      let red = rock[0] * shade;
      let green = rock[1] * shade;
      let blue = rock[2] * (shade * 0.85 + 0.15);
      const snow = smoothstep(0.012, -0.012, v - snowLine + (facet - 0.5) * 0.13) * Math.min(1, season.snow * 4);
      red = mix(red, snowColor[0] * (0.5 + 0.55 * shade), snow);
      green = mix(green, snowColor[1] * (0.56 + 0.5 * shade), snow);
      blue = mix(blue, snowColor[2] * (0.68 + 0.4 * shade), snow);
      const haze = clamp(ridge.distance * (0.62 + 0.6 * smoothstep(0, ridge.height, depth)), 0, 0.9);
      canvas.blend(
        y * width + x,
        mix(red, hour.haze[0], haze),
        mix(green, hour.haze[1], haze),
        mix(blue, hour.haze[2], haze),
        clamp(depth / pixel + 0.5, 0, 1),
      );
    }
  }
}

export function paintHill(canvas: Canvas, landscape: Landscape, ridge: Ridge): void {
  const { hour, season } = landscape.palette;
  const { width } = canvas;
  const pixel = 1 / width;
  const side = landscape.sun.u < 0.5 ? 1 : -1;
  const near = lit(season.grassFar, hour.light);
  canvas.begin('grass');
  for (let x = 0; x < width; x++) {
    const u = (x + 0.5) * pixel;
    const height = (at: number) => fractal(at * ridge.peaks, 0.5, ridge.seed, 3);
    const top = ridge.base - ridge.height * height(u);
    const slope = clamp((height(u - 0.01) - height(u + 0.01)) * side * 4, -0.5, 0.5);
    for (let y = canvas.row(top - pixel), end = canvas.row(ridge.base); y < end; y++) {
      const v = (y + 0.5) * pixel;
      const patch = noise(u * 26 + v * 20, v * 90, ridge.seed ^ 5);
      const shade = 0.9 - slope * 0.3 * hour.contrast + (patch - 0.5) * 0.14;
      const haze = ridge.distance * 0.55;
      canvas.blend(
        y * width + x,
        mix(near[0] * shade, hour.haze[0], haze),
        mix(near[1] * shade, hour.haze[1], haze),
        mix(near[2] * shade, hour.haze[2], haze),
        clamp((v - top) / pixel + 0.5, 0, 1),
      );
    }
  }
}

/** Height of the tree tops above the forest's own outline, 0 to 1: spires or rounded crowns, side by side. */
function treetops(u: number, forest: Forest): number {
  const cells = forest.kind === 'conifer' ? 58 : 34;
  let best = 0;
  for (let layer = 0; layer < 2; layer++) {
    const at = u * cells + layer * 0.5;
    const cell = Math.floor(at);
    const across = Math.abs(2 * (at - cell) - 1);
    const height = 0.45 + 0.55 * hash(cell, layer, forest.seed);
    const shape = forest.kind === 'conifer' ? 1 - across : Math.sqrt(1 - across * across);
    best = Math.max(best, height * shape);
  }
  return best;
}

export function paintForest(canvas: Canvas, landscape: Landscape, forest: Forest): void {
  const { hour, season } = landscape.palette;
  const { width } = canvas;
  const pixel = 1 / width;
  const tree = lit(forest.kind === 'conifer' ? season.conifer : season.leaves[0]!, hour.light);
  const other = lit(forest.kind === 'conifer' ? season.conifer : season.leaves[season.leaves.length - 1]!, hour.light);
  canvas.begin('tree');
  for (let x = 0; x < width; x++) {
    const u = (x + 0.5) * pixel;
    const outline = 0.35 + 0.65 * fractal(u * forest.peaks, 0.5, forest.seed, 3);
    const top = forest.base - forest.height * (0.62 * outline + 0.38 * treetops(u, forest));
    for (let y = canvas.row(top - pixel), end = canvas.row(forest.base); y < end; y++) {
      const v = (y + 0.5) * pixel;
      const depth = clamp((v - top) / forest.height, 0, 1);
      const leaf = noise(u * 120, v * 150, forest.seed ^ 3);
      const crown = noise(u * 34, v * 30, forest.seed ^ 7);
      const shade = 1.02 - 0.42 * depth + (leaf - 0.5) * 0.3 + (crown - 0.5) * 0.3;
      const haze = forest.distance * (0.55 + 0.25 * depth);
      canvas.blend(
        y * width + x,
        mix(mix(tree[0], other[0], crown) * shade, hour.haze[0], haze),
        mix(mix(tree[1], other[1], crown) * shade, hour.haze[1], haze),
        mix(mix(tree[2], other[2], crown) * shade, hour.haze[2], haze),
        clamp((v - top) / pixel + 0.5, 0, 1),
      );
    }
  }
}
