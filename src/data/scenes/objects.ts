/** Objects of a scene: what stands where, how large, and in what light. Lengths are in widths of the picture. */
import type { Background } from './background.ts';
import { type SceneCategory, sceneCategories } from './categories.ts';
import { Draws } from './draw.ts';
import { clamp } from './noise.ts';
import { type Region, regionNames, regionNumber } from './regions.ts';

export interface SceneObject {
  /** Position in sceneCategories. */
  readonly label: number;
  readonly variant: number;
  /** The point it stands on; in the sky its middle. */
  readonly u: number;
  readonly v: number;
  /** Longest side of the upright opaque picture. */
  readonly size: number;
  readonly place: Region;
  /** Tangent of half the angle it is turned by, clockwise: sine and cosine follow without a sine function. */
  readonly turn: number;
  readonly flip: boolean;
  readonly look: Look;
}

/** How hard it is to make out. Each 0 to 1. */
export interface Look {
  /** Towards the colour of its surroundings. */
  readonly fade: number;
  /** Towards black. */
  readonly silhouette: number;
  /** Radius in shares of its size. */
  readonly blur: number;
  /** Factor on its brightness. */
  readonly exposure: number;
}

export const plainLook: Look = { fade: 0, silhouette: 0, blur: 0, exposure: 1 };

export const elsewhereDefault = 0.15;
const objectStream = 1;
/** Width in pixels of the small painting on which places are looked up. */
export const placementWidth = 96;

/** Keeps 0 and 1 and draws what lies between towards 0. Math.pow may differ between engines. */
const small = (x: number): number => x * (0.75 + 0.25 * x);

/** Is it where its kind belongs? */
export const isHome = ({ label, place }: SceneObject): boolean => sceneCategories[label]!.home.includes(place);

/** The object at another point of a painted landscape, standing in the region that lies there. */
export function moveObject(
  object: SceneObject,
  u: number,
  v: number,
  { width, height, regions }: Pick<Background['behind'], 'width' | 'height' | 'regions'>,
): SceneObject {
  const column = clamp(Math.floor(u * width), 0, width - 1);
  const row = clamp(Math.floor(v * width), 0, height - 1);
  return { ...object, u, v, place: regionNames[regions[row * width + column]!]! };
}

/**
 * Objects for a landscape painted `placementWidth` wide. Each is with probability `elsewhere` of any kind and in a region where it
 * does not belong, and otherwise of a kind that belongs to a region there is.
 */
export function drawObjects(seed: number, index: number, background: Background, elsewhere: number): SceneObject[] {
  const draws = new Draws(seed, index, objectStream);
  const places = findPlaces(background);
  const present = regionNames.filter((_, region) => (places[region]?.length ?? 0) >= 40);
  const count = 3 + Math.floor(8 * small(draws.unit()));
  const objects: SceneObject[] = [];
  for (let i = 0; i < count; i++) {
    const stray = draws.chance(elsewhere);
    for (let attempt = 0; attempt < 24; attempt++) {
      const object = drawObject(draws, background, places, present, stray);
      if (object && fits(object, objects, background)) {
        objects.push(object);
        break;
      }
    }
  }
  return objects;
}

/** Pixels of each region whose neighbours are of the same: no place on a border. */
function findPlaces({ behind: { width, height, regions } }: Background): readonly number[][] {
  const places: number[][] = regionNames.map(() => []);
  const around = [-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1];
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      if (around.every((step) => regions[at + step] === regions[at])) places[regions[at]!]!.push(at);
    }
  }
  return places;
}

function drawObject(
  draws: Draws,
  background: Background,
  places: readonly number[][],
  present: readonly Region[],
  stray: boolean,
): SceneObject | null {
  const here = (category: SceneCategory) => present.some((region) => category.home.includes(region) !== stray);
  const label = draws.weighted(sceneCategories.map((category) => (here(category) ? category.weight : 0)));
  const category = sceneCategories[label]!;
  const place = draws.pick(present.filter((region) => category.home.includes(region) !== stray));
  const { width } = background.behind;
  const { horizon, aspect } = background.landscape;
  const spot = draws.pick(places[regionNumber(place)]!);
  const u = ((spot % width) + draws.unit()) / width;
  const v = (Math.floor(spot / width) + draws.unit()) / width;
  // Nearer is larger; above the horizon nothing tells how far it is.
  const near = clamp((v - horizon) / (aspect - horizon), 0, 1);
  const distance =
    place === 'sky' ? 0.07 + 0.2 * small(small(draws.unit())) : v < horizon ? 0.085 + 0.06 * draws.unit() : 0.085 + 0.26 * near;
  const size = clamp(category.size * distance * draws.between(0.85, 1.4), 0.07, 0.42);
  const lean = draws.chance(0.25) ? draws.between(-0.28, 0.28) : draws.between(-0.05, 0.05);
  return {
    label,
    variant: draws.integer([...category.variants].length),
    u,
    v,
    size,
    place,
    turn: place === 'sky' ? draws.between(-0.3, 0.3) : lean,
    flip: draws.chance(0.5),
    look: drawLook(draws),
  };
}

/** Most are plain to see; one in six needs its surroundings to be told. */
function drawLook(draws: Draws): Look {
  const exposure = draws.between(0.82, 1.15);
  const kind = draws.unit();
  const strength = draws.unit();
  if (kind < 0.06) return { ...plainLook, exposure, fade: 0.35 + 0.3 * strength };
  if (kind < 0.11) return { ...plainLook, exposure, silhouette: 0.6 + 0.3 * strength };
  if (kind < 0.17) return { ...plainLook, exposure, blur: 0.02 + 0.03 * strength };
  return { ...plainLook, exposure, fade: 0.1 * strength, blur: kind < 0.4 ? 0.012 * strength : 0 };
}

/** Mostly inside the picture, and not hidden behind another or hiding it. */
function fits(object: SceneObject, others: readonly SceneObject[], { landscape: { aspect } }: Background): boolean {
  const box = roughBox(object);
  const inside = overlap(box, [0, 0, 1, aspect]) / area(box);
  if (inside < 0.72) return false;
  return others.every((other) => {
    const second = roughBox(other);
    return overlap(box, second) <= 0.42 * Math.min(area(box), area(second));
  });
}

type Corners = readonly [number, number, number, number];

const area = ([x0, y0, x1, y1]: Corners): number => (x1 - x0) * (y1 - y0);

function overlap(a: Corners, b: Corners): number {
  return Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
}

function roughBox({ u, v, size, place }: SceneObject): Corners {
  const half = 0.45 * size;
  return place === 'sky' ? [u - half, v - half, u + half, v + half] : [u - half, v - 2 * half, u + half, v];
}
