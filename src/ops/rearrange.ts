/** Pixels into channels and back. */

import unfoldShader from '../../shaders/copy/unfold.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, layoutParams } from './common.ts';
import { copy } from './reshape.ts';

/**
 * torch's pixel_shuffle: channel c * factor^2 + i * factor + j of pixel (y, x) becomes channel c of pixel (y * factor + i, x * factor + j).
 * x [batch, height, width, channels * factor^2] to [batch, height * factor, width * factor, channels]. @throws BackdropError E_SHAPE
 */
export function pixelShuffle(x: Tensor, factor: number): Tensor {
  const [n, h, w, all] = x.shape;
  const taps = factor * factor;
  if (x.shape.length !== 4 || all % taps !== 0) throw shapeError('pixelShuffle', `${show(x.shape)} by ${factor}`);
  const c = all / taps;
  // [pixels, c, taps] to [pixels, taps, c], then [lines, width, i, j and c] to [lines, i, width, j and c].
  const inner = copy(x, [n, h, w, all], { sizes: [1, n * h * w, taps, c], strides: [0, all, 1, taps] });
  const line = factor * c;
  return copy(inner, [n, h * factor, w * factor, c], { sizes: [n * h, factor, w, line], strides: [w * all, line, all, 1] });
}

/** The inverse of pixelShuffle: [batch, height, width, channels] to [batch, height / factor, width / factor, channels * factor^2]. @throws BackdropError E_SHAPE */
export function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  const [n, height, width, c] = x.shape;
  if (x.shape.length !== 4 || height % factor !== 0 || width % factor !== 0)
    throw shapeError('pixelUnshuffle', `${show(x.shape)} by ${factor}`);
  const [h, w, taps] = [height / factor, width / factor, factor * factor];
  const line = factor * c;
  const outer = copy(x, [n, h, w, taps * c], { sizes: [n * h, w, factor, line], strides: [factor * width * c, line, width * c, 1] });
  return copy(outer, [n, h, w, taps * c], { sizes: [1, n * h * w, c, taps], strides: [0, taps * c, 1, c] });
}

type Pair = readonly [number, number];

export interface UnfoldOptions {
  /** [height, width] */
  kernel: Pair;
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
}

export const unfoldOperation: Operation<Required<UnfoldOptions>> = {
  name: 'unfold',
  again: true,

  infer([x], { kernel, stride, padding, dilation }) {
    if (x.shape.length !== 4) throw shapeError('unfold', `input ${show(x.shape)} is not [batch, height, width, channels]`);
    const size = [0, 1].map((i) => Math.floor((x.shape[1 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1);
    if (size.some((n) => n < 1)) throw shapeError('unfold', `input ${show(x.shape)} is smaller than the kernel ${kernel.join('x')}`);
    return [{ shape: [x.shape[0], ...size, kernel[0] * kernel[1] * x.shape[3]] }];
  },

  lower({ inputs: [x], outputs: [y], attributes: { kernel, stride, padding, dilation } }) {
    const [gx, gy] = fold(Math.ceil((y.rows * y.columns) / 64));
    return [
      launch(unfoldShader, {
        bind: { x, y },
        params: {
          ...layoutParams('x', x, 1),
          ...layoutParams('y', y, 1),
          in_height: x.shape[1],
          in_width: x.shape[2],
          channels: x.columns,
          out_rows: y.rows,
          out_width: y.shape[2],
          kernel_h: kernel[0],
          kernel_w: kernel[1],
          stride_h: stride[0],
          stride_w: stride[1],
          pad_h: padding[0],
          pad_w: padding[1],
          dilation_h: dilation[0],
          dilation_w: dilation[1],
        },
        grid: [gx, gy, y.images],
      }),
    ];
  },
};

/**
 * Each window of x [batch, height, width, channels] as one pixel's channels: [batch, out height, out width, kernel height * kernel
 * width * channels], taps in row-major order (torch.nn.Unfold has the channels outside the taps). @throws BackdropError E_SHAPE
 */
export function unfold(x: Tensor, { kernel, stride = [1, 1], padding = [0, 0], dilation = [1, 1] }: UnfoldOptions): Tensor {
  return x.graph.add(unfoldOperation, [x], { kernel, stride, padding, dilation })[0];
}
