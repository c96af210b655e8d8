/** The k largest scores and where they are. */

import selectShader from '../../shaders/topk/select.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { layoutParams } from './common.ts';

/** What the kernel's workgroup memory holds. */
const MAX_K = 1024;

export interface TopkAttributes {
  k: number;
  /** [batch, scores]: an image's scores are a row; else [batch, scores, 1]: a column. */
  flat: boolean;
}

export const topkOperation: Operation<TopkAttributes> = {
  name: 'topk',

  infer([scores], { k, flat }) {
    if (!flat && scores.columns !== 1)
      throw shapeError('topk', `scores ${show(scores.shape)} are not [batch, scores] or [batch, scores, 1]`);
    const [batch, count] = scores.shape;
    if (!Number.isInteger(k) || k < 1 || k > count || k > MAX_K)
      throw shapeError('topk', `k ${k} of ${count} scores; it is 1 to ${Math.min(count, MAX_K)}`);
    return [{ shape: [batch, k, 1] }, { shape: [batch, k, 1], type: 'u32' }];
  },

  lower({ inputs: [scores], outputs: [values, indices], attributes: { k, flat } }) {
    const { offset, batch, pitch } = scores.layout();
    const capacity = k <= 64 ? 64 : 2 ** Math.ceil(Math.log2(k));
    return [
      launch(selectShader, {
        consts: { CAPACITY: capacity },
        bind: { scores, values, indices },
        params: {
          ...layoutParams('values', values, 1),
          ...layoutParams('indices', indices, 1),
          count: scores.shape[1],
          k,
          scores_offset: offset,
          scores_step: flat ? 1 : pitch,
          scores_batch: flat ? pitch : batch,
        },
        grid: [scores.shape[0], 1, 1],
      }),
    ];
  },
};

/**
 * The k (at most 1024) largest of scores [batch, count] or [batch, count, 1], sorted downwards, equal ones by lower index:
 * values [batch, k, 1] and indices [batch, k, 1] (u32). @throws BackdropError E_SHAPE
 */
export function topk(scores: Tensor, k: number): { values: Tensor; indices: Tensor } {
  const [values, indices] = scores.graph.add(topkOperation, [scores], { k, flat: scores.shape.length === 2 });
  return { values, indices };
}
