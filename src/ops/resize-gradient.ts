/** Gradient of resizing. */
import gradientShader from '../../shaders/resize/gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import type { ResizeAttributes } from './resize.ts';

interface Attributes extends ResizeAttributes {
  /** Of the input. */
  shape: readonly number[];
}

const resizeGradientOperation: Operation<Attributes> = {
  name: 'resizeGradient',
  infer: (_inputs, { shape }) => [{ shape }],

  lower({ inputs: [g], outputs: [dx], attributes: { mode, alignCorners, ratio, size } }) {
    const unit: Unit = [g, dx].every(inVectors) ? 4 : 1;
    const columns = dx.columns / unit;
    const [gx, gy] = fold(Math.ceil((dx.rows * columns) / 64));
    return [
      launch(gradientShader, {
        label: mode,
        ...elements(unit),
        consts: { MODE: mode === 'nearest' ? 0 : alignCorners ? 2 : 1 },
        bind: { g, dx },
        params: {
          ...layoutParams('g', g, unit),
          ...layoutParams('dx', dx, unit),
          in_height: dx.shape[1],
          in_width: dx.shape[2],
          out_height: size[0],
          out_width: size[1],
          ratio_h: ratio[0],
          ratio_w: ratio[1],
          columns,
        },
        grid: [gx, gy, dx.images],
        flops: 4 * g.size,
      }),
    ];
  },
};

export const resizeGradient: GradientRule<ResizeAttributes> = ({ inputs: [x], attributes }, [gradient]) =>
  x.graph.add(resizeGradientOperation, [gradient!], { ...attributes, shape: x.shape });
