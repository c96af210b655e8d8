/** A landscape painted: what lies behind the objects, and what stands before them. Worth keeping: objects may change on it. */
import { Canvas } from './canvas.ts';
import type { Landscape } from './landscape.ts';
import { paintGrass, paintRoad, paintWater } from './paint/ground.ts';
import { paintForest, paintHill, paintMountain } from './paint/ridges.ts';
import { paintSky } from './paint/sky.ts';
import { paintBlades, paintBuilding, paintTree, paintTreeShadow } from './paint/standing.ts';

export interface Background {
  readonly landscape: Landscape;
  readonly behind: Canvas;
  readonly before: Canvas;
}

/** Paints a landscape at a width in pixels; the height follows from its aspect. */
export function paintBackground(landscape: Landscape, width: number): Background {
  const height = Math.round(width * landscape.aspect);
  const behind = new Canvas(width, height);
  paintSky(behind, landscape);
  for (const ridge of landscape.mountains) paintMountain(behind, landscape, ridge);
  for (const ridge of landscape.hills) paintHill(behind, landscape, ridge);
  for (const forest of landscape.forests) paintForest(behind, landscape, forest);
  paintGrass(behind, landscape);
  if (landscape.water) paintWater(behind, landscape, landscape.water);
  if (landscape.road) paintRoad(behind, landscape, landscape.road);
  for (const building of landscape.buildings) paintBuilding(behind, landscape, building);
  for (const tree of [...landscape.trees].sort((a, b) => a.base - b.base)) {
    paintTreeShadow(behind, landscape, tree);
    paintTree(behind, landscape, tree);
  }
  const before = new Canvas(width, height);
  for (const bush of landscape.near.bushes) paintTree(before, landscape, bush);
  if (landscape.near.grass > 0) paintBlades(before, landscape);
  return { landscape, behind, before };
}
