/** Gradients of attention and window attention: nothing of the forward is kept, the scores are computed again. */

import keysShader from '../../shaders/attention/gradient-keys.wgsl';
import queriesShader from '../../shaders/attention/gradient-queries.wgsl';
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

function gradientDispatches(a: Omit<AttentionLaunch, 'y'>, g: Tensor, { dq, dkv, table }: Sinks, context: LowerContext): Dispatch[] {
  const { q, k, v, heads, mask, sequences, queries, keys } = a;
  const head = q.columns / heads;
  const unit: Unit = head % 4 === 0 && [q, k, v, g, dq, dkv].every(inVectors) ? 4 : 1;
  const statistics = context.temporary([sequences * heads, queries, 4]);
  const joins = elements(unit, ['total']);
  const common = {
    value: joins.value,
    hooks: { ...joins.hooks, ...a.hooks },
    consts: { HEAD: head / unit },
    ...(a.library && { library: a.library }),
  };
  const bind = { q, k, v, g, ...(mask && { mask: mask.tensor }), ...(a.padding && { padding: a.padding }) };
  const params = {
    queries,
    keys,
    heads,
    scale: a.scale,
    ...layoutParams('q', q, unit),
    ...layoutParams('k', k, unit),
    ...layoutParams('v', v, unit),
    ...layoutParams('g', g, unit),
    mask_offset: mask?.offset ?? 0,
    mask_pitch: mask?.pitch ?? 0,
    mask_head: mask?.head ?? 0,
    mask_batch: mask?.batch ?? 0,
    ...layoutParams('padding', a.padding ?? q, 1),
    ...(a.windows ?? { window: 0, shift: 0, map_height: 0, map_width: 0, windows_x: 0, windows_y: 0 }),
  };
  const flops = 2 * sequences * queries * keys * q.columns;
  const dispatches: Dispatch[] = [
    launch(queriesShader, {
      label: 'queries',
      ...common,
      bind: { ...bind, dq, statistics },
      params: { ...params, ...layoutParams('dq', dq, unit) },
      grid: [Math.ceil(queries / 32), heads, sequences],
      flops: 5 * flops,
    }),
    launch(keysShader, {
      label: 'keys',
      ...common,
      bind: { ...bind, statistics, dk: dkv },
      params: { ...params, ...layoutParams('dk', dkv, unit), dv_distance: q.columns / unit },
      grid: [Math.ceil(keys / 32), heads, sequences],
      flops: 4 * flops,
    }),
  ];
  if (!table) return dispatches;
  const partial = context.temporary([1, sequences, table.columns]);
  dispatches.push(
    launch(tableShader, {
      label: 'table',
      ...common,
      bind: { ...bind, statistics, dtable: partial },
      params,
      grid: [Math.ceil(table.columns / heads / 32), heads, sequences],
      flops: 2 * flops,
    }),
  );
  return [...dispatches, rowsDispatch(partial, table)];
}

/** dq, and dk and dv side by side. */
const attentionGradientOperation: Operation<AttentionAttributes> = {
  name: 'attentionGradient',
  infer: ([q, k]) => [{ shape: q.shape }, { shape: [k.images, k.rows, 2 * k.columns] }],

  lower({ inputs: [q, k, v, g, mask], outputs: [dq, dkv], attributes: { heads, scale } }, context) {
    const strides = mask && maskStrides(mask, q, k.rows, heads);
    const sizes = { sequences: q.images, queries: q.rows, keys: k.rows };
    const hooks = mask ? maskHooks : {};
    return gradientDispatches({ q, k, v, heads, scale, ...sizes, ...(strides && { mask: strides }), hooks }, g, { dq, dkv }, context);
  },
};

/** Masks are constants: asking for a mask's gradient is an error. @throws BackdropError E_SHAPE */
export const attentionGradient: GradientRule<AttentionAttributes> = ({ inputs: [q, k, v, mask], attributes }, [gradient], wanted) => {
  if (wanted[3]) throw shapeError('attention', 'a mask has no gradient; detach it');
  const inputs = mask ? [q, k, v, gradient!, mask] : [q, k, v, gradient!];
  const [dq, dkv] = q.graph.add(attentionGradientOperation, inputs, attributes);
  return [dq, dkv.window(k.shape, 0, 0), dkv.window(v.shape, 0, k.columns), null];
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
