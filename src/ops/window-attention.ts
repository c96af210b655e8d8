/**
 * Attention inside windows of a map (Swin's, arXiv 2103.14030 §3.2), cut out by index arithmetic: the kernels are attention's,
 * and their hooks say where a window's tokens lie.
 */

import { type Node, type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { type AttentionLaunch, launchAttention } from './attention.ts';

export interface WindowAttentionOptions {
  heads: number;
  headDim: number;
  /** Side of a window; the map is padded right and below to multiples of it. */
  window: number;
  /** The padded map is rolled up and left by this many cells before it is cut. 0 when left out. */
  shift?: number;
  /** 1 where a cell is padding of the batch, which no query sees: [batch, height, width]. */
  pad?: Tensor | null;
}

export interface WindowAttributes {
  heads: number;
  window: number;
  shift: number;
  table: boolean;
  pad: boolean;
}

const windowFunctions = /* wgsl */ `
// Which third of a rolled, padded axis of n cells: before the last window, in it, and in it but rolled over the edge.
fn window_region(at: u32, n: u32) -> u32 {
  return select(0u, 1u, at >= n - params.window) + select(0u, 1u, at >= n - params.shift);
}

// Cell index (row by row) of window sequence. Cells outside the map read its last row or column and are hidden.
fn window_token(sequence: u32, index: u32) -> Token {
  let of_image = vec2u(params.windows_y, params.windows_x);
  let image = sequence / (of_image.x * of_image.y);
  let number = sequence - image * of_image.x * of_image.y;
  let row = index / params.window;
  let local = vec2u(row, index - row * params.window);
  let window_row = number / params.windows_x;
  let rolled = vec2u(window_row, number - window_row * params.windows_x) * params.window + local;
  let size = of_image * params.window;
  let moved = rolled + vec2u(params.shift);
  let at = select(moved, moved - size, moved >= size);
  let map = vec2u(params.map_height, params.map_width);
  let inside = (at.x < map.x) & (at.y < map.y);
  let near = min(at, map - 1u);
  return Token(
    image,
    near.x * params.map_width + near.y,
    local.x * (2u * params.window - 1u) + local.y,
    window_region(rolled.x, size.x) * 3u + window_region(rolled.y, size.y),
    select(-1e9, window_hidden(image, near), inside),
    inside,
  );
}

// Keys that are padding or of another region are hidden. Large and finite: a window without any key gives finite values.
fn window_mask(query: Token, key: Token) -> f32 {
  return min(key.hidden, select(-1e9, 0.0, query.region == key.region));
}

// Row (ya - yb + w - 1) * (2 w - 1) + (xa - xb + w - 1) of the table [(2 w - 1)^2, heads] of relative positions.
fn window_bias(head: u32, query: Token, key: Token) -> f32 {
  return mask[params.mask_offset + (query.cell + 2u * params.window * (params.window - 1u) - key.cell) * params.mask_pitch + head];
}
`;

const noPadding = 'fn window_hidden(image: u32, at: vec2u) -> f32 { return 0.0; }';
const padding = `fn window_hidden(image: u32, at: vec2u) -> f32 {
  let p = padding[params.padding_offset + image * params.padding_batch + at.x * params.padding_pitch + at.y];
  return select(0.0, -1e9, p > 0.5);
}`;

export const windowAttentionOperation: Operation<WindowAttributes> = {
  name: 'windowAttention',

  infer([qkv, ...rest], { heads, window, shift, table, pad }) {
    const wrong = (what: string) => shapeError('window attention', what);
    const [n, h, w] = qkv.shape;
    if (qkv.shape.length !== 4) throw wrong(`input ${show(qkv.shape)} is not [batch, height, width, 3 * heads * columns]`);
    if (qkv.columns % (3 * heads) !== 0) throw wrong(`${qkv.columns} columns are no queries, keys and values of ${heads} heads`);
    if (!(window >= 1 && shift >= 0 && shift < window)) throw wrong(`shift ${shift} is not inside a window of ${window}`);
    const side = 2 * window - 1;
    if (table && (rest[0].rows !== side * side || rest[0].columns !== heads || rest[0].images !== 1))
      throw wrong(`bias is ${show(rest[0].shape)}, windows of ${window} and ${heads} heads need [${side * side}, ${heads}]`);
    const given = rest[table ? 1 : 0];
    if (pad && (given.shape.length !== 3 || given.shape[0] !== n || given.shape[1] !== h || given.shape[2] !== w))
      throw wrong(`pad is ${show(given.shape)}, expected [${n}, ${h}, ${w}]`);
    return [{ shape: [n, h, w, qkv.columns / 3] }];
  },

  lower(node, { target }) {
    return [launchAttention({ ...windowLaunch(node), y: node.outputs[0] }, target)];
  },
};

/** What attention's kernels are told of windows, whether forwards or backwards. */
export function windowLaunch({ inputs: [qkv, ...rest], attributes }: Node<WindowAttributes>): Omit<AttentionLaunch, 'y'> {
  const { heads, window, shift, table, pad } = attributes;
  const [n, height, width] = qkv.shape;
  const columns = qkv.columns / 3;
  const [windowsY, windowsX] = [Math.ceil(height / window), Math.ceil(width / window)];
  const bias = table ? rest[0] : null;
  return {
    q: qkv.columnsFrom(0, columns),
    k: qkv.columnsFrom(columns, columns),
    v: qkv.columnsFrom(2 * columns, columns),
    heads,
    scale: 1 / Math.sqrt(columns / heads),
    sequences: n * windowsY * windowsX,
    queries: window * window,
    keys: window * window,
    ...(bias && { mask: { tensor: bias, offset: bias.layout().offset, pitch: bias.layout().pitch, head: 0, batch: 0 } }),
    ...(pad && { padding: rest[table ? 1 : 0] }),
    windows: { window, shift, map_height: height, map_width: width, windows_x: windowsX, windows_y: windowsY },
    hooks: {
      locate: 'return window_token(sequence, index);',
      bias: `return window_mask(query, key)${table ? ' + window_bias(head, query, key)' : ''};`,
    },
    library: `${windowFunctions}${pad ? padding : noPadding}`,
  };
}

/**
 * softmax(q k^T / sqrt(headDim) + bias) v among the cells of each window: qkv [batch, height, width, 3 * heads * headDim] (all
 * queries, then keys, then values; head by head), bias [(2 window - 1)^2, heads] by relative position, or null. Cells that
 * pad the map or the batch are seen by no query, so their keys and values do not matter; what stands at batch padding in
 * the result is unspecified. Result [batch, height, width, heads * headDim].
 * @throws BackdropError E_SHAPE
 */
export function windowAttention(qkv: Tensor, bias: Tensor | null, options: WindowAttentionOptions): Tensor {
  const { heads, headDim, window, shift = 0, pad = null } = options;
  if (qkv.columns !== 3 * heads * headDim)
    throw shapeError('window attention', `${qkv.columns} columns are not 3 * ${heads} heads of ${headDim}`);
  const inputs = [qkv, bias, pad].filter((t) => t !== null);
  return qkv.graph.add(windowAttentionOperation, inputs, { heads, window, shift, table: bias !== null, pad: pad !== null })[0];
}
