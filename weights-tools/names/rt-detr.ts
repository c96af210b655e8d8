/** Our names are those of the official RT-DETR code (lyuwenyu/RT-DETR). Its two versions differ in the names of five layers. */
import type { TensorSource } from '../../src/checkpoints/tensors.ts';
import { type Mapped, nameTable, type Row } from './table.ts';

/** v2 on the left. */
const VERSIONS: readonly Row[] = [
  { ours: 'encoder.input_proj.{l}.conv.*', theirs: ['encoder.input_proj.{l}.0.*'] },
  { ours: 'encoder.input_proj.{l}.norm.*', theirs: ['encoder.input_proj.{l}.1.*'] },
  { ours: 'decoder.enc_output.proj.*', theirs: ['decoder.enc_output.0.*'] },
  { ours: 'decoder.enc_output.norm.*', theirs: ['decoder.enc_output.1.*'] },
];
const versions = nameTable(VERSIONS);

/** Buffers v2 registers and v1 computes. A loader that needs them computes them too. */
export const V2_BUFFERS = /^decoder\.(?:anchors|valid_mask|decoder\.layers\.\d+\.cross_attn\.num_points_scale)$/;

/** 1 or 2 where the names tell, undefined for other models. */
export function versionOf(names: Iterable<string>): 1 | 2 | undefined {
  for (const name of names) {
    if (/^(?:encoder\.input_proj\.\d+\.conv\.|decoder\.enc_output\.proj\.)/.test(name)) return 2;
    if (/^(?:encoder\.input_proj\.\d+\.0\.|decoder\.enc_output\.0\.)/.test(name)) return 1;
  }
  return undefined;
}

/**
 * An RT-DETR state dictionary under the names of the given version. Values are not touched: with four points on every level both
 * versions compute the same function. Going to version 1 drops v2's buffers; going to version 2 leaves them to be computed.
 */
export function toVersion(source: TensorSource, version: 1 | 2): Mapped {
  const mapping: Mapped['mapping'] = new Map();
  for (const name of source.tensors.keys()) {
    if (version === 1 && V2_BUFFERS.test(name)) continue;
    const renamed = version === 1 ? versions.theirs(name)?.stack[0] : versions.ours(name)?.name;
    mapping.set(renamed ?? name, [{ from: name }]);
  }
  return { mapping, unknown: [] };
}
