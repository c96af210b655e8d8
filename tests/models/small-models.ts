/** The golden files' small models: the structure of the published ones, few channels, odd sizes. */
import type { AssociationEncoderConfig } from '../../src/models/ae-config.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { modelConfig } from '../../src/models/resolve.ts';

const tiny: Partial<ModelConfig> = {
  baseWidth: 8,
  size: [128, 128],
  encoderHidden: 32,
  encoderFfn: 64,
  decoderHidden: 32,
  decoderFfn: 64,
  heads: 4,
  decoderLayers: 2,
  queries: 30,
  classes: 5,
  denoising: 10,
};

const odd: Partial<ModelConfig> = {
  block: 'bottleneck',
  counts: [2, 1, 2, 1],
  baseWidth: 6,
  size: [96, 160],
  encoderHidden: 36,
  encoderFfn: 50,
  decoderHidden: 36,
  decoderFfn: 50,
  heads: 3,
  expansion: 1,
  decoderLayers: 3,
  points: [2, 4, 3],
  queries: 25,
  classes: 7,
  denoising: 12,
  anchorEps: 0.03,
};

const tinyEncoder = { reduced: 4, heads: 4, headDim: 8, window: 3, ffnHidden: 32, elFfn: 64 };
const oddEncoder = { reduced: 9, heads: 3, headDim: 10, window: 3, shift: 1, ffnHidden: 50, wiring: 'double', gate: 'scalar' } as const;

function small(name: string, version: 1 | 2, changes: Partial<ModelConfig>, encoder?: Partial<AssociationEncoderConfig>): ModelConfig {
  return modelConfig(version === 1 ? 'rtdetr-r18' : 'rtdetrv2-r18', { ...changes, name, associationEncoder: encoder ?? null });
}

const list = [
  small('tiny-v1', 1, tiny),
  small('small-v1', 1, { ...tiny, baseWidth: 64, encoderHidden: 64, encoderFfn: 128, decoderHidden: 64, decoderFfn: 128, heads: 8 }),
  small('odd-v2', 2, odd),
  small('tiny-v2-discrete', 2, { ...tiny, sampling: 'discrete' }),
  small('tiny-ae-v1', 1, tiny, tinyEncoder),
  ...(['am', 'el', 'bam', 'bam+el'] as const).map((variant) => small(`tiny-ae-v1-${variant}`, 1, tiny, { ...tinyEncoder, variant })),
  small('odd-ae-v2', 2, odd, oddEncoder),
];

export const smallModels: Readonly<Record<string, ModelConfig>> = Object.fromEntries(list.map((config) => [config.name, config]));
