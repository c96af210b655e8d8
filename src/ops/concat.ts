/** Concatenation. Where it can, the graph lets producers write straight into their place and no kernel runs (graph/fuse.ts). */

import concatShader from '../../shaders/copy/concat.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { type Dispatch, type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, inVectors, layoutParams, type Unit } from './common.ts';

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
    return Array.from({ length: Math.ceil(inputs.length / slots.length) }, (_, i) => {
      const group = inputs.slice(i * slots.length, (i + 1) * slots.length);
      const length = group.reduce((sum, tensor) => sum + tensor[axis], 0);
      const part =
        axis === 'columns'
          ? output.window([...output.shape.slice(0, -1), length], 0, at)
          : output.window([output.images, length, output.columns], at, 0);
      at += length;
      return concatDispatch(group, part, axis);
    });
  },
};

const slots = [0, 1, 2, 3] as const;

type SlotFields = Record<`x${(typeof slots)[number]}_${'offset' | 'pitch' | 'batch'}` | `end${(typeof slots)[number]}`, number>;

function concatDispatch(inputs: readonly Tensor[], y: Tensor, axis: ConcatAttributes['axis']): Dispatch {
  const unit: Unit = [...inputs, y].every(inVectors) ? 4 : 1;
  const bind: Partial<Record<`x${(typeof slots)[number]}`, Tensor>> = {};
  const fields: Record<string, number> = {};
  let end = 0;
  for (const slot of slots) {
    const x = inputs[slot];
    if (x) bind[`x${slot}`] = x;
    end += (x?.[axis] ?? 0) / (axis === 'columns' ? unit : 1);
    Object.assign(fields, layoutParams(`x${slot}`, x ?? y, unit), { [`end${slot}`]: end });
  }
  const columns = y.columns / unit;
  const [gx, gy] = fold(Math.ceil((y.rows * columns) / 64));
  return launch(concatShader, {
    value: unit === 4 ? 'vec4u' : 'u32',
    consts: { COLUMNS: axis === 'columns' ? 1 : 0 },
    bind: { ...bind, y },
    params: { rows: y.rows, columns, ...layoutParams('y', y, unit), ...(fields as SlotFields) },
    grid: [gx, gy, y.images],
  });
}

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
  const [first] = inputs;
  let at = first.column;
  const joined = inputs.every((tensor) => {
    const follows = tensor.value === first.value && tensor.row === first.row && tensor.rows === first.rows && tensor.column === at;
    at += tensor.columns;
    return follows && tensor.images === first.images && tensor.detached === first.detached;
  });
  // Neighbours in one value are joined as they stand.
  if (joined) return first.window([...first.shape.slice(0, -1), at - first.column], 0, 0);
  return inputs[0].graph.add(concatOperation, inputs, { axis: 'columns' })[0];
}

/** Joins [batch, rows, columns] tensors (maps count as rows) along the rows: [batch, sum of rows, columns]. @throws BackdropError E_SHAPE */
export function concatRows(inputs: readonly Tensor[]): Tensor {
  return inputs[0].graph.add(concatOperation, inputs, { axis: 'rows' })[0];
}
