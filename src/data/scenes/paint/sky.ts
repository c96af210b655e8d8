/** The sky: a gradient, stars, sun or moon with its glow, and clouds that draw together towards the horizon. */
import type { Canvas } from '../canvas.ts';
import type { Landscape } from '../landscape.ts';
import { clamp, fractal, hash, mix, smoothstep } from '../noise.ts';

export function paintSky(canvas: Canvas, landscape: Landscape): void {
  const { horizon, sun, clouds, seed } = landscape;
  const { skyTop, skyBottom, sun: sunColor, cloud, cloudShade, night, contrast } = landscape.palette.hour;
  const { width } = canvas;
  const visible = clamp(1.3 - clouds.amount * 1.2, 0, 1) * (contrast > 0.35 ? 1 : 0);
  const rows = canvas.row(horizon + 0.02);
  const pixel = 1 / width;
  canvas.begin('sky');
  for (let y = 0; y < rows; y++) {
    const v = (y + 0.5) * pixel;
    const fall = clamp(v / horizon, 0, 1);
    const t = fall * fall * 0.55 + fall * 0.45;
    // Clouds lie on a ceiling that sinks towards the horizon: lower in the picture is farther away.
    const far = 0.3 / (horizon - v + 0.16);
    const edge = mix(0.72, 0.36, clouds.amount);
    const fade = smoothstep(1.02, 0.8, fall);
    for (let x = 0; x < width; x++) {
      const u = (x + 0.5) * pixel;
      const at = y * width + x;
      const du = u - sun.u;
      const dv = v - sun.v;
      const d2 = du * du + dv * dv;
      const glow = visible * ((0.55 * contrast) / (1 + d2 * 55) + 0.5 / (1 + d2 * 1400));
      let red = mix(mix(skyTop[0], skyBottom[0], t), sunColor[0], glow);
      let green = mix(mix(skyTop[1], skyBottom[1], t), sunColor[1], glow);
      let blue = mix(mix(skyTop[2], skyBottom[2], t), sunColor[2], glow);
      const disc = visible * clamp((sun.radius - Math.sqrt(d2)) / pixel + 0.5, 0, 1);
      red = mix(red, sunColor[0], disc);
      green = mix(green, sunColor[1], disc);
      blue = mix(blue, sunColor[2], disc);
      if (clouds.amount > 0.05) {
        const cx = (u - 0.5) * far * 5 * clouds.scale;
        const cy = far * 4 * clouds.scale;
        const density = fractal(cx, cy, seed, 5);
        const thick = smoothstep(edge - 0.02, edge + 0.16, density) * fade;
        if (thick > 0) {
          const towards = fractal(cx + (sun.u - u) * 0.5, cy - 0.18, seed, 3);
          const lit = clamp(0.62 + (density - towards) * 2.4 - (density - edge) * 0.9, 0, 1);
          red = mix(red, mix(cloudShade[0], cloud[0], lit), thick * 0.94);
          green = mix(green, mix(cloudShade[1], cloud[1], lit), thick * 0.94);
          blue = mix(blue, mix(cloudShade[2], cloud[2], lit), thick * 0.94);
        }
      }
      canvas.blend(at, red, green, blue, 1);
    }
  }
  if (night > 0.5) paintStars(canvas, landscape, night);
}

function paintStars(canvas: Canvas, { horizon, seed, clouds }: Landscape, night: number): void {
  const cells = 60;
  const { width } = canvas;
  for (let cy = 0; cy < cells * horizon * 0.9; cy++) {
    for (let cx = 0; cx < cells; cx++) {
      if (hash(cx, cy, seed ^ 0x57a2) > 0.09 * night) continue;
      const u = (cx + hash(cx, cy, seed ^ 0x11)) / cells;
      const v = (cy + hash(cx, cy, seed ^ 0x22)) / cells;
      const strength = hash(cx, cy, seed ^ 0x33) * (1 - 0.8 * clouds.amount) * (1 - v / horizon);
      const radius = 0.0016 + 0.0012 * strength;
      for (let y = canvas.row(v - radius); y < canvas.row(v + radius + 1 / width); y++) {
        for (let x = canvas.column(u - radius); x < canvas.column(u + radius + 1 / width); x++) {
          canvas.tint(y * width + x, 255, 250, 236, strength * 0.9);
        }
      }
    }
  }
}
