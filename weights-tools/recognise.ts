/** What a file of weights is, from its names and shapes alone: family, version, depth, classes, and the model name that goes with it. */
import type { TensorInfo } from '../src/checkpoints/tensors.ts';
import { isBackgroundModule, isPaddle, isRfaConv, isTorchvision } from './names/backbones.ts';
import { isHuggingFace } from './names/hugging-face.ts';
import { versionOf } from './names/rt-detr.ts';

export type Family =
  | 'rt-detr'
  | 'detr'
  | 'deformable-detr'
  | 'paddle-backbone'
  | 'torchvision-resnet'
  | 'rfaconv'
  | 'background-module'
  | 'unknown';

export interface Architecture {
  readonly family: Family;
  /** True for Hugging Face names; otherwise the names of the family's own code. */
  readonly huggingFace: boolean;
  /** RT-DETR's version. */
  readonly version?: 1 | 2;
  /** Depth of the ResNet: 18, 34, 50, 101, or undefined where its blocks are of no known depth. */
  readonly depth?: number;
  /** Width of the stem's output: 64 in every published model. */
  readonly width?: number;
  readonly classes?: number;
  /** Channels of the encoder. */
  readonly hidden?: number;
  readonly decoderLayers?: number;
  readonly associationEncoder: boolean;
  /** Deformable-DETR: 'refine', 'twostage', 'single-scale'. */
  readonly variants: readonly string[];
  /** The preset with these tensors, where there is one; further presets may share them (`…_dsp`, `…-dc5`). */
  readonly model?: string;
  /** In words, for messages. */
  readonly title: string;
}

type Tensors = ReadonlyMap<string, TensorInfo>;

/** Largest n + 1 that stands in the group of `pattern`, or 0. */
function count(tensors: Tensors, pattern: RegExp): number {
  let most = 0;
  for (const name of tensors.keys()) {
    const found = pattern.exec(name);
    if (found) most = Math.max(most, Number(found[1]) + 1);
  }
  return most;
}

const DEPTHS: ReadonlyMap<string, number> = new Map([
  ['2,2,2,2,basic', 18],
  ['3,4,6,3,basic', 34],
  ['3,4,6,3,bottleneck', 50],
  ['3,4,23,3,bottleneck', 101],
]);

function depthOf(tensors: Tensors, block: (stage: number) => RegExp, bottleneck: RegExp): number | undefined {
  const blocks = [0, 1, 2, 3].map((stage) => count(tensors, block(stage)));
  const kind = [...tensors.keys()].some((name) => bottleneck.test(name)) ? 'bottleneck' : 'basic';
  return DEPTHS.get(`${blocks.join(',')},${kind}`);
}

const optional = <T extends object>(values: T): Partial<{ [K in keyof T]: Exclude<T[K], undefined> }> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<{
    [K in keyof T]: Exclude<T[K], undefined>;
  }>;

/** Looks at official names; a Hugging Face file is recognised as such and described after it was renamed. */
export function recognise(tensors: Tensors): Architecture {
  const names = new Set(tensors.keys());
  const extent = (name: string, dimension = 0): number | undefined => tensors.get(name)?.shape[dimension];
  const associationEncoder = [...names].some((name) => name.startsWith('association_encoder.'));
  const base = { huggingFace: false, associationEncoder, variants: [] as string[] };

  if (isHuggingFace(names)) return describeHuggingFace(tensors, names);
  const version = versionOf(names);
  if (version) return describeRtDetr(tensors, version, associationEncoder);
  if (names.has('transformer.level_embed')) return describeDeformable(tensors, associationEncoder);
  if (names.has('query_embed.weight') && names.has('class_embed.weight')) {
    const depth = depthOf(tensors, torchvisionBlock('backbone.0.body.'), /layer1\.0\.conv3/);
    const width = extent('backbone.0.body.conv1.weight');
    // DETR's classes include one number for "no object".
    const facts = optional({ depth, width, hidden: extent('query_embed.weight', 1), classes: minusOne(extent('class_embed.weight')) });
    const model = published(depth, width) && depth === 50 ? `detr-r50${associationEncoder ? '-ae' : ''}` : undefined;
    const layers = count(tensors, /^transformer\.decoder\.layers\.(\d+)\./);
    return {
      ...base,
      ...facts,
      family: 'detr',
      decoderLayers: layers,
      ...optional({ model }),
      title: withEncoder(`DETR, ${resnet(depth)}`, associationEncoder),
    };
  }
  if (isPaddle(names)) {
    const depth = depthOf(tensors, vdBlock(''), /branch2c/);
    return {
      ...base,
      family: 'paddle-backbone',
      ...optional({ depth }),
      title: `a ${resnet(depth)}-vd backbone for RT-DETR (from Paddle)`,
    };
  }
  if (isRfaConv(names)) return { ...base, family: 'rfaconv', title: 'RFAConv layers' };
  if (isBackgroundModule(names)) return { ...base, family: 'background-module', title: 'a pre-trained Background Attention Module' };
  if (isTorchvision(names)) {
    const depth = depthOf(tensors, torchvisionBlock(''), /layer1\.0\.conv3/);
    const classes = extent('fc.weight') ?? extent('linear.weight');
    // A 3x3 stem of 16 channels and three stages is the CIFAR family.
    const cifar = extent('conv1.weight') === 16 && ![...names].some((name) => name.startsWith('layer4.'));
    const layers = cifar ? 6 * count(tensors, /^layer1\.(\d+)\./) + 2 : depth;
    const title = cifar
      ? `a CIFAR ResNet-${layers} classifier`
      : `a torchvision ${resnet(depth)} (a backbone for DETR and Deformable-DETR)`;
    return { ...base, family: 'torchvision-resnet', ...optional({ depth: layers, classes }), title };
  }
  return { ...base, family: 'unknown', title: 'no model we know' };
}

const torchvisionBlock = (prefix: string) => (stage: number) =>
  new RegExp(`^${prefix.replaceAll('.', '\\.')}layer${stage + 1}\\.(\\d+)\\.conv1\\.weight$`);
const vdBlock = (prefix: string) => (stage: number) =>
  new RegExp(`^${prefix}res_layers\\.${stage}\\.blocks\\.(\\d+)\\.branch2a\\.conv\\.weight$`);
const resnet = (depth: number | undefined): string => (depth ? `ResNet-${depth}` : 'a ResNet of unusual depth');
const withEncoder = (title: string, associationEncoder: boolean): string =>
  associationEncoder ? `${title}, with Association Encoder` : title;
const published = (depth: number | undefined, width: number | undefined): boolean => depth !== undefined && width === 64;
const minusOne = (value: number | undefined): number | undefined => (value === undefined ? undefined : value - 1);

function describeRtDetr(tensors: Tensors, version: 1 | 2, associationEncoder: boolean): Architecture {
  const depth = depthOf(tensors, vdBlock('backbone\\.'), /^backbone\.res_layers\.0\.blocks\.0\.branch2c/);
  const width = tensors.get('backbone.conv1.conv1_3.conv.weight')?.shape[0];
  const classes = tensors.get('decoder.dec_score_head.0.weight')?.shape[0];
  const hidden = tensors.get('encoder.lateral_convs.0.conv.weight')?.shape[0];
  // The narrow CSP layers of R50-m have a third convolution; R50's do not.
  const medium = depth === 50 && tensors.has('encoder.fpn_blocks.0.conv3.conv.weight') ? '_m' : '';
  const prefix = version === 1 ? '' : 'v2';
  let model: string | undefined;
  if (published(depth, width))
    model = associationEncoder ? `association_detr${prefix}_r${depth}${medium}` : `rtdetr${prefix}_r${depth}vd${medium}`;
  return {
    family: 'rt-detr',
    huggingFace: false,
    version,
    associationEncoder,
    variants: [],
    decoderLayers: count(tensors, /^decoder\.decoder\.layers\.(\d+)\./),
    ...optional({ depth, width, classes, hidden, model }),
    title: withEncoder(`RT-DETR v${version}, ${resnet(depth)}${medium && '-m'}`, associationEncoder),
  };
}

function describeDeformable(tensors: Tensors, associationEncoder: boolean): Architecture {
  const depth = depthOf(tensors, torchvisionBlock('backbone.0.body.'), /layer1\.0\.conv3/);
  const width = tensors.get('backbone.0.body.conv1.weight')?.shape[0];
  const variants: string[] = [];
  if (tensors.has('transformer.decoder.bbox_embed.0.layers.0.weight')) variants.push('refine');
  if (tensors.has('transformer.pos_trans.weight')) variants.push('twostage');
  if (!tensors.has('input_proj.1.0.weight')) variants.push('single-scale');
  const suffix = [...variants, ...(associationEncoder ? ['ae'] : [])].map((variant) => `-${variant}`).join('');
  const model = published(depth, width) && depth === 50 ? `deformable-detr-r50${suffix}` : undefined;
  return {
    family: 'deformable-detr',
    huggingFace: false,
    associationEncoder,
    variants,
    decoderLayers: count(tensors, /^transformer\.decoder\.layers\.(\d+)\./),
    ...optional({
      depth,
      width,
      hidden: tensors.get('transformer.level_embed')?.shape[1],
      classes: tensors.get('class_embed.0.weight')?.shape[0],
      model,
    }),
    title: withEncoder(['Deformable-DETR', resnet(depth), ...variants].join(', '), associationEncoder),
  };
}

function describeHuggingFace(tensors: Tensors, names: ReadonlySet<string>): Architecture {
  const version = [...names].some((name) => name.endsWith('.n_points_scale')) ? 2 : 1;
  const stages = 'model.backbone.model.encoder.stages.';
  const depth = depthOf(
    tensors,
    (stage) => new RegExp(`^${stages.replaceAll('.', '\\.')}${stage}\\.layers\\.(\\d+)\\.layer\\.0\\.convolution\\.weight$`),
    /stages\.0\.layers\.0\.layer\.2\./,
  );
  const classes = (tensors.get('class_embed.0.weight') ?? tensors.get('model.decoder.class_embed.0.weight'))?.shape[0];
  const width = tensors.get('model.backbone.model.embedder.embedder.2.convolution.weight')?.shape[0];
  const medium = depth === 50 && tensors.has('model.encoder.fpn_blocks.0.conv3.conv.weight') ? '_m' : '';
  const model = published(depth, width) ? `rtdetr${version === 1 ? '' : 'v2'}_r${depth}vd${medium}` : undefined;
  return {
    family: 'rt-detr',
    huggingFace: true,
    version,
    associationEncoder: false,
    variants: [],
    decoderLayers: count(tensors, /^model\.decoder\.layers\.(\d+)\./),
    ...optional({ depth, width, classes, hidden: tensors.get('model.encoder.lateral_convs.0.conv.weight')?.shape[0], model }),
    title: `RT-DETR v${version}, ${resnet(depth)}${medium && '-m'} (Hugging Face names)`,
  };
}
