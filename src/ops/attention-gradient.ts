/**
 * Gradients of attention and window attention: nothing of the forward is kept, the scores are computed again. On software adapters
 * with subgroups the first stage writes them down for the second.
 */

import keysShader from '../../shaders/attention/gradient-keys.wgsl';
import keysQuads from '../../shaders/attention/gradient-keys-quads.wgsl';
import queriesShader from '../../shaders/attention/gradient-queries.wgsl';
import queriesQuads from '../../shaders/attention/gradient-queries-quads.wgsl';
import tableShader from '../../shaders/attention/gradient-table.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { type Dispatch, type LowerContext, type Node, type Operation, shapeError, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { type AttentionAttributes, type AttentionLaunch, maskHooks, maskStrides } from './attention.ts';
import { elements, inVectors, layoutParams, type Unit } from './common.ts';
import { rowsDispatch } from './reduce.ts';
import { reshape } from './reshape.ts';
import { type WindowAttributes, windowLaunch } from './window-attention.ts';

interface Sinks {
  dq: Tensor;
  /** Side by side: dk, then dv. */
  dkv: Tensor;
  /** [1, 1, entries * heads] */
  table?: Tensor;
}

type Sequences = Omit<AttentionLaunch, 'y'>;

/** Of all the kernels' launches: each takes what it has a field for. */
function uniforms(a: Sequences, g: Tensor, { dq, dkv }: Sinks, unit: Unit) {
  const { q, k, v, mask } = a;
  return {
    queries: a.queries,
    keys: a.keys,
    heads: a.heads,
    scale: a.scale,
    ...layoutParams('q', q, unit),
    ...layoutParams('k', k, unit),
    ...layoutParams('v', v, unit),
    ...layoutParams('g', g, unit),
    ...layoutParams('dq', dq, unit),
    ...layoutParams('dk', dkv, unit),
    dv_distance: q.columns / unit,
    mask_offset: mask?.offset ?? 0,
    mask_pitch: mask?.pitch ?? 0,
    mask_head: mask?.head ?? 0,
    mask_batch: mask?.batch ?? 0,
    ...layoutParams('padding', a.padding ?? q, 1),
    ...(a.windows ?? { window: 0, shift: 0, map_height: 0, map_width: 0, windows_x: 0, windows_y: 0 }),
  };
}

/** Multiply-adds of queries with keys, counted as two. */
const flopsOf = ({ q, sequences, queries, keys }: Sequences): number => 2 * sequences * queries * keys * q.columns;

/** Bytes that the scores of all queries may take where they are kept from one stage to the next. */
const MOST_SCORES = 64 * 2 ** 20;

/** What the quads variant keeps of scores: in every row p and its change side by side. */
function scoresOf({ queries, keys, heads, sequences }: Sequences) {
  const threads = Math.min(32, 4 * Math.ceil(queries / 16));
  const blocks = Math.ceil(queries / (4 * threads));
  const rows = blocks * 4 * threads;
  const keys4 = 2 * Math.ceil(keys / 8);
  return { threads, blocks, rows, keys4, elements: sequences * heads * rows * 8 * keys4 };
}

function gradientDispatches(a: Sequences, g: Tensor, sinks: Sinks, context: LowerContext): Dispatch[] {
  const { q, k, v, heads } = a;
  const { target } = context;
  const head = q.columns / heads;
  const unit: Unit = head % 4 === 0 && [q, k, v, g, sinks.dq, sinks.dkv].every(inVectors) ? 4 : 1;
  const forced = target.variants.attention;
  const quads = target.subgroups && (forced === 'quads' || (forced === undefined && target.software));
  const fits = unit === 4 && head <= 32 && scoresOf(a).elements * 4 <= MOST_SCORES;
  return quads && fits && !sinks.table ? keepingScores(a, g, sinks, context) : computingScoresAgain(a, g, sinks, unit, context);
}

function keepingScores(a: Sequences, g: Tensor, sinks: Sinks, context: LowerContext): Dispatch[] {
  const { q, k, v, heads, sequences } = a;
  const { threads, blocks, rows, keys4, elements: size } = scoresOf(a);
  const scores = context.temporary([size]);
  const head4 = q.columns / heads / 4;
  const lanes = head4 > 4 ? 8 : 4;
  const params = { ...uniforms(a, g, sinks, 4), rows, keys4 };
  const common = { consts: { HEAD4: head4 }, params, ...(a.library && { library: a.library }) };
  const extra = { ...(a.mask && { mask: a.mask.tensor }), ...(a.padding && { padding: a.padding }) };
  return [
    launch(queriesQuads, {
      label: 'queries',
      ...common,
      hooks: a.hooks,
      constants: { THREADS: threads },
      bind: { q, k, v, g, ...extra, dq: sinks.dq, scores },
      grid: [blocks, heads, sequences],
      flops: 3 * flopsOf(a),
    }),
    launch(keysQuads, {
      label: 'keys',
      ...common,
      hooks: a.hooks.locate ? { locate: a.hooks.locate } : {},
      constants: { COLUMN_LANES: lanes },
      bind: { q, g, ...extra, scores, dk: sinks.dkv },
      grid: [Math.ceil(a.keys / (1024 / lanes)), heads * Math.ceil(head4 / lanes), 2 * sequences],
      flops: 2 * flopsOf(a),
    }),
  ];
}

function computingScoresAgain(a: Sequences, g: Tensor, sinks: Sinks, unit: Unit, context: LowerContext): Dispatch[] {
  const { q, k, v, heads, mask, sequences, queries, keys } = a;
  const { dq, dkv, table } = sinks;
  const statistics = context.temporary([sequences * heads, queries, 4]);
  const joins = elements(unit, ['total']);
  const common = {
    value: joins.value,
    hooks: { ...joins.hooks, ...a.hooks },
    consts: { HEAD: q.columns / heads / unit },
    params: uniforms(a, g, sinks, unit),
    ...(a.library && { library: a.library }),
  };
  const bind = { q, k, v, g, ...(mask && { mask: mask.tensor }), ...(a.padding && { padding: a.padding }) };
  const dispatches: Dispatch[] = [
    launch(queriesShader, {
      label: 'queries',
      ...common,
      bind: { ...bind, dq, statistics },
      grid: [Math.ceil(queries / 32), heads, sequences],
      flops: 5 * flopsOf(a),
    }),
    launch(keysShader, {
      label: 'keys',
      ...common,
      bind: { ...bind, statistics, dk: dkv },
      grid: [Math.ceil(keys / 32), heads, sequences],
      flops: 4 * flopsOf(a),
    }),
  ];
  if (!table) return dispatches;
  const partial = context.temporary([1, sequences, table.columns]);
  dispatches.push(
    launch(tableShader, {
      label: 'table',
      ...common,
      bind: { ...bind, statistics, dtable: partial },
      grid: [Math.ceil(table.columns / heads / 32), heads, sequences],
      flops: 2 * flopsOf(a),
    }),
  );
  return [...dispatches, rowsDispatch(partial, table)];
}

/** Have queries and keys the same rows? Then all three gradients lie side by side, as one projection of a sequence wants them. */
const sameRows = (q: Tensor, k: Tensor): boolean => q.images === k.images && q.rows === k.rows;

/** dq, dk and dv side by side; or dq, and dk and dv side by side. */
const attentionGradientOperation: Operation<AttentionAttributes> = {
  name: 'attentionGradient',

  infer([q, k]) {
    if (sameRows(q, k)) return [{ shape: [q.images, q.rows, 3 * q.columns] }];
    return [{ shape: q.shape }, { shape: [k.images, k.rows, 2 * k.columns] }];
  },

  lower({ inputs: [q, k, v, g, mask], outputs: [first, second], attributes: { heads, scale } }, context) {
    const sinks = second
      ? { dq: first, dkv: second }
      : { dq: first.columnsFrom(0, q.columns), dkv: first.columnsFrom(q.columns, 2 * q.columns) };
    const strides = mask && maskStrides(mask, q, k.rows, heads);
    const sizes = { sequences: q.images, queries: q.rows, keys: k.rows };
    const hooks = mask ? maskHooks : {};
    return gradientDispatches({ q, k, v, heads, scale, ...sizes, ...(strides && { mask: strides }), hooks }, g, sinks, context);
  },
};

/** Masks are constants: asking for a mask's gradient is an error. @throws BackdropError E_SHAPE */
export const attentionGradient: GradientRule<AttentionAttributes> = ({ inputs: [q, k, v, mask], attributes }, [gradient], wanted) => {
  if (wanted[3]) throw shapeError('attention', 'a mask has no gradient; detach it');
  const inputs = mask ? [q, k, v, gradient!, mask] : [q, k, v, gradient!];
  const [first, second] = q.graph.add(attentionGradientOperation, inputs, attributes);
  const [dkv, at] = second ? [second, 0] : [first, q.columns];
  return [first.window(q.shape, 0, 0), dkv.window(k.shape, 0, at), dkv.window(v.shape, 0, at + k.columns), null];
};

/** The gradient of queries, keys and values side by side, and that of the table where there is one. */
const windowGradientOperation: Operation<WindowAttributes> = {
  name: 'windowAttentionGradient',
  infer: ([, qkv, table], a) => [{ shape: qkv.shape }, ...(a.table ? [{ shape: [1, 1, table.size] }] : [])],

  lower({ inputs: [g, ...inputs], outputs: [dqkv, table], attributes, ...rest }, context) {
    const columns = dqkv.columns / 3;
    const sinks = { dq: dqkv.columnsFrom(0, columns), dkv: dqkv.columnsFrom(columns, 2 * columns), ...(table && { table }) };
    return gradientDispatches(windowLaunch({ ...rest, inputs, outputs: [], attributes }), g, sinks, context);
  },
};

export const windowAttentionGradient: GradientRule<WindowAttributes> = (
  { inputs, attributes }: Node<WindowAttributes>,
  [gradient],
  wanted,
) => {
  const [qkv, ...rest] = inputs;
  const [bias] = attributes.table ? rest : [];
  if (wanted[attributes.table ? 2 : 1]) throw shapeError('window attention', 'padding has no gradient; detach it');
  const [dqkv, table] = qkv.graph.add(windowGradientOperation, [gradient!, ...inputs], attributes);
  return [dqkv, table ? reshape(table, bias.shape) : null, null];
};
