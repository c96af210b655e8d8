/**
 * Files that hold a part of a detector: backbones from torchvision or converted from Paddle, and Association Encoder parts.
 * The classifier on top of a backbone has no place in a detector and is left aside.
 */
import type { TensorSource } from '../../src/checkpoints/tensors.ts';
import { type Mapped, nameTable, type Row, toOurs } from './table.ts';

/** torchvision's ResNet inside DETR and Deformable-DETR. */
const TORCHVISION: readonly Row[] = [
  { ours: 'backbone.0.body.conv1.*', theirs: ['conv1.*'] },
  { ours: 'backbone.0.body.bn1.*', theirs: ['bn1.*'] },
  { ours: 'backbone.0.body.layer{s}.*', theirs: ['layer{s}.*'] },
];

/** `ResNet18_vd_pretrained_from_paddle.pth` and its siblings: RT-DETR's PResNet without the prefix. */
const PADDLE: readonly Row[] = [
  { ours: 'backbone.conv1.*', theirs: ['conv1.*'] },
  { ours: 'backbone.res_layers.*', theirs: ['res_layers.*'] },
];

/** RFCBAMConv of Liuchen1997/RFAConv: its submodules' names, wherever the block stands. */
const RFACONV: readonly (readonly [RegExp, string])[] = [
  [/\.generate\.0\./, '.expand.conv.'],
  [/\.generate\.1\./, '.expand.norm.'],
  [/\.(?:se|cam)\.fc\.0\./, '.channel.fc1.'],
  [/\.(?:se|cam)\.fc\.2\./, '.channel.fc2.'],
  [/\.get_weight\.0\./, '.spatial.'],
  [/\.conv\.0\.(?=weight$|bias$)/, '.fuse.'],
  [/\.bn([12])\./, '.norm$1.'],
];

const torchvision = nameTable(TORCHVISION);
const paddle = nameTable(PADDLE);

const any = (names: ReadonlySet<string>, pattern: RegExp): boolean => [...names].some((name) => pattern.test(name));

export const isTorchvision = (names: ReadonlySet<string>): boolean => names.has('conv1.weight') && any(names, /^layer1\.0\.conv1\.weight$/);
export const isPaddle = (names: ReadonlySet<string>): boolean => any(names, /^conv1\.conv1_1\./) && any(names, /^res_layers\./);
export const isRfaConv = (names: ReadonlySet<string>): boolean => any(names, /(?:^|\.)conv1\.generate\.0\.weight$/);
/** A pre-trained Background Attention Module: `bam.…` beside its own projection and head. */
export const isBackgroundModule = (names: ReadonlySet<string>): boolean => any(names, /^bam\.blocks\.\d+\.conv1\.expand\.conv\.weight$/);

export const fromTorchvision = (source: TensorSource): Mapped => toOurs(source, torchvision);
export const fromPaddle = (source: TensorSource): Mapped => toOurs(source, paddle);

/**
 * RFAConv's names to the Association Encoder's. Blocks called `blocks.{n}` or `bam.blocks.{n}` come under
 * `association_encoder.bam.`; a whole classifier (`layer3.1.…`) keeps its prefixes, so that inspect shows what it is.
 */
export function fromRfaConv(source: TensorSource): Mapped {
  const mapping: Mapped['mapping'] = new Map();
  for (const name of source.tensors.keys()) {
    let ours = name;
    for (const [pattern, replacement] of RFACONV) ours = ours.replace(pattern, replacement);
    ours = ours.replace(/^(?:bam\.)?(?=blocks\.\d+\.)/, 'association_encoder.bam.');
    mapping.set(ours, [{ from: name }]);
  }
  return { mapping, unknown: [] };
}

/**
 * A BAM pre-training file: `bam.` goes into a detector, the head does not. The projection goes too where the module was
 * pre-trained on a plain ImageNet backbone; beside a trained RT-DETR it would break the detector, so it must be asked for.
 */
export function fromBackgroundModule(source: TensorSource, options: { projection?: boolean } = {}): Mapped {
  const mapping: Mapped['mapping'] = new Map();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    if (name.startsWith('bam.')) mapping.set(`association_encoder.${name}`, [{ from: name }]);
    else if (options.projection && name.startsWith('proj.')) mapping.set(`encoder.input_proj.0.${name.slice(5)}`, [{ from: name }]);
    else unknown.push(name);
  }
  return { mapping, unknown };
}
