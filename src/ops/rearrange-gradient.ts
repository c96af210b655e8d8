/** Gradient of unfolding; pixel shuffles are copies, which have theirs. */
import foldShader from '../../shaders/copy/fold.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, layoutParams } from './common.ts';
import type { UnfoldOptions } from './rearrange.ts';

interface Attributes extends Required<UnfoldOptions> {
  /** Of the map. */
  shape: readonly number[];
  /** Windows below and beside each other. */
  windows: readonly number[];
}

const foldOperation: Operation<Attributes> = {
  name: 'fold',
  infer: (_inputs, { shape }) => [{ shape }],

  lower({ inputs: [g], outputs: [dx], attributes: { kernel, stride, padding, dilation, windows } }) {
    const [gx, gy] = fold(Math.ceil((dx.rows * dx.columns) / 64));
    return [
      launch(foldShader, {
        bind: { g, dx },
        params: {
          ...layoutParams('g', g, 1),
          ...layoutParams('dx', dx, 1),
          in_height: dx.shape[1],
          in_width: dx.shape[2],
          channels: dx.columns,
          out_height: windows[0],
          out_width: windows[1],
          kernel_h: kernel[0],
          kernel_w: kernel[1],
          stride_h: stride[0],
          stride_w: stride[1],
          pad_h: padding[0],
          pad_w: padding[1],
          dilation_h: dilation[0],
          dilation_w: dilation[1],
        },
        grid: [gx, gy, dx.images],
      }),
    ];
  },
};

export const unfoldGradient: GradientRule<Required<UnfoldOptions>> = ({ inputs: [x], outputs: [y], attributes }, [gradient]) =>
  x.graph.add(foldOperation, [gradient!], { ...attributes, shape: x.shape, windows: y.shape.slice(1, 3) });
