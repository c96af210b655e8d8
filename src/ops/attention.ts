/** Scaled dot-product attention over several heads; the kernels also serve window attention, which cuts its sequences out of maps. */

import quads from '../../shaders/attention/quads.wgsl';
import scalar from '../../shaders/attention/scalar.wgsl';
import workgroup from '../../shaders/attention/workgroup.wgsl';
import { type Dispatch, type Operation, shapeError, show, type Target, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { inVectors, layoutParams } from './common.ts';

export interface AttentionOptions {
  heads: number;
  /**
   * Added to the scores: [queries, keys] for all images and heads, [batch, 1, keys] for all heads and queries, or
   * [batch * heads, queries, keys]. What may not be seen has a large finite value such as -1e9, never an infinity.
   */
  mask?: Tensor | null;
  /** 1 / sqrt(columns of a head) when left out. */
  scale?: number;
}

export interface AttentionAttributes {
  heads: number;
  scale: number;
}

/** What the kernels are told; sequences are images, or windows of images. */
export interface AttentionLaunch {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  y: Tensor;
  heads: number;
  scale: number;
  sequences: number;
  queries: number;
  keys: number;
  mask?: { tensor: Tensor; offset: number; pitch: number; head: number; batch: number };
  padding?: Tensor;
  windows?: Record<'window' | 'shift' | 'map_height' | 'map_width' | 'windows_x' | 'windows_y', number>;
  hooks: { locate?: string; bias?: string };
  library?: string;
}

type Variant = 'quads' | 'workgroup' | 'scalar';

/** Widest head of the workgroup kernel, in vec4f. */
const WIDEST = 16;

function variantFor({ q, k, v, y, heads }: AttentionLaunch, target: Target): Variant {
  const head = q.columns / heads;
  const forced = target.variants.attention as Variant | undefined;
  if (head % 4 !== 0 || ![q, k, v, y].every(inVectors)) return 'scalar';
  if (forced) return forced;
  if (target.subgroups && (target.software || head > 4 * WIDEST)) return 'quads';
  return head <= 4 * WIDEST ? 'workgroup' : 'scalar';
}

export function launchAttention(a: AttentionLaunch, target: Target): Dispatch {
  const { q, k, v, y, heads, mask, sequences } = a;
  const variant = variantFor(a, target);
  const unit = variant === 'scalar' ? 1 : 4;
  const width = q.columns / heads / unit;
  const common = {
    bind: { q, k, v, y, ...(mask && { mask: mask.tensor }), ...(a.padding && { padding: a.padding }) },
    params: {
      queries: a.queries,
      keys: a.keys,
      heads,
      scale: a.scale,
      ...layoutParams('q', q, unit),
      ...layoutParams('k', k, unit),
      ...layoutParams('v', v, unit),
      ...layoutParams('y', y, unit),
      mask_offset: mask?.offset ?? 0,
      mask_pitch: mask?.pitch ?? 0,
      mask_head: mask?.head ?? 0,
      mask_batch: mask?.batch ?? 0,
      ...layoutParams('padding', a.padding ?? q, 1),
      ...(a.windows ?? { window: 0, shift: 0, map_height: 0, map_width: 0, windows_x: 0, windows_y: 0 }),
    },
    hooks: a.hooks,
    ...(a.library && { library: a.library }),
    flops: 4 * sequences * a.queries * a.keys * q.columns,
  };
  const blocks = (queries: number) => Math.ceil(a.queries / queries);
  if (variant === 'scalar') return launch(scalar, { ...common, consts: { HEAD: width }, grid: [blocks(32), heads, sequences] });
  if (variant === 'workgroup') {
    const consts = { HEAD4: width, COLUMNS: 2 ** Math.ceil(Math.log2(width)) };
    return launch(workgroup, { ...common, consts, grid: [blocks(16), heads, sequences] });
  }
  const chunks = Math.ceil(width / 8);
  const consts = { HEAD4: width, CHUNK: Math.ceil(width / chunks) };
  // The size that leaves fewest threads idle, the larger of equals.
  const [THREADS] = [32, 16, 8].sort((s, t) => blocks(4 * s) * s - blocks(4 * t) * t || t - s);
  return launch(quads, { ...common, constants: { THREADS }, consts, grid: [blocks(4 * THREADS), heads * chunks, sequences] });
}

export const attentionOperation: Operation<AttentionAttributes> = {
  name: 'attention',

  infer([q, k, v, mask], { heads }) {
    const wrong = (what: string) => shapeError('attention', what);
    if (q.columns % heads !== 0) throw wrong(`${q.columns} columns do not divide into ${heads} heads`);
    const fits = (t: Tensor) => t.images === q.images && t.columns === q.columns && t.rows === k.rows;
    if (!fits(k) || !fits(v))
      throw wrong(`queries ${show(q.shape)}, keys ${show(k.shape)} and values ${show(v.shape)} need equal batch and columns`);
    if (mask) maskStrides(mask, q, k.rows, heads);
    return [{ shape: q.shape }];
  },

  lower({ inputs: [q, k, v, mask], outputs: [y], attributes: { heads, scale } }, { target }) {
    const sizes = { sequences: q.images, queries: q.rows, keys: k.rows };
    const strides = mask && maskStrides(mask, q, k.rows, heads);
    const hooks = mask ? maskHooks : {};
    return [launchAttention({ q, k, v, y, heads, scale, ...sizes, ...(strides && { mask: strides }), hooks }, target)];
  },
};

export const maskHooks = {
  bias: 'return mask[params.mask_offset + query.image * params.mask_batch + head * params.mask_head + query.row * params.mask_pitch + key.row];',
};

export function maskStrides(mask: Tensor, q: Tensor, keys: number, heads: number): NonNullable<AttentionLaunch['mask']> {
  const { offset, pitch, batch } = mask.layout();
  const { images: n, rows: queries } = q;
  if (mask.columns === keys && mask.type === 'f32') {
    if (mask.shape.length === 2 && mask.rows === queries) return { tensor: mask, offset, pitch, head: 0, batch: 0 };
    if (mask.shape.length === 3 && mask.images === n && mask.rows === 1) return { tensor: mask, offset, pitch: 0, head: 0, batch };
    if (mask.shape.length === 3 && mask.images === n * heads && mask.rows === queries)
      return { tensor: mask, offset, pitch, head: batch, batch: batch * heads };
  }
  throw shapeError(
    'attention',
    `mask is ${show(mask.shape)}, expected [${queries}, ${keys}], [${n}, 1, ${keys}] or [${n * heads}, ${queries}, ${keys}]`,
  );
}

/**
 * softmax(q kᵀ scale + mask) v in every head: q [batch, queries, heads * d], k and v [batch, keys, heads * d], head h in columns
 * h * d .. h * d + d - 1. Result [batch, queries, heads * d]. All of them may be windows of wider tensors.
 * @throws BackdropError E_SHAPE
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, { heads, mask, scale }: AttentionOptions): Tensor {
  const attributes = { heads, scale: scale ?? 1 / Math.sqrt(q.columns / heads) };
  return q.graph.add(attentionOperation, mask ? [q, k, v, mask] : [q, k, v], attributes)[0];
}
