/** Colours of an hour and a season, 0 to 255. */
import type { Draws } from './draw.ts';
import { mix } from './noise.ts';

export type Rgb = readonly [number, number, number];

export const blendRgb = (a: Rgb, b: Rgb, t: number): Rgb => [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)];
const times = (a: Rgb, b: Rgb): Rgb => [a[0] * b[0], a[1] * b[1], a[2] * b[2]];

/** The hour: what the sky looks like and what its light does to everything below it. */
export interface Hour {
  readonly name: string;
  readonly skyTop: Rgb;
  readonly skyBottom: Rgb;
  readonly sun: Rgb;
  readonly cloud: Rgb;
  readonly cloudShade: Rgb;
  /** Colour of what is far away. */
  readonly haze: Rgb;
  /** Factor on the colours of everything the light falls on. */
  readonly light: Rgb;
  /** Strength of shadows and lit sides, 0 to 1. */
  readonly contrast: number;
  /** Are windows lit and stars out? 0 to 1. */
  readonly night: number;
}

const hours: readonly { weight: number; hour: Hour }[] = [
  {
    weight: 3,
    hour: {
      name: 'noon',
      skyTop: [58, 134, 214],
      skyBottom: [196, 228, 246],
      sun: [255, 250, 226],
      cloud: [255, 255, 255],
      cloudShade: [184, 204, 226],
      haze: [196, 220, 238],
      light: [1, 1, 0.98],
      contrast: 0.9,
      night: 0,
    },
  },
  {
    weight: 2,
    hour: {
      name: 'morning',
      skyTop: [104, 168, 222],
      skyBottom: [255, 232, 206],
      sun: [255, 244, 214],
      cloud: [255, 248, 240],
      cloudShade: [206, 200, 214],
      haze: [238, 222, 208],
      light: [1.02, 0.97, 0.9],
      contrast: 0.8,
      night: 0,
    },
  },
  {
    weight: 2,
    hour: {
      name: 'golden',
      skyTop: [86, 124, 188],
      skyBottom: [255, 196, 124],
      sun: [255, 226, 160],
      cloud: [255, 226, 188],
      cloudShade: [196, 140, 140],
      haze: [246, 196, 148],
      light: [1.06, 0.88, 0.7],
      contrast: 1,
      night: 0,
    },
  },
  {
    weight: 1.2,
    hour: {
      name: 'dusk',
      skyTop: [44, 46, 104],
      skyBottom: [246, 132, 108],
      sun: [255, 176, 120],
      cloud: [236, 140, 132],
      cloudShade: [96, 70, 120],
      haze: [180, 112, 124],
      light: [0.74, 0.6, 0.68],
      contrast: 0.6,
      night: 0.6,
    },
  },
  {
    weight: 1.5,
    hour: {
      name: 'overcast',
      skyTop: [142, 156, 170],
      skyBottom: [212, 217, 219],
      sun: [226, 230, 232],
      cloud: [222, 226, 230],
      cloudShade: [140, 150, 162],
      haze: [196, 204, 208],
      light: [0.86, 0.89, 0.91],
      contrast: 0.3,
      night: 0,
    },
  },
  {
    weight: 1,
    hour: {
      name: 'night',
      skyTop: [10, 16, 44],
      skyBottom: [44, 62, 108],
      sun: [238, 240, 224],
      cloud: [70, 84, 124],
      cloudShade: [28, 36, 70],
      haze: [40, 54, 92],
      light: [0.36, 0.42, 0.6],
      contrast: 0.45,
      night: 1,
    },
  },
];

/** What the ground wears. */
export interface Season {
  readonly name: string;
  readonly grass: Rgb;
  readonly grassFar: Rgb;
  readonly flower: readonly Rgb[];
  readonly leaves: readonly Rgb[];
  readonly conifer: Rgb;
  readonly rock: Rgb;
  readonly shore: Rgb;
  /** Depth of snow on mountains, roofs and conifers, 0 to 1. */
  readonly snow: number;
}

const seasons: readonly { weight: number; season: Season }[] = [
  {
    weight: 2,
    season: {
      name: 'spring',
      grass: [116, 182, 70],
      grassFar: [158, 206, 112],
      flower: [
        [250, 240, 130],
        [255, 255, 255],
        [240, 150, 190],
      ],
      leaves: [
        [108, 176, 66],
        [140, 196, 88],
        [244, 178, 200],
      ],
      conifer: [48, 110, 76],
      rock: [112, 118, 136],
      shore: [214, 196, 148],
      snow: 0.4,
    },
  },
  {
    weight: 3,
    season: {
      name: 'summer',
      grass: [88, 152, 56],
      grassFar: [148, 186, 92],
      flower: [
        [255, 214, 70],
        [255, 255, 255],
        [226, 90, 80],
      ],
      leaves: [
        [66, 132, 52],
        [90, 150, 60],
        [50, 112, 62],
      ],
      conifer: [36, 92, 66],
      rock: [116, 112, 116],
      shore: [226, 204, 150],
      snow: 0.15,
    },
  },
  {
    weight: 1.6,
    season: {
      name: 'autumn',
      grass: [156, 154, 66],
      grassFar: [204, 184, 100],
      flower: [
        [206, 120, 50],
        [232, 196, 90],
      ],
      leaves: [
        [214, 130, 44],
        [190, 74, 42],
        [222, 176, 60],
      ],
      conifer: [62, 96, 64],
      rock: [122, 108, 108],
      shore: [196, 174, 130],
      snow: 0.25,
    },
  },
  {
    weight: 1,
    season: {
      name: 'winter',
      grass: [226, 234, 242],
      grassFar: [240, 244, 248],
      flower: [[255, 255, 255]],
      leaves: [
        [150, 150, 156],
        [176, 182, 192],
      ],
      conifer: [62, 100, 96],
      rock: [122, 132, 150],
      shore: [206, 214, 222],
      snow: 0.9,
    },
  },
  {
    weight: 1,
    season: {
      name: 'dry',
      grass: [204, 176, 96],
      grassFar: [224, 202, 138],
      flower: [[180, 140, 70]],
      leaves: [
        [122, 140, 62],
        [150, 150, 74],
      ],
      conifer: [84, 108, 68],
      rock: [184, 124, 88],
      shore: [230, 206, 156],
      snow: 0,
    },
  },
];

export interface Palette {
  readonly hour: Hour;
  readonly season: Season;
  readonly waterDeep: Rgb;
  readonly asphalt: Rgb;
}

/** Near water: clear blue, green or grey-blue. */
const waters: readonly Rgb[] = [
  [36, 112, 160],
  [30, 128, 142],
  [58, 104, 132],
];

export function drawPalette(draws: Draws): Palette {
  const { hour } = hours[draws.weighted(hours.map(({ weight }) => weight))]!;
  const { season } = seasons[draws.weighted(seasons.map(({ weight }) => weight))]!;
  const warmth = draws.between(-0.04, 0.04);
  const light: Rgb = times(hour.light, [1 + warmth, 1, 1 - warmth]);
  const grey = draws.between(84, 116);
  return {
    hour: { ...hour, light, skyTop: times(hour.skyTop, [1 - warmth, draws.between(0.94, 1.04), 1]) },
    season,
    waterDeep: draws.pick(waters),
    asphalt: [grey, grey, grey + draws.between(0, 10)],
  };
}
