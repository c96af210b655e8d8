/** The golden files' description of a small model as a configuration of ours. */
import { BackdropError } from '../errors.ts';
import type { AssociationEncoderConfig } from '../models/ae-config.ts';
import type { ModelConfig } from '../models/configs.ts';
import { modelConfig } from '../models/resolve.ts';

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** `bam_input` is our `bamInput`; the keys are the reference implementation's. */
export function associationEncoderConfig(json: Readonly<Record<string, unknown>>): Partial<AssociationEncoderConfig> {
  const entries = Object.entries(json)
    .filter(([name]) => name !== 'training' && name !== 'mode')
    .map(([name, value]) => [camel(name), value]);
  return Object.fromEntries(entries) as Partial<AssociationEncoderConfig>;
}

const BLOCKS: Record<number, ModelConfig['block']> = { 18: 'basic', 34: 'basic', 50: 'bottleneck', 101: 'bottleneck' };

/** How each key of a golden configuration changes ours. */
const KEYS: Record<string, (value: never) => Partial<ModelConfig>> = {
  v: (version: 1 | 2) => ({ version }),
  depth: (depth: number) => ({ block: BLOCKS[depth] ?? (String(depth) as ModelConfig['block']) }),
  counts: (counts: number[]) => ({ counts }),
  base: (baseWidth: number) => ({ baseWidth }),
  hw: (size: [number, number]) => ({ size }),
  hidden: (n: number) => ({ encoderHidden: n, decoderHidden: n }),
  nhead: (heads: number) => ({ heads }),
  ff: (n: number) => ({ encoderFfn: n, decoderFfn: n }),
  expansion: (expansion: number) => ({ expansion }),
  layers: (decoderLayers: number) => ({ decoderLayers }),
  eval_idx: (evalLayer: number) => ({ evalLayer }),
  points: (points: number | number[]) => ({ points: typeof points === 'number' ? [points, points, points] : points }),
  queries: (queries: number) => ({ queries }),
  classes: (classes: number) => ({ classes }),
  dn: (denoising: number) => ({ denoising }),
  eps: (anchorEps: number) => ({ anchorEps }),
  cross_attn_method: (method: string) => ({ sampling: method === 'discrete' ? 'discrete' : 'bilinear' }),
  base_model: () => ({}),
};

/**
 * A small model's configuration.
 * @throws BackdropError E_VERIFY for a key that is not known, since leaving it out would build another model; E_MODEL_CONFIG
 */
export function smallModelConfig(name: string, json: Readonly<Record<string, unknown>>): ModelConfig {
  let changes: Partial<ModelConfig> = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === 'ae') continue;
    const change = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (!change) throw new BackdropError('E_VERIFY', `the configuration of ${name} has the unknown key "${key}"`);
    changes = { ...changes, ...change(value as never) };
  }
  const { associationEncoder: _, ...own } = changes;
  const extra = json.ae ? associationEncoderConfig(json.ae as Record<string, unknown>) : null;
  return { ...modelConfig('rtdetr-r18', { freezeNorm: 'none', ...own, associationEncoder: extra }), name };
}
