/**
 * A source under other names: what every name map produces. A tensor of the new source is one of the old one, a block of its
 * rows, or several of them stacked along the first dimension (Hugging Face splits `in_proj_weight` into q, k and v).
 */
import { elementCount, shapeText, type TensorInfo, type TensorSource, tensorOf, toFloat32 } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';

/** Where one tensor's values come from. */
export interface Piece {
  readonly from: string;
  /** Block `index` of `of` equal blocks of rows; everything if absent. */
  readonly rows?: { readonly index: number; readonly of: number };
}

/** New name to the pieces it is stacked from. */
export type Mapping = ReadonlyMap<string, readonly Piece[]>;

/** A mapping of plain renamings, new name to old. */
export function renaming(names: Iterable<readonly [string, string]>): Map<string, readonly Piece[]> {
  return new Map([...names].map(([to, from]) => [to, [{ from }]]));
}

function describe(source: TensorSource, name: string, pieces: readonly Piece[]): TensorInfo {
  let rows = 0;
  let first: TensorInfo | undefined;
  for (const piece of pieces) {
    const info = tensorOf(source, piece.from);
    first ??= info;
    if (pieces.length === 1 && !piece.rows) return { name, dtype: info.dtype, shape: info.shape };
    const part = info.shape[0]! / (piece.rows?.of ?? 1);
    const alike = info.dtype === first.dtype && shapeText(info.shape.slice(1)) === shapeText(first.shape.slice(1));
    if (info.shape.length === 0 || !Number.isInteger(part) || !alike) {
      const message = `"${name}" cannot be put together from ${pieces.map(({ from }) => `"${from}"`).join(', ')}`;
      throw new BackdropError('E_CKPT_SHAPE', `${message}: ${shapeText(info.shape)} of ${info.dtype} does not fit`, {
        details: { tensor: name },
      });
    }
    rows += part;
  }
  return { name, dtype: first!.dtype, shape: [rows, ...first!.shape.slice(1)] };
}

/** The source that `mapping` describes; only names in the mapping exist in it. Throws E_CKPT_SHAPE where pieces do not stack. */
export function mapSource(source: TensorSource, mapping: Mapping): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, pieces] of mapping) tensors.set(name, describe(source, name, pieces));
  const mapped: TensorSource = {
    tensors,
    metadata: source.metadata,
    async readBytes(name) {
      const info = tensorOf(mapped, name);
      const pieces = mapping.get(name)!;
      if (pieces.length === 1 && !pieces[0]!.rows) return source.readBytes(pieces[0]!.from);
      const parts: Uint8Array[] = [];
      for (const { from, rows } of pieces) {
        const bytes = await source.readBytes(from);
        const length = bytes.length / (rows?.of ?? 1);
        parts.push(rows ? bytes.slice(rows.index * length, (rows.index + 1) * length) : bytes);
      }
      const total = parts.reduce((sum, part) => sum + part.length, 0);
      const out = new Uint8Array(total);
      let at = 0;
      for (const part of parts) {
        out.set(part, at);
        at += part.length;
      }
      if (elementCount(info.shape) > 0 && total === 0) throw new BackdropError('E_CKPT_STORAGE', `"${name}" has no data`);
      return out;
    },
    async readFloat32(name) {
      const { dtype } = tensorOf(mapped, name);
      return toFloat32(await mapped.readBytes(name), dtype, name);
    },
  };
  return mapped;
}
