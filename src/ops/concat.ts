/** Concatenation. Where it can, the graph lets producers write straight into their place and no kernel runs (graph/fuse.ts). */
import type { GradientRule } from '../graph/autodiff.ts';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { copyDispatch } from './reshape.ts';

interface ConcatAttributes {
  axis: 'columns' | 'rows';
}

export const concatOperation: Operation<ConcatAttributes> = {
  name: 'concat',
  again: true,

  infer(inputs, { axis }) {
    const [first] = inputs;
    for (const tensor of inputs) {
      const fits = tensor.images === first.images && (axis === 'columns' ? tensor.rows === first.rows : tensor.columns === first.columns);
      if (!fits || tensor.type !== first.type) throw shapeError('concat', `${inputs.map((t) => show(t.shape)).join(', ')} along ${axis}`);
    }
    if (axis === 'columns') return [{ shape: [...first.shape.slice(0, -1), inputs.reduce((n, t) => n + t.columns, 0)], type: first.type }];
    return [{ shape: [first.images, inputs.reduce((n, t) => n + t.rows, 0), first.columns], type: first.type }];
  },

  lower({ inputs, outputs: [output], attributes: { axis } }) {
    let at = 0;
    return inputs.map((tensor) => {
      const target =
        axis === 'columns'
          ? output.window([...output.shape.slice(0, -1), tensor.columns], 0, at)
          : output.window([output.images, tensor.rows, output.columns], at, 0);
      at += axis === 'columns' ? tensor.columns : tensor.rows;
      return copyDispatch(tensor, target);
    });
  },
};

export const concatGradient: GradientRule<ConcatAttributes> = ({ inputs, attributes: { axis } }, [gradient]) => {
  let at = 0;
  return inputs.map((tensor) => {
    const shape = axis === 'columns' ? [...tensor.shape.slice(0, -1), tensor.columns] : [tensor.images, tensor.rows, tensor.columns];
    const part = axis === 'columns' ? gradient!.window(shape, 0, at) : gradient!.window(shape, at, 0);
    at += axis === 'columns' ? tensor.columns : tensor.rows;
    return part.viewAs(tensor.shape);
  });
};

/** Joins tensors along their last dimension: [..., sum of columns]. @throws BackdropError E_SHAPE */
export function concatColumns(inputs: readonly Tensor[]): Tensor {
  return inputs[0].graph.add(concatOperation, inputs, { axis: 'columns' })[0];
}

/** Joins [batch, rows, columns] tensors (maps count as rows) along the rows: [batch, sum of rows, columns]. @throws BackdropError E_SHAPE */
export function concatRows(inputs: readonly Tensor[]): Tensor {
  return inputs[0].graph.add(concatOperation, inputs, { axis: 'rows' })[0];
}
