/** What twenty-step files take as known: the small models' sizes, and the batches' targets, which the train files repeat. */
import { BackdropError } from '../errors.ts';
import type { DenoisingDraws } from '../training/denoising.ts';
import type { Targets } from '../training/targets.ts';
import { integers, uniform } from './formula.ts';

const tiny = {
  ...{ v: 1, depth: 18, counts: [2, 2, 2, 2], base: 8, hw: [128, 128], hidden: 32, nhead: 4, ff: 64 },
  ...{ expansion: 0.5, layers: 2, points: 4, queries: 30, classes: 5, dn: 10 },
};
const odd = {
  ...{ v: 2, depth: 50, counts: [2, 1, 2, 1], base: 6, hw: [96, 160], hidden: 36, nhead: 3, ff: 50 },
  ...{ expansion: 1.0, layers: 3, points: [2, 4, 3], queries: 25, classes: 7, dn: 12, eps: 0.03 },
};

/** In the files' own words. */
const SIZES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'tiny-v1': tiny,
  'small-v1': { ...tiny, base: 64, hidden: 64, nhead: 8, ff: 128 },
  'odd-v2': odd,
  'tiny-ae-v1': { ...tiny, ae: { dim: 32, s1_channels: 32, reduced: 4, heads: 4, head_dim: 8, window: 3, ffn_hidden: 32 } },
  'odd-ae-v2': {
    ...odd,
    ae: {
      ...{ dim: 36, s1_channels: 36, reduced: 9, heads: 3, head_dim: 10, window: 3, shift: 1, ffn_hidden: 50 },
      ...{ wiring: 'double', gate: 'scalar' },
    },
  },
};

/** @throws BackdropError E_VERIFY for a model that is not one of the small ones */
export function smallModelSizes(model: string): Readonly<Record<string, unknown>> {
  const sizes = Object.hasOwn(SIZES, model) ? SIZES[model] : undefined;
  if (!sizes) throw new BackdropError('E_VERIFY', `the file does not say how large ${model} is`);
  return sizes;
}

/** Boxes of each image. */
const BOXES: Readonly<Record<string, readonly (readonly number[])[]>> = {
  A: [
    [
      ...[0.261874258518219, 0.30056294798851013, 0.25972387194633484, 0.3159439265727997],
      ...[0.5085122585296631, 0.7184223532676697, 0.32409214973449707, 0.22942949831485748],
      ...[0.32835647463798523, 0.48170265555381775, 0.2776786684989929, 0.20449680089950562],
    ],
    [],
  ],
  B: [
    [
      ...[0.7039341330528259, 0.5240088701248169, 0.23737624287605286, 0.38506019115448],
      ...[0.25882041454315186, 0.5026899576187134, 0.3606802821159363, 0.25772711634635925],
    ],
    [
      ...[0.5, 0.5, 1, 1, 0.015625, 0.984375, 0.03125, 0.03125],
      ...[0.5294077396392822, 0.2835538983345032, 0.18998640775680542, 0.1415826678276062],
      ...[0.5294077396392822, 0.2835538983345032, 0.18998640775680542, 0.1415826678276062],
      ...[0.38452672958374023, 0.7240543365478516, 0.20823895931243896, 0.1667683720588684],
    ],
  ],
  C: [[], []],
};

/** Labels of each image, by batch and number of classes. */
const LABELS: Readonly<Record<string, readonly (readonly number[])[]>> = {
  A5: [[2, 3, 1], []],
  B5: [
    [0, 4],
    [1, 4, 0, 0, 3],
  ],
  B7: [
    [1, 5],
    [3, 1, 2, 2, 0],
  ],
  C5: [[], []],
  C7: [[], []],
};

/** @throws BackdropError E_VERIFY for another batch than A, B and C */
export function batchTargets(batch: string, classes: number): Targets[] {
  const labels = LABELS[`${batch}${classes}`];
  if (!labels) throw new BackdropError('E_VERIFY', `there is no batch ${batch} for ${classes} classes`);
  return labels.map((own, i) => ({ boxes: Float32Array.from(BOXES[batch][i]), labels: Uint32Array.from(own) }));
}

/** Arrays of [images, queries], and with a fourth number a side [images, queries, 4]. */
export interface RecordedNoise {
  readonly labelUniform: ArrayLike<number>;
  readonly newLabel: ArrayLike<number>;
  readonly boxSign: ArrayLike<number>;
  readonly boxUniform: ArrayLike<number>;
}

export function recordedDraws(noise: RecordedNoise, queries: number): DenoisingDraws {
  const at = (image: number, query: number) => image * queries + query;
  return {
    labelUniform: (image, query) => noise.labelUniform[at(image, query)],
    newLabel: (image, query) => noise.newLabel[at(image, query)],
    boxSign: (image, query, side) => noise.boxSign[4 * at(image, query) + side],
    boxUniform: (image, query, side) => noise.boxUniform[4 * at(image, query) + side],
  };
}

/** The noise that every training file of a seed was made with. */
export function formulaNoise(seed: string, images: number, queries: number, classes: number): RecordedNoise {
  const count = images * queries;
  return {
    labelUniform: uniform(`${seed}/dn/label_u`, count),
    newLabel: integers(`${seed}/dn/new_label`, count, classes),
    boxSign: integers(`${seed}/dn/box_sign`, 4 * count, 2),
    boxUniform: uniform(`${seed}/dn/box_u`, 4 * count),
  };
}
