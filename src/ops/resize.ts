/** Resizing of maps, as torch.nn.functional.interpolate does it. */

import bilinearShader from '../../shaders/resize/bilinear.wgsl';
import nearestShader from '../../shaders/resize/nearest.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';

type Pair = readonly [number, number];

/** The output's [height, width], or a factor for both. */
export type ResizeTarget = { size: Pair } | { scale: number };

export interface ResizeAttributes {
  mode: 'nearest' | 'bilinear';
  alignCorners: boolean;
  size: Pair;
  /** Input coordinate over output coordinate. */
  ratio: Pair;
}

export const resizeOperation: Operation<ResizeAttributes> = {
  name: 'resize',
  again: true,

  infer([x], { mode, size }) {
    if (x.shape.length !== 4) throw shapeError(mode, `input ${show(x.shape)} is not [batch, height, width, channels]`);
    if (size.some((n) => !Number.isInteger(n) || n < 1)) throw shapeError(mode, `size ${size.join('x')} of ${show(x.shape)}`);
    return [{ shape: [x.shape[0], ...size, x.shape[3]] }];
  },

  lower({ inputs: [x], outputs: [y], attributes: { mode, alignCorners, ratio } }) {
    const unit: Unit = inVectors(x) && inVectors(y) ? 4 : 1;
    const columns = y.columns / unit;
    const [gx, gy] = fold(Math.ceil((y.rows * columns) / 64));
    const common = {
      label: mode,
      ...elements(unit),
      bind: { x, y },
      params: {
        ...layoutParams('x', x, unit),
        ...layoutParams('y', y, unit),
        in_height: x.shape[1],
        in_width: x.shape[2],
        out_rows: y.rows,
        out_width: y.shape[2],
        ratio_h: ratio[0],
        ratio_w: ratio[1],
        columns,
      },
      grid: [gx, gy, x.images] as const,
    };
    if (mode === 'nearest') return [launch(nearestShader, common)];
    return [launch(bilinearShader, { ...common, consts: { CORNERS: alignCorners ? 1 : 0 }, flops: 9 * y.size })];
  },
};

function resize(x: Tensor, mode: ResizeAttributes['mode'], target: ResizeTarget, alignCorners: boolean): Tensor {
  const input: Pair = [x.shape[1], x.shape[2]];
  const size: Pair = 'size' in target ? target.size : [Math.floor(input[0] * target.scale), Math.floor(input[1] * target.scale)];
  const ratioOf = (i: 0 | 1): number => {
    if (alignCorners) return size[i] > 1 ? (input[i] - 1) / (size[i] - 1) : 0;
    return 'scale' in target ? 1 / target.scale : input[i] / size[i];
  };
  return x.graph.add(resizeOperation, [x], { mode, alignCorners, size, ratio: [ratioOf(0), ratioOf(1)] })[0];
}

/** Each pixel of the result is the input's pixel above and left of its place (torch's 'nearest'). @throws BackdropError E_SHAPE */
export function resizeNearest(x: Tensor, target: ResizeTarget): Tensor {
  return resize(x, 'nearest', target, false);
}

/** Each pixel of the result is interpolated between four of the input. @throws BackdropError E_SHAPE */
export function resizeBilinear(x: Tensor, target: ResizeTarget & { alignCorners?: boolean }): Tensor {
  return resize(x, 'bilinear', target, target.alignCorners ?? false);
}
