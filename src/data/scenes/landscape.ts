/** A landscape as plain data: where everything stands, before anything is painted. All lengths in widths of the picture. */
import { Draws } from './draw.ts';
import { isDry } from './geometry.ts';
import { clamp } from './noise.ts';
import { drawPalette, type Palette } from './palette.ts';

/** A silhouette across the whole picture: a mountain range, a far forest, a hill. */
export interface Ridge {
  readonly base: number;
  readonly height: number;
  /** Peaks across the picture. */
  readonly peaks: number;
  /** 0 here, 1 at the end of the world: how much haze lies before it. */
  readonly distance: number;
  readonly seed: number;
}

export interface Forest extends Ridge {
  readonly kind: 'conifer' | 'round';
}

export type Water =
  | { readonly kind: 'sea'; readonly shore: number; readonly slope: number; readonly seed: number }
  | { readonly kind: 'lake'; readonly u: number; readonly v: number; readonly ru: number; readonly rv: number; readonly seed: number };

export type Road =
  /** From the bottom edge to the horizon. */
  | {
      readonly kind: 'receding';
      readonly from: number;
      readonly to: number;
      readonly width: number;
      readonly bend: number;
      readonly seed: number;
    }
  /** From side to side. */
  | {
      readonly kind: 'crossing';
      readonly v: number;
      readonly width: number;
      readonly slope: number;
      readonly bend: number;
      readonly seed: number;
    };

export interface Building {
  readonly u: number;
  readonly width: number;
  readonly top: number;
  readonly base: number;
  readonly roof: 'flat' | 'gable';
  readonly color: readonly [number, number, number];
  readonly seed: number;
}

export interface Tree {
  readonly u: number;
  readonly base: number;
  readonly height: number;
  readonly kind: 'conifer' | 'round';
  readonly leaf: number;
  readonly seed: number;
}

export interface Landscape {
  readonly aspect: number;
  readonly horizon: number;
  readonly palette: Palette;
  readonly seed: number;
  readonly sun: { readonly u: number; readonly v: number; readonly radius: number };
  readonly clouds: { readonly amount: number; readonly scale: number };
  readonly mountains: readonly Ridge[];
  readonly hills: readonly Ridge[];
  readonly forests: readonly Forest[];
  readonly water: Water | null;
  readonly road: Road | null;
  readonly buildings: readonly Building[];
  readonly trees: readonly Tree[];
  /** Height of the film grain, 0 to 255. */
  readonly grain: number;
  /** What stands before everything else: blades of grass along the bottom edge, bushes, a hanging branch. */
  readonly near: { readonly grass: number; readonly bushes: readonly Tree[]; readonly seed: number };
}

const kinds = ['meadow', 'lake', 'coast', 'country', 'town', 'harbour'] as const;
type Kind = (typeof kinds)[number];

/** How likely each kind has each thing. */
const chances: Record<Kind, { mountains: number; forest: number; road: number; houses: number; trees: number }> = {
  meadow: { mountains: 0.75, forest: 0.75, road: 0.3, houses: 0.25, trees: 0.8 },
  lake: { mountains: 0.85, forest: 0.85, road: 0.3, houses: 0.3, trees: 0.6 },
  coast: { mountains: 0.5, forest: 0.15, road: 0.4, houses: 0.2, trees: 0.5 },
  country: { mountains: 0.65, forest: 0.6, road: 1, houses: 0.4, trees: 0.8 },
  town: { mountains: 0.35, forest: 0.3, road: 1, houses: 1, trees: 0.6 },
  harbour: { mountains: 0.45, forest: 0.25, road: 0.75, houses: 1, trees: 0.4 },
};

const facades: readonly (readonly [number, number, number])[] = [
  [214, 176, 140],
  [196, 112, 92],
  [228, 214, 186],
  [150, 166, 184],
  [176, 190, 170],
  [226, 184, 112],
  [168, 138, 128],
  [204, 204, 206],
];

/** Most draws near 0. Math.pow may differ between engines. */
const square = (x: number): number => x * x;

const landscapeStream = 0;

/** The landscape of a seed and a number: a function of both and the aspect (height / width) alone. */
export function generateLandscape(seed: number, index: number, aspect: number): Landscape {
  const draws = new Draws(seed, index, landscapeStream);
  const kind = kinds[draws.weighted([1, 1.1, 1, 1.1, 1.2, 0.8])]!;
  const chance = chances[kind];
  const palette = drawPalette(draws);
  const watery = kind === 'coast' || kind === 'harbour';
  const horizon = aspect * draws.between(0.34, watery ? 0.46 : 0.52);
  const ground = aspect - horizon;
  const sun = { u: draws.between(0.08, 0.92), v: horizon * draws.between(0.12, 0.75), radius: draws.between(0.022, 0.04) };
  const clouds = {
    amount: palette.hour.name === 'overcast' ? draws.between(0.7, 1) : draws.between(0, 0.75),
    scale: draws.between(0.7, 1.6),
  };

  const mountains: Ridge[] = [];
  if (draws.chance(chance.mountains)) {
    const count = 1 + draws.integer(3);
    for (let i = 0; i < count; i++) {
      const far = count === 1 ? 0.5 : 1 - i / (count - 1);
      const height = horizon * draws.between(0.4, 0.72) * (0.55 + 0.45 * far);
      mountains.push({
        base: horizon + 0.004,
        height,
        peaks: draws.between(1.6, 3.4) + 1.5 * (1 - far),
        distance: 0.3 + 0.5 * far,
        seed: draws.bits(),
      });
    }
  }
  const hills: Ridge[] = [];
  if (!watery && draws.chance(0.6)) {
    hills.push({
      base: horizon + 0.006,
      height: horizon * draws.between(0.08, 0.26),
      peaks: draws.between(1, 2.5),
      distance: 0.5,
      seed: draws.bits(),
    });
  }
  const forests: Forest[] = [];
  if (draws.chance(chance.forest)) {
    const height = horizon * draws.between(0.16, 0.42);
    const shape = { base: horizon + 0.008, kind: draws.pick(['conifer', 'round'] as const), peaks: draws.between(1.5, 4) };
    forests.push({ ...shape, height, distance: 0.42, seed: draws.bits() });
    forests.push({ ...shape, base: horizon + 0.016, height: height * 0.7, distance: 0.25, seed: draws.bits() });
  }

  let water: Water | null = null;
  if (watery) {
    water = {
      kind: 'sea',
      shore: horizon + ground * draws.between(0.42, 0.78),
      slope: ground * draws.between(-0.25, 0.25),
      seed: draws.bits(),
    };
  } else if (kind === 'lake' || draws.chance(0.16)) {
    const rv = ground * draws.between(0.2, 0.34);
    water = {
      kind: 'lake',
      u: draws.between(0.2, 0.8),
      v: horizon + ground * 0.03 + rv,
      ru: draws.between(0.4, 0.75),
      rv,
      seed: draws.bits(),
    };
  }

  let road: Road | null = null;
  if (draws.chance(chance.road)) {
    if (watery || water !== null || draws.chance(0.4)) {
      const low = water === null ? draws.between(0.3, 0.8) : draws.between(0.82, 0.92);
      const width = ground * draws.between(0.16, 0.26);
      road = {
        kind: 'crossing',
        v: horizon + ground * low,
        width,
        slope: ground * draws.between(-0.12, 0.12),
        bend: ground * draws.between(-0.14, 0.14),
        seed: draws.bits(),
      };
    } else {
      road = {
        kind: 'receding',
        from: draws.between(0.15, 0.85),
        to: draws.between(0.25, 0.75),
        width: draws.between(0.34, 0.7),
        bend: draws.between(-0.3, 0.3),
        seed: draws.bits(),
      };
    }
  }

  const buildings = draws.chance(chance.houses) ? drawBuildings(draws, kind === 'town' || kind === 'harbour', horizon, ground, road) : [];
  const trees: Tree[] = [];
  if (draws.chance(chance.trees)) {
    const count = 2 + draws.integer(9);
    const style = draws.unit();
    for (let i = 0; i < count; i++) {
      const depth = square(draws.unit()) * 0.55;
      const tree: Tree = {
        u: draws.between(-0.05, 1.05),
        base: horizon + ground * (0.02 + depth),
        height: (0.07 + 0.42 * depth) * draws.between(0.8, 1.4),
        kind: draws.chance(style) ? 'conifer' : 'round',
        leaf: draws.unit(),
        seed: draws.bits(),
      };
      if (isDry(water, road, tree.u, tree.base, { horizon, aspect })) trees.push(tree);
    }
  }
  const bushes: Tree[] = [];
  const bushCount = draws.chance(0.45) ? 1 + draws.integer(3) : 0;
  for (let i = 0; i < bushCount; i++) {
    const side = draws.chance(0.5) ? draws.between(-0.04, 0.2) : draws.between(0.8, 1.04);
    bushes.push({
      u: side,
      base: aspect * draws.between(1.02, 1.1),
      height: draws.between(0.12, 0.26),
      kind: 'round',
      leaf: draws.unit(),
      seed: draws.bits(),
    });
  }
  const near = { grass: draws.chance(0.5) ? draws.between(0.02, 0.07) : 0, bushes, seed: draws.bits() };
  const grain = draws.chance(0.12) ? draws.between(12, 30) : draws.between(2, 9);
  return {
    aspect,
    horizon,
    palette,
    grain,
    seed: draws.bits(),
    sun,
    clouds,
    mountains,
    hills,
    forests,
    water,
    road,
    buildings,
    trees,
    near,
  };
}

/** A row along the horizon, high in towns; the gap where a road runs away stays open. */
function drawBuildings(draws: Draws, town: boolean, horizon: number, ground: number, road: Road | null): Building[] {
  const buildings: Building[] = [];
  const gap = road?.kind === 'receding' ? road.to : -1;
  const high = town ? draws.between(0.5, 0.85) : 0.3;
  let u = town ? -0.05 : draws.between(0, 0.6);
  const end = town ? 1 : Math.min(1, u + draws.between(0.15, 0.5));
  while (u < end) {
    const width = town ? draws.between(0.07, 0.17) : draws.between(0.06, 0.12);
    const centre = u + width / 2;
    const nearer = clamp(Math.abs(centre - (gap < 0 ? 0.5 : gap)) * 1.4, 0, 1);
    if (gap < 0 || Math.abs(centre - gap) > width / 2 + 0.03) {
      const base = horizon + ground * (0.03 + (town && gap >= 0 ? 0.12 * nearer : 0));
      const height = horizon * high * draws.between(0.45, 1) * (0.7 + 0.4 * nearer);
      const roof = draws.chance(town ? 0.35 : 0.85) ? 'gable' : 'flat';
      buildings.push({ u, width, top: base - height, base, roof, color: draws.pick(facades), seed: draws.bits() });
    }
    u += width + (draws.chance(town ? 0.75 : 0.4) ? 0 : draws.between(0.01, 0.09));
  }
  return buildings.sort((a, b) => a.base - b.base);
}
