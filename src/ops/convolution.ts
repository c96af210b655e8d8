/** What convolutions and their gradients share: attributes, and how an output is cut into threads. */
import type { Tensor } from '../graph/graph.ts';

export interface Conv2dOptions {
  /** [height, width] */
  kernel: readonly [number, number];
  stride?: readonly [number, number];
  padding?: readonly [number, number];
  dilation?: readonly [number, number];
  groups?: number;
}

export interface Conv2dAttributes extends Required<Conv2dOptions> {
  /** A linear layer: rows of the input are pixels of a one-row image. */
  flat: boolean;
}

export const flat: Conv2dAttributes = { kernel: [1, 1], stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, flat: true };

/** Weights of a depthwise convolution are [kh * kw, multiplier, channels]: output channel j * channels + c. */
export function isDepthwise({ groups }: Conv2dAttributes, inputChannels: number): boolean {
  return groups > 1 && groups === inputChannels;
}

/** The uniform values that a convolution's kernels call by the same names. */
export function windowParams(a: Conv2dAttributes) {
  return {
    kernel_h: a.kernel[0],
    kernel_w: a.kernel[1],
    stride_h: a.stride[0],
    stride_w: a.stride[1],
    pad_h: a.padding[0],
    pad_w: a.padding[1],
    dilation_h: a.dilation[0],
    dilation_w: a.dilation[1],
  };
}

/** [height, width] of a map; a linear layer's rows are one line. */
export function mapSize(tensor: Tensor, { flat }: Conv2dAttributes): [number, number] {
  return flat ? [1, tensor.rows] : [tensor.shape[1], tensor.shape[2]];
}

export interface ThreadTile {
  /** Rows and columns (vec4f) of the output that one thread computes. */
  rows: number;
  columns: number;
  /** Bounds of COLUMN_LANES, the threads that share rows. */
  least?: number;
  widest: number;
}

export const QUADS: ThreadTile = { rows: 16, columns: 1, least: 4, widest: 16 };
export const REGISTERS: ThreadTile = { rows: 8, columns: 2, widest: 8 };

/** Workgroups of 64 threads for `rows` x n columns (vec4f), with no more lanes across than it has columns for. */
export function tiles(
  rows: number,
  n: number,
  depth: number,
  tile: ThreadTile,
): { grid: [number, number, number]; constants: { COLUMN_LANES: number } } {
  let lanes = tile.least ?? 1;
  while (lanes < tile.widest && lanes * tile.columns < n) lanes *= 2;
  const high = (64 / lanes) * tile.rows;
  return { grid: [Math.ceil(rows / high), Math.ceil(n / (lanes * tile.columns)), depth], constants: { COLUMN_LANES: lanes } };
}
