/** Where water and road lie on the plane below the horizon. */
import type { Road, Water } from './landscape.ts';
import { fractal, mix } from './noise.ts';

/** The plane begins at the horizon and ends at the bottom edge. */
export interface Plane {
  readonly horizon: number;
  readonly aspect: number;
}

/** How far inside the water a point is, in widths of the picture; negative on land. */
export function waterDepth(water: Water, u: number, v: number, horizon: number): number {
  if (water.kind === 'sea') {
    const line = water.shore + water.slope * (u - 0.5) + 0.07 * (fractal(u * 3.2, 0.5, water.seed, 4) - 0.5);
    return Math.min(line - v, v - horizon);
  }
  const du = (u - water.u) / water.ru;
  const dv = (v - water.v) / water.rv;
  const distance = Math.sqrt(du * du + dv * dv);
  const wobble = 0.34 * (fractal(u * 4, v * 9, water.seed, 3) - 0.5);
  return (1 + wobble - distance) * water.rv;
}

/** Where on the road a point lies: across from -1 to 1 between its edges, along in its own lengths, and half its width there. */
export function roadPlace(road: Road, u: number, v: number, { horizon, aspect }: Plane): { across: number; along: number; half: number } {
  const t = (v - horizon) / (aspect - horizon);
  if (road.kind === 'crossing') {
    const s = 2 * u - 1;
    const half = road.width / 2;
    const middle = road.v + (road.slope * s) / 2 + road.bend * (s * s - 0.4);
    return { across: (v - middle) / half, along: u * 7, half };
  }
  const half = (road.width / 2) * (t * t * 0.35 + t * 0.65) + 0.003;
  const rest = 1 - t;
  const middle = mix(road.from, road.to, 1 - t * t) + road.bend * rest * t * (2 * t - 0.7) * 1.4;
  return { across: (u - middle) / half, along: 2.2 / (t + 0.06), half };
}

/** Is there solid ground for a tree? */
export function isDry(water: Water | null, road: Road | null, u: number, v: number, plane: Plane): boolean {
  const wet = water !== null && waterDepth(water, u, v, plane.horizon) > -0.012;
  return !wet && (road === null || Math.abs(roadPlace(road, u, v, plane).across) > 1.2);
}
