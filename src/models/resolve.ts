/** From a name, or a name and changes, to a checked configuration. */
import { BackdropError } from '../errors.ts';
import { didYouMean } from '../spelling.ts';
import { type AssociationEncoderConfig, associationEncoderDefaults } from './ae-config.ts';
import { type ModelConfig, models, strideEightChannels } from './configs.ts';

/** Changes to a published model. Of the Association Encoder only what differs from its defaults. */
export type ModelChanges = Partial<Omit<ModelConfig, 'associationEncoder'>> & {
  associationEncoder?: Partial<AssociationEncoderConfig> | null;
};

/** Our spelling of a model's name: `rtdetr_r18vd`, `RTDETR-R50vd_m` and `association_detr_r34` are known, too. */
function canonical(name: string): string {
  return name
    .toLowerCase()
    .replaceAll('_', '-')
    .replace(/(r\d+)vd/, '$1')
    .replace(/(r\d+)-m(?![a-z])/, '$1m');
}

/** @throws BackdropError E_MODEL_UNKNOWN with the nearest name */
function published(name: string): ModelConfig {
  const config = models.get(canonical(name));
  if (config) return config;
  const near = didYouMean(canonical(name), [...models.keys()]);
  throw new BackdropError('E_MODEL_UNKNOWN', `There is no model "${name}".${near ? ` Did you mean ${near}?` : ''}`, {
    hint: `Models: ${[...models.keys()].join(', ')}.`,
    details: { model: name, ...(near ? { near } : {}) },
  });
}

/**
 * A published model by name, with changes; or a whole configuration, checked.
 * @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG
 */
export function modelConfig(model: string | ModelConfig, changes: ModelChanges = {}): ModelConfig {
  const start = typeof model === 'string' ? published(model) : model;
  const config = { ...start, ...changes } as ModelConfig;
  const encoder = 'associationEncoder' in changes ? changes.associationEncoder : start.associationEncoder;
  if (encoder) {
    const given = { ...associationEncoderDefaults, dim: config.encoderHidden, ...start.associationEncoder, ...encoder };
    const { bamInput, dim } = given;
    config.associationEncoder = { ...given, s1Channels: bamInput === 'own' ? strideEightChannels(config) : dim };
  } else config.associationEncoder = null;
  check(config);
  return config;
}

function wrong(field: string, found: unknown, expected: string): BackdropError {
  return new BackdropError('E_MODEL_CONFIG', `Model configuration: ${field} is ${JSON.stringify(found)}, expected ${expected}.`, {
    details: { field, found, expected },
  });
}

type Rule = [value: unknown, accepts: boolean, expected: string];

/** More than any model has: a configuration from a file must not make us build for ever. */
const MOST = 100_000;
const whole = (n: unknown, least = 1): n is number => Number.isInteger(n) && (n as number) >= least && (n as number) <= MOST;
const count = (n: unknown, least = 1, most = MOST): Rule => [n, whole(n, least) && n <= most, `a whole number from ${least} to ${most}`];
const oneOf = (value: unknown, ...allowed: readonly unknown[]): Rule => [
  value,
  allowed.includes(value),
  allowed.map((a) => JSON.stringify(a)).join(', '),
];
const flag = (value: unknown): Rule => [value, typeof value === 'boolean', 'true or false'];
const listOf = (list: unknown, length: number, least = 1): Rule => [
  list,
  Array.isArray(list) && list.length === length && list.every((n) => whole(n, least)),
  `${length} whole numbers from ${least}`,
];
const multiple = (n: unknown, of: number, what: string): Rule => [n, whole(n) && n % of === 0, `a multiple of ${what} (${of})`];
const odd = (n: unknown): Rule => [n, whole(n) && n % 2 === 1, 'an odd number'];

function verify(rules: Record<string, Rule | readonly Rule[]>): void {
  for (const [field, given] of Object.entries(rules)) {
    const all = (Array.isArray(given[1]) ? given : [given]) as readonly Rule[];
    for (const [value, accepts, expected] of all) if (!accepts) throw wrong(field, value, expected);
  }
}

function check(c: ModelConfig): void {
  verify({
    version: oneOf(c.version, 1, 2),
    block: oneOf(c.block, 'basic', 'bottleneck'),
    counts: [listOf(c.counts, 4), [c.counts, Array.isArray(c.counts) && c.counts.every((n) => n <= 1000), 'at most 1000 each']],
    baseWidth: multiple(c.baseWidth, 2, 'the stem'),
    freezeAt: count(c.freezeAt, -1),
    freezeNorm: oneOf(c.freezeNorm, 'none', 'backbone', 'all'),
    heads: count(c.heads),
    encoderHidden: [multiple(c.encoderHidden, 4, 'the position embedding'), multiple(c.encoderHidden, c.heads, 'heads')],
    encoderFfn: count(c.encoderFfn),
    expansion: [c.expansion, c.expansion > 0 && whole(Math.floor(c.encoderHidden * c.expansion)), 'a positive number'],
    decoderHidden: multiple(c.decoderHidden, c.heads, 'heads'),
    decoderFfn: count(c.decoderFfn),
    decoderLayers: count(c.decoderLayers, 1, 100),
    evalLayer: [
      c.evalLayer,
      Number.isInteger(c.evalLayer) && c.evalLayer < c.decoderLayers && c.evalLayer >= -c.decoderLayers,
      `a layer of ${c.decoderLayers}`,
    ],
    points: listOf(c.points, 3),
    sampling: oneOf(c.sampling, 'bilinear', 'discrete'),
    queries: count(c.queries),
    anchorEps: [c.anchorEps, c.anchorEps > 0 && c.anchorEps < 0.5, 'a number between 0 and 0.5'],
    classes: count(c.classes),
    denoising: count(c.denoising, 0),
    size: [c.size, Array.isArray(c.size) && c.size.length === 2 && c.size.every((n) => whole(n) && n % 32 === 0), 'two multiples of 32'],
  });
  if (c.associationEncoder) checkEncoder(c.associationEncoder, c);
}

function checkEncoder(e: AssociationEncoderConfig, { encoderHidden }: ModelConfig): void {
  const rules: Record<string, Rule> = {
    variant: oneOf(e.variant, 'bam+am', 'bam', 'am', 'el', 'bam+el'),
    dim: [e.dim, e.dim === encoderHidden, `encoderHidden (${encoderHidden}), the channels of F_3`],
    bamInput: oneOf(e.bamInput, 'shared', 'own'),
    reduced: count(e.reduced),
    kernel: odd(e.kernel),
    pool: oneOf(e.pool, 'max3s2', 'max5s4', 'none'),
    blockStrides: [e.blockStrides, Array.isArray(e.blockStrides) && e.blockStrides.every((n) => whole(n)), 'whole numbers from 1'],
    blockConvs: oneOf(e.blockConvs, 'rf-plain', 'rf-rf', 'rf'),
    shortcut: oneOf(e.shortcut, 'avg', 'subsample', 'max', 'conv'),
    fuseBias: flag(e.fuseBias),
    heads: count(e.heads),
    headDim: count(e.headDim),
    qkvBias: flag(e.qkvBias),
    window: count(e.window),
    shift: [e.shift, whole(e.shift, 0) && e.shift < e.window, `a whole number below window (${e.window})`],
    relPosBias: flag(e.relPosBias),
    ffnHidden: count(e.ffnHidden),
    ffnKernel: odd(e.ffnKernel),
    amOrder: oneOf(e.amOrder, 'attn-ffn', 'ffn-attn'),
    elFfn: count(e.elFfn),
    wiring: oneOf(e.wiring, 'residual', 'double', 'direct'),
    gate: oneOf(e.gate, 'none', 'scalar'),
  };
  verify(Object.fromEntries(Object.entries(rules).map(([name, rule]) => [`associationEncoder.${name}`, rule])));
  const stride = { max3s2: 2, max5s4: 4, none: 1 }[e.pool] * e.blockStrides.reduce((a, b) => a * b, 1);
  if (e.variant.startsWith('bam') && stride !== 4) {
    throw wrong('associationEncoder.blockStrides', e.blockStrides, `strides that with pool ${e.pool} make 4: from stride 8 to 32`);
  }
}
