/** Model configurations: the published ones by name, and any other as data. */
import { type AssociationEncoderConfig, associationEncoderDefaults } from './ae-config.ts';
import { resnetChannels } from './resnet.ts';

export interface ModelConfig {
  name: string;
  /** RT-DETR or RT-DETRv2: names of some entries, per-level points, discrete sampling. */
  version: 1 | 2;

  // backbone
  block: 'basic' | 'bottleneck';
  /** Blocks of the four stages. */
  counts: readonly number[];
  /** 64 in every published model. */
  baseWidth: number;
  /** -1: everything is trained; 0: the stem gets no gradient; k: nor do the first k stages. */
  freezeAt: number;
  /** Where batch norms are FrozenBatchNorm2d (constants): nowhere, in the backbone, or everywhere. */
  freezeNorm: 'none' | 'backbone' | 'all';

  // hybrid encoder
  encoderHidden: number;
  encoderFfn: number;
  expansion: number;

  // decoder
  decoderHidden: number;
  decoderFfn: number;
  decoderLayers: number;
  /** Layer whose outputs count at inference, from 0; negative counts from the end. */
  evalLayer: number;
  /** Sampling points of the three levels. */
  points: readonly number[];
  sampling: 'bilinear' | 'discrete';
  queries: number;
  anchorEps: number;

  /** Of both encoder and decoder. */
  heads: number;
  classes: number;
  /** Denoising queries in training. */
  denoising: number;
  /** [height, width] it is meant for. */
  size: readonly [number, number];
  associationEncoder: AssociationEncoderConfig | null;
}

const base = {
  baseWidth: 64,
  freezeAt: -1,
  freezeNorm: 'none',
  encoderHidden: 256,
  encoderFfn: 1024,
  expansion: 0.5,
  decoderHidden: 256,
  decoderFfn: 1024,
  evalLayer: -1,
  points: [4, 4, 4],
  sampling: 'bilinear',
  queries: 300,
  anchorEps: 0.01,
  heads: 8,
  classes: 80,
  denoising: 100,
  size: [640, 640],
  associationEncoder: null,
} as const satisfies Partial<ModelConfig>;

const frozen = { freezeAt: 0, freezeNorm: 'backbone' } as const;

type Variant = Omit<ModelConfig, 'name' | 'version'>;

const variants: Record<string, Variant> = {
  r18: { ...base, block: 'basic', counts: [2, 2, 2, 2], decoderLayers: 3 },
  r34: { ...base, block: 'basic', counts: [3, 4, 6, 3], decoderLayers: 4 },
  r50m: { ...base, ...frozen, block: 'bottleneck', counts: [3, 4, 6, 3], decoderLayers: 6, evalLayer: 2 },
  r50: { ...base, ...frozen, block: 'bottleneck', counts: [3, 4, 6, 3], decoderLayers: 6, expansion: 1 },
  r101: {
    ...base,
    ...frozen,
    block: 'bottleneck',
    counts: [3, 4, 23, 3],
    decoderLayers: 6,
    expansion: 1,
    encoderHidden: 384,
    encoderFfn: 2048,
  },
};

/**
 * Ours, not the paper's: every part of Association DETR, small enough to be trained on a processor and to lie in a repository.
 * 2,290,476 parameters, 0.55 GMAC. The window is the whole coarsest map of its input.
 */
const nano: ModelConfig = {
  ...base,
  name: 'association-detr-nano',
  version: 1,
  block: 'basic',
  counts: [1, 1, 1, 1],
  baseWidth: 24,
  encoderHidden: 96,
  encoderFfn: 256,
  decoderHidden: 96,
  decoderFfn: 256,
  decoderLayers: 3,
  queries: 60,
  heads: 4,
  classes: 16,
  denoising: 40,
  size: [256, 256],
  associationEncoder: {
    ...associationEncoderDefaults,
    dim: 96,
    s1Channels: 96,
    reduced: 16,
    heads: 4,
    headDim: 24,
    window: 8,
    ffnHidden: 96,
  },
};

function published(): Map<string, ModelConfig> {
  const models = new Map<string, ModelConfig>();
  const put = (config: ModelConfig) => models.set(config.name, config);
  for (const version of [1, 2] as const) {
    const family = version === 1 ? 'rtdetr' : 'rtdetrv2';
    for (const [depth, variant] of Object.entries(variants)) put({ ...variant, name: `${family}-${depth}`, version });
  }
  // RT-DETRv2's ablations: discrete sampling, and fewer points.
  for (const depth of ['r18', 'r34', 'r50m', 'r50']) {
    const plain = models.get(`rtdetrv2-${depth}`)!;
    put({ ...plain, name: `${plain.name}-dsp`, sampling: 'discrete' });
  }
  for (const n of [1, 2, 3]) {
    const plain = models.get('rtdetrv2-r18')!;
    put({ ...plain, name: `${plain.name}-sp${n}`, points: [n, n, n] });
  }
  for (const [name, plain] of [
    ['association-detr-r34', 'rtdetr-r34'],
    ['association-detr-r50', 'rtdetr-r50'],
    ['association-detrv2-r34', 'rtdetrv2-r34'],
    ['association-detrv2-r50', 'rtdetrv2-r50'],
  ]) {
    put({ ...models.get(plain)!, name, associationEncoder: associationEncoderDefaults });
  }
  put(nano);
  return models;
}

/** Every model that can be asked for by name. Table 3's other rows: `{ associationEncoder: { ...defaults, variant } }`. */
export const models: ReadonlyMap<string, ModelConfig> = published();

/** Channels of the backbone's map at stride 8, as the Association Encoder's own projection reads it. */
export function strideEightChannels(config: ModelConfig): number {
  return resnetChannels(config)[0];
}
