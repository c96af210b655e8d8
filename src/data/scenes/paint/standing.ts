/** What stands on the ground: houses and trees, and the blades of grass before the lens. */
import type { Canvas } from '../canvas.ts';
import type { Building, Landscape, Tree } from '../landscape.ts';
import { clamp, hash, mix, noise, smoothstep } from '../noise.ts';
import { blendRgb, type Rgb } from '../palette.ts';
import { lit } from './ridges.ts';

export function paintBuilding(canvas: Canvas, landscape: Landscape, building: Building): void {
  const { hour, season } = landscape.palette;
  const { width } = canvas;
  const pixel = 1 / width;
  const { u: left, top, base, seed } = building;
  const right = left + building.width;
  const far = 0.16;
  const facade = blendRgb(lit(building.color, hour.light), hour.haze, far);
  const roofColor: Rgb = season.snow > 0.7 ? [238, 242, 248] : hash(1, 1, seed) < 0.6 ? [158, 84, 66] : [92, 92, 104];
  const roof = blendRgb(lit(roofColor, hour.light), hour.haze, far);
  const roofHeight = building.roof === 'gable' ? Math.min(building.width * 0.42, (base - top) * 0.4) : 0.008;
  const wall = top + roofHeight;
  const columns = Math.max(1, Math.round(building.width / 0.026));
  const floors = Math.max(1, Math.round((base - wall) / 0.036));
  const glass = lit([92, 122, 150], hour.light);
  const glow: Rgb = [255, 212, 126];
  canvas.begin('building');
  for (let y = canvas.row(top - pixel), bottom = canvas.row(base + pixel); y < bottom; y++) {
    const v = (y + 0.5) * pixel;
    for (let x = canvas.column(left - 0.012), end = canvas.column(right + 0.012); x < end; x++) {
      const u = (x + 0.5) * pixel;
      const at = y * width + x;
      const across = (u - left) / building.width;
      if (v < wall) {
        const slope = building.roof === 'gable' ? (v - top) / roofHeight / 2 : 0.52;
        const inside = (slope - Math.abs(across - 0.5) + 0.04) * building.width;
        const tile = 0.94 + 0.12 * noise(u * 200, v * 160, seed);
        canvas.blend(at, roof[0] * tile, roof[1] * tile, roof[2] * tile, clamp(inside / pixel + 0.5, 0, 1));
        continue;
      }
      const inside = Math.min(u - left, right - u, base - v);
      const sunny = landscape.sun.u > 0.5 === across > 0.5 ? 1.05 : 0.97;
      const stone = sunny * (0.95 + 0.1 * noise(u * 90, v * 90, seed)) * mix(1, 0.84, smoothstep(base - 0.03, base, v));
      canvas.blend(at, facade[0] * stone, facade[1] * stone, facade[2] * stone, clamp(inside / pixel + 0.5, 0, 1));
      const cx = across * columns;
      const cy = ((v - wall) / (base - wall)) * floors;
      const wx = Math.floor(cx);
      const wy = Math.floor(cy);
      const dx = Math.abs(cx - wx - 0.5);
      const dy = Math.abs(cy - wy - 0.52);
      if (wx < 0 || wx >= columns || wy >= floors) continue;
      const cell = building.width / columns / pixel;
      const pane = clamp((0.27 - dx) * cell + 0.5, 0, 1) * clamp((0.3 - dy) * cell + 0.5, 0, 1) * clamp(inside / pixel, 0, 1);
      if (pane <= 0) continue;
      const burning = hash(wx, wy, seed ^ 9) < 0.12 + 0.5 * hour.night ? hour.night : 0;
      const color = blendRgb(blendRgb(glass, hour.skyBottom, 0.25 + 0.25 * (cy - wy)), glow, burning);
      canvas.tint(at, color[0], color[1], color[2], pane * 0.9);
    }
  }
}

export function paintTree(canvas: Canvas, landscape: Landscape, tree: Tree): void {
  const { hour, season } = landscape.palette;
  const leaves = tree.kind === 'conifer' ? season.conifer : season.leaves[Math.floor(tree.leaf * season.leaves.length)]!;
  const far = 0.25 * smoothstep(0.35, 0, (tree.base - landscape.horizon) / (landscape.aspect - landscape.horizon));
  const color = blendRgb(lit(leaves, hour.light), hour.haze, far);
  const trunk = blendRgb(lit([104, 78, 58], hour.light), hour.haze, far);
  canvas.begin('tree');
  paintTrunk(canvas, tree, trunk);
  if (tree.kind === 'conifer') paintConifer(canvas, landscape, tree, color);
  else paintCrown(canvas, landscape, tree, color);
}

function paintTrunk(canvas: Canvas, { u: middle, base, height }: Tree, color: Rgb): void {
  const pixel = 1 / canvas.width;
  for (let y = canvas.row(base - height * 0.5), bottom = canvas.row(base + pixel); y < bottom; y++) {
    const v = (y + 0.5) * pixel;
    const half = height * 0.035 * (1 + 0.7 * smoothstep(base - height * 0.12, base, v));
    for (let x = canvas.column(middle - half - pixel), end = canvas.column(middle + half + pixel); x < end; x++) {
      const u = (x + 0.5) * pixel;
      const shade = 1 - 0.35 * clamp((u - middle) / half, -1, 1);
      const inside = Math.min(half - Math.abs(u - middle), base - v);
      canvas.blend(y * canvas.width + x, color[0] * shade, color[1] * shade, color[2] * shade, clamp(inside / pixel + 0.5, 0, 1));
    }
  }
}

/** Four skirts of branches, each wider than the one above it. */
function paintConifer(canvas: Canvas, { palette, sun }: Landscape, { u: middle, base, height, seed }: Tree, color: Rgb): void {
  const { width } = canvas;
  const pixel = 1 / width;
  const side = sun.u < middle ? -1 : 1;
  const [top, bottom] = [base - height, base - height * 0.1];
  const snowColor = lit([244, 248, 255], palette.hour.light);
  for (let y = canvas.row(top - pixel), end = canvas.row(bottom + pixel); y < end; y++) {
    const v = (y + 0.5) * pixel;
    const s = clamp((v - top) / (bottom - top), 0, 1) * 4;
    const skirt = Math.min(3, Math.floor(s));
    const down = s - skirt;
    const half = height * (0.035 + 0.06 * skirt + (0.05 + 0.04 * skirt) * down);
    for (let x = canvas.column(middle - half * 1.1), last = canvas.column(middle + half * 1.1); x < last; x++) {
      const u = (x + 0.5) * pixel;
      const ragged = (noise(u * 160, v * 120, seed) - 0.5) * height * 0.05;
      const inside = Math.min(half - Math.abs(u - middle) + ragged, bottom - v + ragged);
      const alpha = clamp(inside / pixel + 0.5, 0, 1);
      if (alpha <= 0) continue;
      const across = (u - middle) / half;
      const shade =
        0.78 + 0.34 * palette.hour.contrast * across * side + 0.3 * (1 - down) + (noise(u * 240, v * 200, seed ^ 1) - 0.5) * 0.3;
      const snow = smoothstep(0.5, 0.15, down + noise(u * 90, v * 40, seed ^ 2) * 0.4) * palette.season.snow * 0.85;
      const at = y * width + x;
      canvas.blend(
        at,
        mix(color[0] * shade, snowColor[0], snow),
        mix(color[1] * shade, snowColor[1], snow),
        mix(color[2] * shade, snowColor[2], snow),
        alpha,
      );
    }
  }
}

/** A crown of balls of leaves, lit from the sun's side. */
function paintCrown(canvas: Canvas, { palette, sun }: Landscape, { u: middle, base, height, seed }: Tree, color: Rgb): void {
  const { width } = canvas;
  const pixel = 1 / width;
  const balls = Array.from({ length: 8 }, (_, i) => ({
    u: middle + (hash(i, 1, seed) - 0.5) * height * 0.52,
    v: base - height * (0.5 + 0.32 * hash(i, 2, seed)),
    r: height * (0.15 + 0.1 * hash(i, 3, seed)),
  }));
  balls.push({ u: middle, v: base - height * 0.68, r: height * 0.29 });
  const side = sun.u < middle ? -0.6 : 0.6;
  const reach = height * 0.56;
  for (let y = canvas.row(base - height * 1.1), end = canvas.row(base - height * 0.2); y < end; y++) {
    const v = (y + 0.5) * pixel;
    for (let x = canvas.column(middle - reach), last = canvas.column(middle + reach); x < last; x++) {
      const u = (x + 0.5) * pixel;
      let inside = -1;
      let light = 0;
      for (const ball of balls) {
        const du = (u - ball.u) / ball.r;
        const dv = (v - ball.v) / ball.r;
        const d2 = du * du + dv * dv;
        const depth = (1 - d2) * ball.r * 0.5;
        if (d2 > 1.4 || depth <= inside) continue;
        inside = depth;
        light = du * side - dv * 0.8;
      }
      if (inside <= -0.5) continue;
      const leaf = noise(u * 150, v * 150, seed ^ 4);
      const alpha = clamp((inside + (leaf - 0.5) * height * 0.05) / pixel + 0.5, 0, 1);
      if (alpha <= 0) continue;
      const whole = (base - height * 0.65 - v) / height;
      const shade = 0.84 + (0.16 * light + 0.5 * whole) * (0.5 + 0.5 * palette.hour.contrast) + (leaf - 0.5) * 0.34;
      canvas.blend(y * width + x, color[0] * shade, color[1] * shade, color[2] * shade, alpha);
    }
  }
}

/** The shadow that a tree throws on the ground. */
export function paintTreeShadow(canvas: Canvas, { palette, sun }: Landscape, tree: Tree): void {
  const { width } = canvas;
  const pixel = 1 / width;
  const [ru, rv] = [tree.height * 0.34, tree.height * 0.07];
  const middle = tree.u + (tree.u - sun.u) * tree.height * 0.3;
  for (let y = canvas.row(tree.base - rv), end = canvas.row(tree.base + rv); y < end; y++) {
    for (let x = canvas.column(middle - ru), last = canvas.column(middle + ru); x < last; x++) {
      const du = ((x + 0.5) * pixel - middle) / ru;
      const dv = ((y + 0.5) * pixel - tree.base) / rv;
      canvas.tint(y * width + x, 10, 20, 30, 0.42 * palette.hour.contrast * smoothstep(1, 0.2, du * du + dv * dv));
    }
  }
}

/** Blades along the bottom edge, before everything that stands in the scene. */
export function paintBlades(canvas: Canvas, { aspect, palette, near }: Landscape): void {
  const { width } = canvas;
  const pixel = 1 / width;
  const color = lit(palette.season.grass, palette.hour.light);
  canvas.begin('grass');
  const count = 150;
  for (let i = 0; i < count; i++) {
    const root = hash(i, 1, near.seed) * 1.1 - 0.05;
    const clump = noise(root * 7, 0.5, near.seed);
    const height = near.grass * (0.35 + 1.1 * hash(i, 2, near.seed)) * (0.3 + 1.2 * clump);
    const lean = (hash(i, 3, near.seed) - 0.5) * height * 1.1;
    const shade = 0.5 + 0.5 * hash(i, 4, near.seed);
    for (let y = canvas.row(aspect - height); y < canvas.height; y++) {
      const s = clamp((aspect - (y + 0.5) * pixel) / height, 0, 1);
      const middle = root + lean * s * s;
      const half = 0.0042 * (1 - s) + 0.0006;
      for (let x = canvas.column(middle - half - pixel), end = canvas.column(middle + half + pixel); x < end; x++) {
        const inside = half - Math.abs((x + 0.5) * pixel - middle);
        const bright = shade * (0.7 + 0.5 * s);
        canvas.blend(y * width + x, color[0] * bright, color[1] * bright, color[2] * bright, clamp(inside / pixel + 0.5, 0, 1));
      }
    }
  }
}
