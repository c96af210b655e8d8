/** Gradients of picking rows and of its counterpart; what falls on one row is added in the order of the picks. */
import gradientShader from '../../shaders/gather/gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { clearDispatch } from './deformable-gradient.ts';
import { type GatherAttributes, gatherRows } from './gather.ts';
import { permute, reshape } from './reshape.ts';
import type { TopkAttributes } from './topk.ts';

interface Attributes {
  /** Of what was picked from. */
  shape: readonly number[];
  /** The row that gets no gradient. */
  padding: number | null;
}

const gatherGradientOperation: Operation<Attributes> = {
  name: 'gatherGradient',
  infer: (_inputs, { shape }) => [{ shape }],

  lower({ inputs: [indices, g], outputs: [dx], attributes: { padding } }) {
    const unit: Unit = [g, dx].every(inVectors) ? 4 : 1;
    const columns = dx.columns / unit;
    const sources = dx.images === 1 ? g.images * g.rows : g.rows;
    const bySource = sources < dx.rows;
    const [gx, gy] = fold(Math.ceil(((bySource ? sources : dx.rows) * columns) / 64));
    const pick = layoutParams('indices', indices, 1);
    const sum = launch(gradientShader, {
      label: bySource ? 'sources' : 'rows',
      ...elements(unit),
      consts: { WHO: bySource ? 1 : 0 },
      bind: { indices, g, dx },
      params: {
        ...pick,
        indices_batch: indices.images === 1 ? 0 : pick.indices_batch,
        ...layoutParams('g', g, unit),
        ...layoutParams('dx', dx, unit),
        rows: dx.rows,
        columns,
        sources,
        count: g.rows,
        skip: padding ?? 0xffffffff,
      },
      grid: [gx, gy, dx.images],
      flops: g.size,
    });
    return bySource ? [clearDispatch(dx), sum] : [sum];
  },
};

/** Zeros of a shape, plus the rows of g at the indices. */
function scattered(g: Tensor, indices: Tensor, shape: readonly number[], padding: number | null = null): Tensor {
  return g.graph.add(gatherGradientOperation, [indices, g], { shape, padding })[0];
}

export const gatherRowsGradient: GradientRule<GatherAttributes> = ({ inputs: [x, indices], attributes }, [gradient]) => [
  scattered(gradient!, indices, x.shape, attributes.padding),
  null,
];

export const scatterAddGradient: GradientRule<object> = ({ inputs: [, source, indices] }, [gradient], wanted) => {
  if (!wanted[1]) return [gradient, null, null];
  if (indices.columns === 1) return [gradient, gatherRows(gradient!, indices), null];
  // An index for every element: each column becomes an image of rows of one element.
  const columnwise = (t: Tensor): Tensor => reshape(permute(t, [0, 2, 1]), [t.images * t.columns, t.rows, 1]);
  const picked = gatherRows(columnwise(gradient!.viewAs([source.images, gradient!.rows, source.columns])), columnwise(indices));
  return [gradient, permute(reshape(picked, [source.images, source.columns, source.rows]), [0, 2, 1]), null];
};

/** The scores that were chosen get the gradients of their values. */
export const topkGradient: GradientRule<TopkAttributes> = ({ inputs: [scores], outputs: [, indices] }, [gradient]) => [
  gradient && reshape(scattered(gradient, indices, [scores.shape[0], scores.shape[1], 1]), scores.shape),
];
