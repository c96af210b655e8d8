/** Gradients of the pieces of a receptive-field CBAM convolution. */

import spatialShader from '../../shaders/rfcbam/spatial-gradient.wgsl';
import spatialWeights from '../../shaders/rfcbam/spatial-weights.wgsl';
import statisticsShader from '../../shaders/rfcbam/statistics-gradient.wgsl';
import weighChannels from '../../shaders/rfcbam/weigh-channels.wgsl';
import weighShader from '../../shaders/rfcbam/weigh-gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import { derivative } from '../graph/differentiate.ts';
import type { Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { linear } from './conv2d.ts';
import { conv2dDataGradient, conv2dWeightGradient } from './conv2d-gradient.ts';
import { flat } from './convolution.ts';
import { mul, pointwise, rows, scale, sumToShape } from './pointwise.ts';
import { chunkOf, reduceRows, rowsDispatch } from './reduce.ts';
import { reshape } from './reshape.ts';
import { pairs, sideOf, tapRows, weighDispatch } from './rfcbam.ts';

/** The gradient of what goes into a sigmoid whose result is y. */
const insideSigmoid = (y: Tensor, g: Tensor): Tensor => mul(g, mul(y, scale(y, -1, 1)));

/** The perceptron is small: its layers are computed again and differentiated one by one. */
export const channelAttentionGradient: GradientRule<null> = ({ inputs: [x, fc1, fc2], outputs: [y] }, [gradient], wanted) => {
  const mean = reduceRows(x, 'mean');
  const hidden = linear(mean, fc1, null);
  const du = insideSigmoid(y, gradient!);
  const unit = pointwise(rows.relu, [hidden]);
  const dHidden = pointwise(derivative(rows.relu, 0), [hidden, conv2dDataGradient(du, fc2, hidden.shape, flat)]);
  return [
    wanted[0] ? pointwise(rows.repeated, [x, conv2dDataGradient(dHidden, fc1, mean.shape, flat)], [1 / x.rows]) : null,
    wanted[1] ? conv2dWeightGradient(mean, dHidden, fc1.shape, flat) : null,
    wanted[2] ? conv2dWeightGradient(unit, du, fc2.shape, flat) : null,
  ];
};

const statisticsGradientOperation: Operation<{ channels: number }> = {
  name: 'rfStatisticsGradient',
  infer: ([g]) => [{ shape: g.shape }],

  lower({ inputs: [g, dy], outputs: [dg], attributes: { channels } }) {
    const side = sideOf(g, channels);
    const [gx, gy] = fold(Math.ceil((g.rows * side * side) / 64));
    return [
      launch(statisticsShader, {
        bind: { g, dy, dg },
        params: {
          ...layoutParams('g', g, 1),
          ...layoutParams('dg', dg, 1),
          ...layoutParams('dy', dy, 1),
          height: g.shape[1],
          width: g.shape[2],
          side,
          channels,
          scale: 1 / channels,
        },
        grid: [gx, gy, g.images],
        flops: 2 * g.size,
      }),
    ];
  },
};

/** Of equal channels the lowest gets the maximum's gradient. */
export const rfStatisticsGradient: GradientRule<{ channels: number }> = ({ inputs: [g], attributes }, [gradient]) =>
  g.graph.add(statisticsGradientOperation, [g, gradient!], attributes);

/** From the gradient du of what goes into the sigmoid (dense): those of the statistics and, [1, 1, 18], of the weights. */
const spatialGradientOperation: Operation<null> = {
  name: 'rfSpatialGradient',
  infer: ([, x]) => [{ shape: x.shape }, { shape: [1, 1, 18] }],

  lower({ inputs: [du, x, w], outputs: [dx, dw] }, context) {
    const [, height, width] = x.shape;
    const [gx, gy] = fold(Math.ceil(x.rows / 64));
    const pixels = x.images * x.rows;
    const chunk = chunkOf(pixels);
    const chunks = Math.ceil(pixels / chunk);
    const sums = context.temporary([1, chunks, 18]);
    const [cx, cy] = fold(Math.ceil((18 * chunks) / 64));
    return [
      launch(spatialShader, {
        label: 'statistics',
        bind: { du, w, dx },
        params: { ...layoutParams('dx', dx, 1), height, width },
        grid: [gx, gy, x.images],
        flops: 36 * pixels,
      }),
      launch(spatialWeights, {
        label: 'weights',
        bind: { du, x, sums },
        params: { ...layoutParams('x', x, 1), images: x.images, height, width, chunk, chunks },
        grid: [cx, cy, 1],
        flops: 36 * pixels,
      }),
      rowsDispatch(sums, dw),
    ];
  },
};

function spatialGradients(du: Tensor, x: Tensor, w: Tensor): [Tensor, Tensor] {
  const [dx, dw] = x.graph.add(spatialGradientOperation, [du, x, w], null);
  return [dx, reshape(dw, w.shape)];
}

export const rfSpatialGradient: GradientRule<null> = ({ inputs: [x, w], outputs: [y] }, [gradient]) =>
  spatialGradients(insideSigmoid(y, gradient!), x, w);

/** The weighed expansion by itself, as the fusing convolution's weights need it. */
const weighOperation: Operation<null> = {
  name: 'rfWeigh',
  infer: ([g]) => [{ shape: g.shape }],
  lower: ({ inputs, outputs: [z] }) => [weighDispatch(inputs, z)],
};

/** From the gradient of the weighed expansion: those of g, of what goes into the spatial sigmoid, and of the channel attention. */
const weighGradientOperation: Operation<null> = {
  name: 'rfWeighGradient',
  infer: ([g, ca, x]) => [{ shape: g.shape }, { shape: [...x.shape.slice(0, 3), 1] }, { shape: ca.shape }],

  lower({ inputs: [g, ca, x, kernel, dz], outputs: [dg, du, dca] }, context) {
    const side = sideOf(g, ca.columns);
    const taps = side * side;
    const unit: Unit = ca.columns % 4 === 0 && [g, ca, dz, dg].every(inVectors) ? 4 : 1;
    const channels = ca.columns / unit;
    const count = g.rows * taps;
    const sa = context.temporary([g.images, count, 1]);
    const chunk = chunkOf(count);
    const chunks = Math.ceil(count / chunk);
    const sums = context.temporary([g.images, chunks, ca.columns]);
    const [gx, gy] = fold(Math.ceil(count / 64));
    const [cx, cy] = fold(Math.ceil((channels * chunks) / 64));
    const { ca_offset, ca_batch } = layoutParams('ca', ca, unit);
    const walked = { ...layoutParams('g', g, unit), ...layoutParams('dz', dz, unit), channels };
    return [
      launch(weighShader, {
        label: 'expansion',
        ...elements(unit, ['total']),
        bind: { g, ca, x, w: kernel, dz, dg, du, sa },
        params: {
          ...walked,
          ...layoutParams('dg', dg, unit),
          ...pairs('x', x),
          ca_offset,
          ca_batch,
          height: g.shape[1],
          width: g.shape[2],
          side,
        },
        grid: [gx, gy, g.images],
        flops: 4 * g.size,
      }),
      launch(weighChannels, {
        label: 'channels',
        ...elements(unit),
        bind: { g, dz, sa, sums },
        params: { ...walked, count, taps, chunk, chunks },
        grid: [cx, cy, g.images],
        flops: 3 * g.size,
      }),
      rowsDispatch(sums, dca),
    ];
  },
};

export const rfFuseGradient: GradientRule<null> = ({ inputs: [g, ca, x, kernel, w, bias] }, [gradient], wanted) => {
  const { graph } = g;
  const weights = tapRows(g, w).viewAs([1, g.columns, w.columns]);
  const dz = conv2dDataGradient(gradient!, weights, g.shape, flat);
  const [dg, du, dca] = graph.add(weighGradientOperation, [g, ca, x, kernel, dz], null);
  const [dx, dKernel] = wanted[2] || wanted[3] ? spatialGradients(du, x, kernel) : [null, null];
  const weighed = () => graph.add(weighOperation, [g, ca, x, kernel], null)[0];
  return [
    dg,
    dca,
    dx,
    dKernel,
    wanted[4] ? reshape(conv2dWeightGradient(weighed(), gradient!, weights.shape, flat), w.shape) : null,
    wanted[5] ? sumToShape(gradient!, bias.shape) : null,
  ];
};
