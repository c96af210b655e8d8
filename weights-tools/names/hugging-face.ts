/**
 * RTDetrForObjectDetection and RTDetrV2ForObjectDetection of Hugging Face transformers. Rows: transformers 4.x names, as its
 * conversion scripts (convert_rt_detr_original_pytorch_checkpoint_to_hf.py) assign them. transformers 5 renamed a few layers;
 * files saved by it may carry either form. Prediction heads are tied: a file may hold them under `model.decoder.`, bare, or both.
 */
import type { TensorSource } from '../../src/checkpoints/tensors.ts';
import { type Mapped, nameTable, type Row, toOurs, toTheirs } from './table.ts';

const BACKBONE = 'model.backbone.model';

function convNorm(ours: string, theirs: string): Row[] {
  return [
    { ours: `${ours}.conv.*`, theirs: [`${theirs}.convolution.*`] },
    { ours: `${ours}.norm.*`, theirs: [`${theirs}.normalization.*`] },
  ];
}

/** A post-norm transformer layer; `norms` are their names for norm1, norm2 and so on. */
function layer(ours: string, theirs: string, norms: readonly string[]): Row[] {
  const attention = ['q', 'k', 'v'];
  return [
    ...['weight', 'bias'].map((kind) => ({
      ours: `${ours}.self_attn.in_proj_${kind}`,
      theirs: attention.map((part) => `${theirs}.self_attn.${part}_proj.${kind}`),
    })),
    { ours: `${ours}.self_attn.out_proj.*`, theirs: [`${theirs}.self_attn.out_proj.*`] },
    { ours: `${ours}.linear1.*`, theirs: [`${theirs}.fc1.*`] },
    { ours: `${ours}.linear2.*`, theirs: [`${theirs}.fc2.*`] },
    ...norms.map((name, i) => ({ ours: `${ours}.norm${i + 1}.*`, theirs: [`${theirs}.${name}.*`] })),
  ];
}

/** Rows for official names of the given version. */
function rows(version: 1 | 2): Row[] {
  const [conv, norm, proj] = version === 1 ? ['0', '1', '0'] : ['conv', 'norm', 'proj'];
  return [
    ...[1, 2, 3].flatMap((n) => convNorm(`backbone.conv1.conv1_${n}`, `${BACKBONE}.embedder.embedder.${n - 1}`)),
    ...['a', 'b', 'c'].flatMap((letter, i) =>
      convNorm(`backbone.res_layers.{s}.blocks.{b}.branch2${letter}`, `${BACKBONE}.encoder.stages.{s}.layers.{b}.layer.${i}`),
    ),
    // After an average pool the shortcut is the second of two modules.
    ...convNorm('backbone.res_layers.{s}.blocks.{b}.short.conv', `${BACKBONE}.encoder.stages.{s}.layers.{b}.shortcut.1`),
    ...convNorm('backbone.res_layers.{s}.blocks.{b}.short', `${BACKBONE}.encoder.stages.{s}.layers.{b}.shortcut`),
    { ours: `encoder.input_proj.{l}.${conv}.*`, theirs: ['model.encoder_input_proj.{l}.0.*'] },
    { ours: `encoder.input_proj.{l}.${norm}.*`, theirs: ['model.encoder_input_proj.{l}.1.*'] },
    ...layer('encoder.encoder.{i}.layers.{j}', 'model.encoder.encoder.{i}.layers.{j}', ['self_attn_layer_norm', 'final_layer_norm']),
    ...['lateral_convs', 'fpn_blocks', 'downsample_convs', 'pan_blocks'].map((name) => ({
      ours: `encoder.${name}.*`,
      theirs: [`model.encoder.${name}.*`],
    })),
    { ours: 'decoder.input_proj.{l}.conv.*', theirs: ['model.decoder_input_proj.{l}.0.*'] },
    { ours: 'decoder.input_proj.{l}.norm.*', theirs: ['model.decoder_input_proj.{l}.1.*'] },
    { ours: 'decoder.decoder.layers.{i}.cross_attn.num_points_scale', theirs: ['model.decoder.layers.{i}.encoder_attn.n_points_scale'] },
    { ours: 'decoder.decoder.layers.{i}.cross_attn.*', theirs: ['model.decoder.layers.{i}.encoder_attn.*'] },
    ...layer('decoder.decoder.layers.{i}', 'model.decoder.layers.{i}', [
      'self_attn_layer_norm',
      'encoder_attn_layer_norm',
      'final_layer_norm',
    ]),
    { ours: 'decoder.dec_score_head.{i}.*', theirs: ['model.decoder.class_embed.{i}.*'], also: ['class_embed.{i}.*'] },
    { ours: 'decoder.dec_bbox_head.{i}.*', theirs: ['model.decoder.bbox_embed.{i}.*'], also: ['bbox_embed.{i}.*'] },
    { ours: 'decoder.query_pos_head.*', theirs: ['model.decoder.query_pos_head.*'] },
    { ours: `decoder.enc_output.${proj}.*`, theirs: ['model.enc_output.0.*'] },
    { ours: `decoder.enc_output.${norm}.*`, theirs: ['model.enc_output.1.*'] },
    ...['denoising_class_embed', 'enc_score_head', 'enc_bbox_head', 'tgt_embed'].map((name) => ({
      ours: `decoder.${name}.*`,
      theirs: [`model.${name === 'tgt_embed' ? 'weight_embedding' : name}.*`],
    })),
  ];
}

const tables = new Map(([1, 2] as const).map((version) => [version, nameTable(rows(version))]));

/** Counters and tables that Hugging Face's files may hold and no loader needs. */
const COUNTERS = /(?:num_batches_tracked|^model\.(?:anchors|valid_mask))$/;

/** transformers 5 to transformers 4. */
function oldForm(name: string): string {
  return name.replace('.o_proj.', '.out_proj.').replace('.mlp.fc', '.fc').replace('encoder.aifi.', 'encoder.encoder.');
}

export function isHuggingFace(names: ReadonlySet<string>): boolean {
  for (const name of names)
    if (name.startsWith('model.encoder_input_proj.') || name.startsWith('model.backbone.model.embedder.')) return true;
  return false;
}

/** Official names for a Hugging Face source. The version is 2 where the file has `n_points_scale`, unless asked for. */
export function fromHuggingFace(source: TensorSource, version?: 1 | 2): Mapped {
  const second = [...source.tensors.keys()].some((name) => name.endsWith('.n_points_scale'));
  const mapped = toOurs(source, tables.get(version ?? (second ? 2 : 1))!, oldForm);
  return { mapping: mapped.mapping, unknown: mapped.unknown.filter((name) => !COUNTERS.test(name)) };
}

/** Hugging Face names (transformers 4 form, tied heads under both names) for an official source of either version. */
export function toHuggingFace(source: TensorSource, version: 1 | 2): Mapped {
  const { mapping, unknown } = toTheirs(source, tables.get(version)!);
  // What their module does not register is left out: counters, anchors, valid mask.
  for (const [name] of mapping) if (name.endsWith('num_batches_tracked')) mapping.delete(name);
  return { mapping, unknown: unknown.filter((name) => !/(?:num_batches_tracked|\.anchors|\.valid_mask)$/.test(name)) };
}
