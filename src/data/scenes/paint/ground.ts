/** The plane below the horizon: meadow, water and road, in perspective. */
import type { Canvas } from '../canvas.ts';
import { roadPlace, waterDepth } from '../geometry.ts';
import type { Landscape, Road, Water } from '../landscape.ts';
import { clamp, fractal, hash, mix, noise, smoothstep } from '../noise.ts';
import { blendRgb } from '../palette.ts';
import { lit } from './ridges.ts';

export function paintGrass(canvas: Canvas, landscape: Landscape): void {
  const { horizon, aspect, seed } = landscape;
  const { hour, season } = landscape.palette;
  const { width, height } = canvas;
  const pixel = 1 / width;
  const [near, far] = [lit(season.grass, hour.light), blendRgb(lit(season.grassFar, hour.light), hour.haze, 0.3)];
  const flowers = season.flower.map((color) => lit(color, hour.light));
  const blooming = hash(1, 2, seed) * 0.1;
  canvas.begin('grass');
  for (let x = 0; x < width; x++) {
    const u = (x + 0.5) * pixel;
    const top = horizon - 0.012 * noise(u * 5, 0.5, seed ^ 0x61);
    for (let y = canvas.row(top - pixel); y < height; y++) {
      const v = (y + 0.5) * pixel;
      const t = clamp((v - horizon) / (aspect - horizon), 0, 1);
      // A point of the plane lies as far as 1 / t: patterns shrink and flatten towards the horizon.
      const z = 1 / (t + 0.09);
      const px = (u - 0.5) * z;
      const pz = z * 1.6;
      const swath = noise(px * 1.1, pz * 1.3, seed ^ 0x62);
      const tuft = fractal(px * 16, pz * 12, seed ^ 0x63, 2);
      const blade = noise(px * 70, pz * 26, seed ^ 0x64);
      const shade = 0.86 + 0.24 * swath + (tuft - 0.5) * 0.34 * smoothstep(0, 0.35, t) + (blade - 0.5) * 0.3 * smoothstep(0.1, 0.6, t);
      const tone = clamp(t * 1.25 + (swath - 0.5) * 0.5, 0, 1);
      const at = y * width + x;
      canvas.blend(
        at,
        mix(far[0], near[0], tone) * shade,
        mix(far[1], near[1], tone) * shade,
        mix(far[2], near[2], tone) * shade,
        clamp((v - top) / pixel + 0.5, 0, 1),
      );
      const cx = Math.floor(px * 26);
      const cz = Math.floor(pz * 22);
      const flower = hash(cx, cz, seed ^ 0x65);
      if (flower < blooming * swath && t > 0.06) {
        const dx = px * 26 - cx - 0.5;
        const dz = pz * 22 - cz - 0.5;
        const color = flowers[Math.floor((flower / (blooming * swath)) * flowers.length)]!;
        canvas.tint(at, color[0], color[1], color[2], 0.85 * smoothstep(0.16, 0.05, dx * dx + dz * dz));
      }
    }
  }
}

export function paintWater(canvas: Canvas, landscape: Landscape, water: Water): void {
  const { horizon, aspect, sun } = landscape;
  const { hour, season, waterDeep } = landscape.palette;
  const { width, height } = canvas;
  const pixel = 1 / width;
  const deep = lit(waterDeep, hour.light);
  const shore = lit(season.shore, hour.light);
  const mirrorRow = Math.round(horizon * width);
  const wet = new Float64Array(3);
  canvas.begin('water');
  const first = canvas.row(horizon);
  // From below, so that what is mirrored is not yet painted over where the water reaches the horizon.
  for (let y = height - 1; y >= first; y--) {
    const v = (y + 0.5) * pixel;
    const t = clamp((v - horizon) / (aspect - horizon), 0, 1);
    const z = 1 / (t + 0.07);
    for (let x = 0; x < width; x++) {
      const u = (x + 0.5) * pixel;
      const inside = waterDepth(water, u, v, horizon);
      const beach = 0.006 + 0.05 * t;
      if (inside < -beach) continue;
      const at = y * width + x;
      if (inside < pixel) {
        canvas.tint(at, shore[0], shore[1], shore[2], smoothstep(-beach, -beach * 0.55, inside) * 0.92);
      }
      if (inside <= -pixel) continue;
      const px = (u - 0.5) * z;
      const pz = z * 2;
      const wave = fractal(px * 6, pz * 16, water.seed ^ 0x71, 3) - 0.5;
      // What stands above the horizon, upside down and shaken.
      const row = clamp(Math.round(mirrorRow - (y - first) * 0.72 - 1 + wave * 10 * t), 0, height - 1);
      const column = clamp(Math.round(x + wave * width * 0.045 * (0.3 + t)), 0, width - 1);
      const mirrored = 3 * (Math.min(row, Math.max(0, first - 1)) * width + column);
      const clear = mix(0.58, 0.24, t);
      const crest = smoothstep(0.16, 0.34, wave) * (0.2 + 0.3 * t);
      const du = u - sun.u;
      const glint = (smoothstep(0.12, 0.3, wave) * (hour.contrast * 0.75)) / (1 + du * du * 120);
      const tone = 0.86 + wave * 0.55;
      const foam = smoothstep(0.005 + 0.012 * t, 0, inside) * 0.65;
      for (let c = 0; c < 3; c++) {
        const body = mix(deep[c]!, hour.skyBottom[c]!, 0.1 + 0.24 * (1 - t)) * tone;
        const color = mix(mix(mix(body, canvas.rgb[mirrored + c]!, clear), hour.skyBottom[c]!, crest), hour.sun[c]!, glint);
        wet[c] = mix(color, 250 * hour.light[c]!, foam);
      }
      canvas.blend(at, wet[0]!, wet[1]!, wet[2]!, clamp(inside / pixel + 0.5, 0, 1));
    }
  }
}

export function paintRoad(canvas: Canvas, landscape: Landscape, road: Road): void {
  const { horizon } = landscape;
  const { hour, season, asphalt } = landscape.palette;
  const { width, height } = canvas;
  const pixel = 1 / width;
  const surface = lit(asphalt, hour.light);
  const mark = lit(hash(3, 1, road.seed) < 0.3 ? [236, 190, 70] : [236, 236, 228], hour.light);
  const verge = blendRgb(lit(season.shore, hour.light), surface, 0.3);
  canvas.begin('road');
  for (let y = canvas.row(horizon + 0.004); y < height; y++) {
    const v = (y + 0.5) * pixel;
    const t = (v - horizon) / (landscape.aspect - horizon);
    for (let x = 0; x < width; x++) {
      const u = (x + 0.5) * pixel;
      const { across, along, half } = roadPlace(road, u, v, landscape);
      const side = Math.abs(across);
      if (side > 1.3) continue;
      const at = y * width + x;
      const sharp = half / pixel;
      const grain = hash(x, y, road.seed) - 0.5;
      const worn = fractal(u * 9 + across, along * 2.3, road.seed, 3) - 0.5;
      if (side > 0.9) canvas.tint(at, verge[0], verge[1], verge[2], smoothstep(1.22 + worn * 0.14, 1.1, side) * 0.85);
      const shade = 1 + grain * 0.1 + worn * 0.3 - smoothstep(0.18, 0, Math.abs(side - 0.5)) * 0.06;
      const haze = 0.35 * smoothstep(0.3, 0, t);
      canvas.blend(
        at,
        mix(surface[0] * shade, hour.haze[0], haze),
        mix(surface[1] * shade, hour.haze[1], haze),
        mix(surface[2] * shade, hour.haze[2], haze),
        clamp((1 - side) * sharp + 0.5, 0, 1),
      );
      const line = clamp((0.025 - Math.abs(side - 0.9)) * sharp + 0.5, 0, 1);
      const dash = along - Math.floor(along) < 0.5 ? clamp((0.03 - side) * sharp + 0.5, 0, 1) : 0;
      const paint = Math.max(line, dash) * clamp(sharp / 10, 0, 1) * 0.85;
      if (paint > 0) canvas.tint(at, mark[0], mark[1], mark[2], paint);
    }
  }
}
