/**
 * The pieces of a receptive-field CBAM convolution (RFAConv, arXiv 2304.03198) at inference. The expansion g gives every cell
 * kernel² taps of C channels, tap by tap: a depthwise convolution's output. `fuse` has stride = kernel, so it is a matrix product
 * over taps and channels of g weighed by both attentions, and nothing is ever shuffled but the statistics.
 */

import rowsShader from '../../shaders/reduce/rows.wgsl';
import channelShader from '../../shaders/rfcbam/channel-attention.wgsl';
import spatialShader from '../../shaders/rfcbam/spatial.wgsl';
import statisticsShader from '../../shaders/rfcbam/statistics.wgsl';
import weighShader from '../../shaders/rfcbam/weigh.wgsl';
import { type Dispatch, type Node, type Operation, shapeError, show, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { linearDispatches, zeros } from './conv2d.ts';

/** Side of the receptive field: g has side² taps. */
export function sideOf(g: Tensor, channels: number): number {
  const side = Math.round(Math.sqrt(g.columns / channels));
  if (g.shape.length !== 4 || side * side * channels !== g.columns)
    throw shapeError('rfcbam', `${show(g.shape)} is not [batch, height, width, taps * ${channels}] with a square number of taps`);
  return side;
}

export const channelAttentionOperation: Operation<null> = {
  name: 'channelAttention',

  infer([x, fc1, fc2]) {
    if (fc1.rows !== x.columns || fc2.columns !== x.columns || fc2.rows !== fc1.columns)
      throw shapeError('channelAttention', `${show(x.shape)} with weights ${show(fc1.shape)} and ${show(fc2.shape)}`);
    return [{ shape: [x.images, 1, x.columns] }];
  },

  lower({ inputs: [x, fc1, fc2], outputs: [y] }, context) {
    const chunk = Math.max(32, Math.ceil(Math.sqrt(x.rows)));
    const chunks = Math.ceil(x.rows / chunk);
    const sums = context.temporary([x.images, chunks, x.columns]);
    const unit: Unit = inVectors(x) && inVectors(sums) ? 4 : 1;
    const [gx, gy] = fold(Math.ceil(((x.columns / unit) * chunks) / 64));
    const from = layoutParams('sums', sums, 1);
    const { y_offset, y_batch } = layoutParams('y', y, 1);
    return [
      launch(rowsShader, {
        label: 'sums',
        ...elements(unit),
        consts: { KIND: 0, FIRST: 1, LAST: 0 },
        bind: { x, y: sums },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('y', sums, unit),
          rows: x.rows,
          columns: x.columns / unit,
          chunk,
          chunks,
          factor: 1,
        },
        grid: [gx, gy, x.images],
        flops: x.size,
      }),
      launch(channelShader, {
        label: 'perceptron',
        consts: { CHANNELS: x.columns, HIDDEN: fc1.columns },
        bind: { sums, fc1, fc2, y },
        params: { ...from, y_offset, y_batch, chunks, scale: 1 / x.rows },
        grid: [x.images, 1, 1],
        flops: 4 * x.images * fc1.size,
      }),
    ];
  },
};

/**
 * sigmoid(fc2(relu(fc1(mean of x over its pixels)))): x [batch, height, width, C], fc1 [1, C, hidden], fc2 [1, hidden, C]; [batch, 1, C].
 * @throws BackdropError E_SHAPE
 */
export function channelAttention(x: Tensor, fc1: Tensor, fc2: Tensor): Tensor {
  return x.graph.add(channelAttentionOperation, [x, fc1, fc2], null)[0];
}

export const rfStatisticsOperation: Operation<{ channels: number }> = {
  name: 'rfStatistics',

  infer([g], { channels }) {
    const side = sideOf(g, channels);
    return [{ shape: [g.shape[0], g.shape[1] * side, g.shape[2] * side, 2] }];
  },

  lower({ inputs: [g], outputs: [y], attributes: { channels } }) {
    const side = sideOf(g, channels);
    const unit: Unit = inVectors(g) && channels % 4 === 0 ? 4 : 1;
    const [gx, gy] = fold(Math.ceil(y.rows / 64));
    return [
      launch(statisticsShader, {
        ...elements(unit, ['total', 'largest']),
        bind: { g, y },
        params: {
          ...layoutParams('g', g, unit),
          ...pairs('y', y),
          height: g.shape[1],
          width: g.shape[2],
          side,
          channels: channels / unit,
          scale: 1 / channels,
        },
        grid: [gx, gy, g.images],
        flops: 2 * g.size,
      }),
    ];
  },
};

/** A dense tensor of two columns, in pairs. */
export function pairs<N extends string>(name: N, tensor: Tensor): Record<`${N}_offset` | `${N}_pitch` | `${N}_batch`, number> {
  const { offset, pitch, batch } = tensor.layout();
  const fields = { [`${name}_offset`]: offset / 2, [`${name}_pitch`]: pitch / 2, [`${name}_batch`]: batch / 2 };
  return fields as Record<`${N}_offset` | `${N}_pitch` | `${N}_batch`, number>;
}

/**
 * Maximum and mean over the channels of g [batch, h, w, side² * channels], tap by tap, laid out by pixel shuffle:
 * [batch, h * side, w * side, 2].
 * @throws BackdropError E_SHAPE
 */
export function rfStatistics(g: Tensor, channels: number): Tensor {
  return g.graph.add(rfStatisticsOperation, [g], { channels })[0];
}

export const rfSpatialOperation: Operation<null> = {
  name: 'rfSpatial',

  infer([x, w]) {
    if (x.shape.length !== 4 || x.columns !== 2 || w.size !== 18)
      throw shapeError('rfSpatial', `statistics ${show(x.shape)} with weights ${show(w.shape)}, expected [.., .., .., 2] and [9, 2, 1]`);
    return [{ shape: [...x.shape.slice(0, 3), 1] }];
  },

  lower({ inputs: [x, w], outputs: [y] }) {
    const [gx, gy] = fold(Math.ceil(x.rows / 64));
    return [
      launch(spatialShader, {
        bind: { x, w, y },
        params: { ...pairs('x', x), ...layoutParams('y', y, 1), height: x.shape[1], width: x.shape[2] },
        grid: [gx, gy, x.images],
        flops: 36 * x.rows * x.images,
      }),
    ];
  },
};

/**
 * Spatial attention from rfStatistics's [batch, h * side, w * side, 2]: sigmoid of a 3x3 convolution with weights [9, 2, 1] and
 * padding 1, [batch, h * side, w * side, 1]. Costs nothing where only rfFuse uses it.
 * @throws BackdropError E_SHAPE
 */
export function rfSpatial(statistics: Tensor, weight: Tensor): Tensor {
  return statistics.graph.add(rfSpatialOperation, [statistics, weight], null)[0];
}

export const rfFuseOperation: Operation<null> = {
  name: 'rfFuse',
  maxExtras: 4,
  fusesEpilogue: () => true,

  infer([g, ca, x, , w]) {
    const [n, h, wide] = g.shape;
    const side = sideOf(g, ca.columns);
    if (ca.images !== n || ca.rows !== 1 || x.images !== n || x.shape[1] !== h * side || x.shape[2] !== wide * side)
      throw shapeError('rfFuse', `expansion ${show(g.shape)}, channel attention ${show(ca.shape)}, statistics ${show(x.shape)}`);
    if (w.size !== g.columns * w.columns) throw shapeError('rfFuse', `expansion ${show(g.shape)} with weights ${show(w.shape)}`);
    return [{ shape: [n, h, wide, w.columns] }];
  },

  /** Weighs g, then one matrix product over taps and channels. */
  lower(node, context) {
    const [g, ca, x, kernel, w, bias] = node.inputs;
    const z = context.temporary(g.shape);
    return [weighDispatch([g, ca, x, kernel], z), ...linearDispatches(node as Node, [z, tapRows(g, w), bias], context)];
  },
};

/** [taps, C, out] without gaps as [taps * C, out]. */
export function tapRows(g: Tensor, w: Tensor): Tensor {
  return new Tensor(w.graph, [g.columns, w.columns], w.type, w.value, w.row, w.column);
}

/** z: g times both attentions. */
export function weighDispatch([g, ca, x, kernel]: readonly Tensor[], z: Tensor): Dispatch {
  const side = sideOf(g, ca.columns);
  const unit: Unit = ca.columns % 4 === 0 && [g, ca, z].every(inVectors) ? 4 : 1;
  const channels = ca.columns / unit;
  const [gx, gy] = fold(Math.ceil((g.rows * side * side * Math.ceil(channels / 8)) / 64));
  const { ca_offset, ca_batch } = layoutParams('ca', ca, unit);
  return launch(weighShader, {
    label: 'weigh',
    ...elements(unit),
    bind: { g, ca, x, w: kernel, y: z },
    params: {
      ...layoutParams('g', g, unit),
      ...layoutParams('y', z, unit),
      ...pairs('x', x),
      ca_offset,
      ca_batch,
      height: g.shape[1],
      width: g.shape[2],
      side,
      channels,
    },
    grid: [gx, gy, g.images],
    flops: 2 * g.size,
  });
}

/**
 * The fusing convolution, kernel = stride = side: sums g * ca[channel] * sa[pixel] over taps and channels. g [batch, h, w,
 * side² * C], ca [batch, 1, C], sa as rfSpatial gives it, weight [side², C, out], bias [out] or null. Result [batch, h, w, out].
 * @throws BackdropError E_SHAPE
 */
export function rfFuse(g: Tensor, ca: Tensor, sa: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const spatial = sa.producer;
  if (spatial?.operation.name !== 'rfSpatial') throw shapeError('rfFuse', 'the spatial attention must come from rfSpatial');
  const [statistics, kernel] = spatial.inputs;
  return g.graph.add(rfFuseOperation, [g, ca, statistics, kernel, weight, bias ?? zeros(g, weight.columns)], null)[0];
}
