/** Pooling over windows of a map, with torch's sizes and divisors. */

import poolShader from '../../shaders/pool/pool.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { reduceRows } from './reduce.ts';

type Pair = readonly [number, number];

export interface PoolOptions {
  /** [height, width] */
  kernel: Pair;
  /** The kernel's size when left out. */
  stride?: Pair;
  /** At most half of the kernel. */
  padding?: Pair;
  /** Keeps a last window that hangs over the edge. */
  ceilMode?: boolean;
}

export interface AvgPoolOptions extends PoolOptions {
  /** Divides by the window's size, padding included (the default, as in torch). */
  countIncludePad?: boolean;
}

export interface PoolAttributes extends Required<AvgPoolOptions> {
  average: boolean;
}

/** With `ceilMode` a window more, unless it would begin behind the image and its left padding. */
function outputSize(input: number, kernel: number, stride: number, padding: number, ceilMode: boolean): number {
  const steps = (input + 2 * padding - kernel) / stride;
  if (!ceilMode) return Math.floor(steps) + 1;
  const size = Math.ceil(steps) + 1;
  return (size - 1) * stride >= input + padding ? size - 1 : size;
}

export const poolOperation: Operation<PoolAttributes> = {
  name: 'pool',
  again: true,

  infer([x], { average, kernel, stride, padding, ceilMode }) {
    const name = average ? 'avgPool2d' : 'maxPool2d';
    if (x.shape.length !== 4) throw shapeError(name, `input ${show(x.shape)} is not [batch, height, width, channels]`);
    if (padding.some((p, i) => p * 2 > kernel[i]))
      throw shapeError(name, `padding ${padding.join('x')} is more than half of the kernel ${kernel.join('x')}`);
    const [height, width] = [0, 1].map((i) => outputSize(x.shape[1 + i], kernel[i], stride[i], padding[i], ceilMode));
    if (height < 1 || width < 1) throw shapeError(name, `input ${show(x.shape)} is smaller than the kernel ${kernel.join('x')}`);
    return [{ shape: [x.shape[0], height, width, x.shape[3]] }];
  },

  lower({ inputs: [x], outputs: [y], attributes: a }) {
    const unit: Unit = inVectors(x) && inVectors(y) ? 4 : 1;
    const columns = y.columns / unit;
    const [gx, gy] = fold(Math.ceil((y.rows * columns) / 64));
    return [
      launch(poolShader, {
        label: a.average ? 'average' : 'max',
        ...elements(unit),
        consts: { AVERAGE: a.average ? 1 : 0, COUNT_PAD: a.countIncludePad ? 1 : 0 },
        bind: { x, y },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('y', y, unit),
          in_height: x.shape[1],
          in_width: x.shape[2],
          out_rows: y.rows,
          out_width: y.shape[2],
          kernel_h: a.kernel[0],
          kernel_w: a.kernel[1],
          stride_h: a.stride[0],
          stride_w: a.stride[1],
          pad_h: a.padding[0],
          pad_w: a.padding[1],
          columns,
        },
        grid: [gx, gy, x.images],
        flops: y.size * a.kernel[0] * a.kernel[1],
      }),
    ];
  },
};

function pool(x: Tensor, options: AvgPoolOptions, average: boolean): Tensor {
  const { kernel, stride = kernel, padding = [0, 0], ceilMode = false, countIncludePad = true } = options;
  return x.graph.add(poolOperation, [x], { kernel, stride, padding, ceilMode, countIncludePad, average })[0];
}

/** The largest value of each window of x [batch, height, width, channels]; padding never wins. @throws BackdropError E_SHAPE */
export function maxPool2d(x: Tensor, options: PoolOptions): Tensor {
  return pool(x, options, false);
}

/** The mean of each window of x [batch, height, width, channels]. @throws BackdropError E_SHAPE */
export function avgPool2d(x: Tensor, options: AvgPoolOptions): Tensor {
  return pool(x, options, true);
}

/** The mean of each channel of x [batch, height, width, channels]: [batch, 1, 1, channels]. */
export function globalAvgPool(x: Tensor): Tensor {
  return reduceRows(x, 'mean').viewAs([x.images, 1, 1, x.columns]);
}
