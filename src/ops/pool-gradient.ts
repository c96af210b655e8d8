/** Gradient of pooling. */
import gradientShader from '../../shaders/pool/gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import type { PoolAttributes } from './pool.ts';

const poolGradientOperation: Operation<PoolAttributes> = {
  name: 'poolGradient',
  infer: ([x]) => [{ shape: x.shape }],

  lower({ inputs: [x, y, g], outputs: [dx], attributes: a }) {
    const unit: Unit = [x, y, g, dx].every(inVectors) ? 4 : 1;
    const columns = x.columns / unit;
    const [gx, gy] = fold(Math.ceil((x.rows * columns) / 64));
    return [
      launch(gradientShader, {
        label: a.average ? 'average' : 'max',
        ...elements(unit),
        consts: { AVERAGE: a.average ? 1 : 0, COUNT_PAD: a.countIncludePad ? 1 : 0 },
        bind: { x, y, g, dx },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('y', y, unit),
          ...layoutParams('g', g, unit),
          ...layoutParams('dx', dx, unit),
          in_height: x.shape[1],
          in_width: x.shape[2],
          out_height: y.shape[1],
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

export const poolGradient: GradientRule<PoolAttributes> = ({ inputs: [x], outputs: [y], attributes }, [gradient]) =>
  x.graph.add(poolGradientOperation, [x, y, gradient!], attributes);
