/**
 * How the published models are trained: parameter groups, rates and schedules as the official configurations write them
 * (lyuwenyu/RT-DETR, `rtdetr_pytorch/configs` and `rtdetrv2_pytorch/configs`), and Association DETR's as its paper's Table 5.
 *
 * The patterns' quirks are kept, since names decide: version 1 decays the weights of `encoder.input_proj.{i}.1` and
 * `decoder.enc_output.1`, which are norms but not called so, and R34's `.*norm|bn` reads "norm anywhere, or bn at the beginning".
 */
import type { ModelConfig } from '../models/configs.ts';
import { modelConfig } from '../models/resolve.ts';
import type { GroupRule } from './groups.ts';
import type { OptimizerConfig } from './trained-program.ts';

export interface Recipe {
  /** For `TrainingStep.build`, beside batch and maxTargets. */
  readonly training: Required<Pick<OptimizerConfig, 'rate' | 'decay' | 'rules' | 'betas' | 'eps' | 'maxNorm' | 'average' | 'schedule'>>;
  readonly epochs: number;
  /** Images of a step; smaller batches are accumulated to it. */
  readonly batch: number;
  /** From this epoch (from 0) on, images are no longer distorted, zoomed and cropped; null: never. */
  readonly plainFrom: number | null;
  /** Sides of the square batches, drawn evenly, and the epoch from which all are the model's own; null: always the model's own. */
  readonly scales: { readonly sides: readonly number[]; readonly until: number | null } | null;
}

const SIDES = [480, 512, 544, 576, 608, 640, 640, 640, 672, 704, 736, 768, 800] as const;

const backbone = (rate: number, norm = 'norm'): GroupRule[] => [
  { pattern: `^(?=.*backbone)(?=.*${norm}).*$`, rate, decay: 0 },
  { pattern: `^(?=.*backbone)(?!.*${norm}).*$`, rate },
];
const undecayed = (words: string): GroupRule => ({ pattern: `^(?=.*(?:encoder|decoder))(?=.*(?:${words})).*$`, decay: 0 });

interface Variant {
  rules: readonly GroupRule[];
  epochs: number;
  plainFrom?: number;
  /** False: one size only. */
  multiScale?: boolean;
}

const v1: Record<string, Variant> = {
  r18: { rules: [...backbone(1e-5), undecayed('norm|bias')], epochs: 72 },
  r34: { rules: [...backbone(1e-5, 'norm|bn'), undecayed('norm|bn|bias')], epochs: 72 },
  r50: {
    rules: [
      { pattern: 'backbone', rate: 1e-5 },
      { pattern: '^(?=.*encoder(?=.*bias|.*norm.*weight)).*$', decay: 0 },
      { pattern: '^(?=.*decoder(?=.*bias|.*norm.*weight)).*$', decay: 0 },
    ],
    epochs: 72,
  },
  r101: { rules: [{ pattern: 'backbone', rate: 1e-6 }], epochs: 72 },
};

/** In version 2 the convolutions stand before the norms. */
const v2r34 = (rate: number): GroupRule[] => [...backbone(rate, 'norm|bn').reverse(), undecayed('norm|bn|bias')];
const v2r50 = [{ pattern: '^(?=.*backbone)(?!.*norm).*$', rate: 1e-5 }, undecayed('norm|bn')];
const anyNorm = [{ pattern: '^(?=.*(?:norm|bn)).*$', decay: 0 }];

const v2: Record<string, Variant> = {
  r18: { rules: anyNorm, epochs: 120, plainFrom: 117, multiScale: false },
  r34: { rules: v2r34(5e-5), epochs: 120, plainFrom: 117 },
  r50m: { rules: v2r50, epochs: 84, plainFrom: 81 },
  r50: { rules: v2r50, epochs: 72, plainFrom: 71 },
  r101: { rules: [{ pattern: '^(?=.*backbone)(?!.*norm|bn).*$', rate: 1e-6 }, undecayed('norm|bn')], epochs: 72, plainFrom: 71 },
};

/** Tuned from a trained model of bilinear sampling. */
const discrete: Record<string, Pick<Variant, 'epochs' | 'plainFrom'>> = {
  r18: { epochs: 36, plainFrom: 33 },
  r34: { epochs: 12, plainFrom: 10 },
  r50m: { epochs: 36, plainFrom: 33 },
  r50: { epochs: 12, plainFrom: 10 },
};

/** Every parameter at the base rate, norms without decay: for models that start without a trained backbone. */
const fromScratch: Variant = { rules: anyNorm, epochs: 72, multiScale: false };

function variantOf({ name, version }: ModelConfig): Variant {
  const [, association, depth, dsp] = /^(?:rt|(association-))detr(?:v2)?-(r\d+m?)(-dsp)?/.exec(name) ?? [];
  if (depth === undefined) return fromScratch;
  const found = version === 1 ? (v1[depth] ?? v1[depth.replace(/m$/, '')]) : v2[depth];
  if (!found) return fromScratch;
  // Table 5 has one backbone rate for all.
  if (association && version === 2 && depth === 'r34') return { ...found, rules: v2r34(1e-5) };
  return dsp ? { ...found, ...discrete[depth] } : found;
}

/** Biases, norms, `rel_pos_bias` and `gate` of the Association Encoder are not decayed: what the official patterns leave of them. */
function encoderRules({ associationEncoder }: ModelConfig, { rules }: Variant): GroupRule[] {
  if (!associationEncoder) return [];
  const rest = rules.some(({ pattern }) => pattern.includes('bias')) ? [] : ['(?!.*(?:norm|bn)).*bias$'];
  if (associationEncoder.gate === 'scalar') rest.push('gate$');
  return rest.length > 0 ? [{ pattern: `^association_encoder\\.(?:${rest.join('|')})`, decay: 0 }] : [];
}

/**
 * The recipe of a published model, by name or with changes. A frozen backbone norm has no parameters, so its rule is left out. A
 * model of another name is trained from scratch: one rate, norms without decay.
 * @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG
 */
export function recipe(model: string | ModelConfig): Recipe {
  const config = modelConfig(model);
  const { version, freezeNorm, associationEncoder } = config;
  const variant = variantOf(config);
  const { epochs, plainFrom = null, multiScale = true } = variant;
  const rules = variant.rules.filter(({ pattern }) => freezeNorm === 'none' || !/\(\?=\.\*backbone\)\(\?=/.test(pattern));
  const linear = { warmupSteps: 2000, ...(associationEncoder ? { warmupStart: 0.001 } : {}) };
  return {
    training: {
      ...{ rate: 1e-4, decay: 1e-4, betas: [0.9, 0.999], eps: 1e-8, maxNorm: 0.1 },
      rules: [...encoderRules(config, variant), ...rules],
      average: { decay: 0.9999, warmups: 2000 },
      schedule: { ...(version === 2 || associationEncoder ? linear : {}), milestones: [1000], gamma: 0.1 },
    },
    epochs,
    batch: 16,
    plainFrom,
    scales: multiScale ? { sides: SIDES, until: plainFrom } : null,
  };
}
