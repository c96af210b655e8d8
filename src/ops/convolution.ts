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
  /** COLUMN_LANES, the threads that share rows: a multiple of `unit`, at most `widest`. */
  unit: number;
  widest: number;
}

export const QUADS: ThreadTile = { rows: 16, columns: 1, unit: 4, widest: 16 };
export const REGISTERS: ThreadTile = { rows: 8, columns: 2, unit: 1, widest: 8 };

/** Threads in blocks of equal width for n columns (vec4f), as few in a block as do. */
export function columnLanes(n: number, { columns, unit, widest }: ThreadTile): { blocks: number; lanes: number } {
  const units = Math.ceil(n / (columns * unit));
  const blocks = Math.ceil((units * unit) / widest);
  return { blocks, lanes: Math.ceil(units / blocks) * unit };
}

/** Workgroups of up to 64 threads for `rows` x n columns (vec4f), with no more threads than there is work for. */
export function tiles(rows: number, n: number, depth: number, tile: ThreadTile) {
  const { blocks, lanes } = columnLanes(n, tile);
  const high = Math.ceil(rows / tile.rows);
  const most = Math.floor(64 / lanes);
  const grid: [number, number, number] = [Math.ceil(high / most), blocks, depth];
  return { grid, constants: { COLUMN_LANES: lanes, ROW_TILES: Math.min(high, most) } };
}
