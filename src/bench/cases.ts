/**
 * The operations that the detectors spend their time in, at their shapes: what `bench ops` times and what
 * `bench peers` compares. Data is generated here, and each case knows its result at single places in float64, so that a
 * subject that computes something else is found out.
 */
export interface MatmulCase {
  kind: 'matmul';
  rows: number;
  inner: number;
  columns: number;
}
export interface SoftmaxCase {
  kind: 'softmax';
  batch: number;
  rows: number;
  columns: number;
}
export interface LayerNormCase {
  kind: 'layernorm';
  rows: number;
  columns: number;
}
export interface AttentionCase {
  kind: 'attention';
  heads: number;
  tokens: number;
  width: number;
}
export interface AddCase {
  kind: 'add';
  channels: number;
  size: number;
}
/** A square map, padded by half the kernel. */
export interface ConvCase {
  kind: 'conv';
  kernel: number;
  stride: number;
  input: number;
  output: number;
  size: number;
  /** With bias and ReLU behind it. */
  biasRelu?: boolean;
}

/** The gradient of <convolution, g> with respect to its input (`data`) or its weights, g of the output's shape. */
export interface ConvGradientCase extends Omit<ConvCase, 'kind' | 'biasRelu'> {
  kind: 'convGradient';
  of: 'data' | 'weight';
}

export type OpCase = { name: string } & (MatmulCase | SoftmaxCase | LayerNormCase | AttentionCase | AddCase | ConvCase | ConvGradientCase);

const matmul = (rows: number, inner: number, columns: number): OpCase => ({
  name: `matmul ${rows}x${inner}x${columns}`,
  kind: 'matmul',
  rows,
  inner,
  columns,
});

function conv(kernel: number, stride: number, input: number, output: number, size: number, biasRelu = false): OpCase {
  const name = `conv${kernel}x${kernel}${biasRelu ? '+bias+relu' : `/s${stride}`} ${input}->${output} @${size}`;
  return { name, kind: 'conv', kernel, stride, input, output, size, biasRelu };
}

function convGradient(of: 'data' | 'weight', channels: number, size: number): OpCase {
  const name = `conv_${of[0]}grad 3x3/s1 ${channels}->${channels} @${size}`;
  return { name, kind: 'convGradient', of, kernel: 3, stride: 1, input: channels, output: channels, size };
}

export const opCases: readonly OpCase[] = [
  matmul(256, 256, 256),
  matmul(512, 512, 512),
  matmul(1024, 1024, 1024),
  matmul(400, 256, 1024),
  matmul(300, 256, 256),
  matmul(8400, 256, 256),
  { name: 'softmax 8x400x400', kind: 'softmax', batch: 8, rows: 400, columns: 400 },
  { name: 'layernorm 400x256', kind: 'layernorm', rows: 400, columns: 256 },
  { name: 'attention 8x400x32', kind: 'attention', heads: 8, tokens: 400, width: 32 },
  { name: 'add 64x160x160', kind: 'add', channels: 64, size: 160 },
  conv(3, 2, 3, 32, 640),
  conv(3, 1, 64, 64, 160),
  conv(3, 1, 128, 128, 80),
  conv(3, 1, 256, 256, 40),
  conv(3, 1, 512, 512, 20),
  conv(1, 1, 256, 64, 160),
  conv(1, 1, 64, 256, 160),
  conv(1, 1, 512, 2048, 20),
  conv(3, 1, 64, 64, 160, true),
  convGradient('data', 64, 160),
  convGradient('weight', 64, 160),
  convGradient('data', 256, 40),
  convGradient('weight', 256, 40),
];

export const EPSILON = 1e-5;

/** Floating-point operations as they are usually counted: two a multiply-add; 4, 8 an element of softmax, layer norm. */
export function flopsOf(op: OpCase): number {
  switch (op.kind) {
    case 'matmul':
      return 2 * op.rows * op.inner * op.columns;
    case 'softmax':
      return 5 * op.batch * op.rows * op.columns;
    case 'layernorm':
      return 8 * op.rows * op.columns;
    case 'attention':
      return 4 * op.heads * op.tokens * op.tokens * op.width;
    case 'add':
      return op.channels * op.size * op.size;
    case 'conv':
    case 'convGradient':
      return 2 * outputSize(op) ** 2 * op.output * op.input * op.kernel ** 2;
  }
}

export const outputSize = (op: ConvCase | ConvGradientCase): number => Math.floor((op.size - 1) / op.stride) + 1;

/** The arrays a case reads. Maps are [height, width, channels], attention's arrays [heads, tokens, width], conv weights OIHW. */
export function dataOf(op: OpCase): Record<string, Float32Array> {
  switch (op.kind) {
    case 'matmul':
      return { a: values(op.rows * op.inner, 1), b: values(op.inner * op.columns, 2) };
    case 'softmax':
      return { x: values(op.batch * op.rows * op.columns, 1, 4) };
    case 'layernorm':
      return { x: values(op.rows * op.columns, 1), weight: values(op.columns, 2), bias: values(op.columns, 3) };
    case 'attention': {
      const length = op.heads * op.tokens * op.width;
      return { q: values(length, 1), k: values(length, 2), v: values(length, 3) };
    }
    case 'add': {
      const length = op.channels * op.size ** 2;
      return { a: values(length, 1), b: values(length, 2) };
    }
    case 'conv':
      return {
        x: values(op.size ** 2 * op.input, 1),
        w: values(op.output * op.input * op.kernel ** 2, 2),
        bias: op.biasRelu ? values(op.output, 3) : new Float32Array(op.output),
      };
    case 'convGradient':
      return {
        x: values(op.size ** 2 * op.input, 1),
        w: values(op.output * op.input * op.kernel ** 2, 2),
        g: values(outputSize(op) ** 2 * op.output, 3),
      };
  }
}

/** Uniform values in [-scale, scale), the same on every machine. */
export function values(length: number, seed: number, scale = 1): Float32Array {
  const out = new Float32Array(length);
  let state = seed * 0x9e3779b9;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = (((state >>> 8) / 2 ** 24) * 2 - 1) * scale;
  }
  return out;
}

/** [height, width, channels] to [channels, height, width]: for subjects that want maps in that order. */
export function toPlanes(map: Float32Array, channels: number): Float32Array {
  return transposed(map, map.length / channels, channels);
}

/** And back. */
export function fromPlanes(planes: Float32Array, channels: number): Float32Array {
  return transposed(planes, channels, planes.length / channels);
}

function transposed(from: Float32Array, rows: number, columns: number): Float32Array {
  const to = new Float32Array(from.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
  return to;
}

/** [a, b, width] to [b, a, width]. */
export function swapHeads(from: Float32Array, a: number, b: number, width: number): Float32Array {
  const to = new Float32Array(from.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) to.set(from.subarray((i * b + j) * width, (i * b + j + 1) * width), (j * a + i) * width);
  }
  return to;
}

/** Largest difference of `result` from float64 over `count` places, relative to the largest value there. */
export function errorOf(op: OpCase, data: Record<string, Float32Array>, result: Float32Array, count = 384): number {
  let state = 12345;
  let difference = 0;
  let magnitude = 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    const at = i === 0 ? result.length - 1 : Math.floor(((state >>> 0) / 2 ** 32) * result.length);
    const exact = exactAt(op, data, at);
    magnitude = Math.max(magnitude, Math.abs(exact));
    const off = Math.abs(result[at] - exact);
    difference = Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(difference, off);
  }
  return difference / magnitude;
}

/** The largest difference of two results, relative to the largest value of the second. */
export function differenceOf(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let magnitude = 0;
  for (let i = 0; i < a.length; i++) {
    const off = Math.abs(a[i] - b[i]);
    difference = Number.isNaN(off) ? Number.POSITIVE_INFINITY : Math.max(difference, off);
    magnitude = Math.max(magnitude, Math.abs(b[i]));
  }
  return difference / magnitude;
}

/** One element of the result in float64. Results are [rows, columns], [heads, tokens, width], [height, width, channels], or OIHW. */
function exactAt(op: OpCase, d: Record<string, Float32Array>, at: number): number {
  switch (op.kind) {
    case 'add':
      return d.a[at] + d.b[at];
    case 'matmul': {
      const [row, column] = [Math.floor(at / op.columns), at % op.columns];
      let sum = 0;
      for (let k = 0; k < op.inner; k++) sum += d.a[row * op.inner + k] * d.b[k * op.columns + column];
      return sum;
    }
    case 'softmax': {
      const row = d.x.subarray(at - (at % op.columns), at - (at % op.columns) + op.columns);
      return Math.exp(d.x[at]) / row.reduce((sum, x) => sum + Math.exp(x), 0);
    }
    case 'layernorm': {
      const column = at % op.columns;
      const row = d.x.subarray(at - column, at - column + op.columns);
      const mean = row.reduce((sum, x) => sum + x, 0) / op.columns;
      const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / op.columns;
      return ((d.x[at] - mean) / Math.sqrt(variance + EPSILON)) * d.weight[column] + d.bias[column];
    }
    case 'attention':
      return attentionAt(op, d, at);
    case 'conv':
      return convAt(op, d, at);
    case 'convGradient':
      return op.of === 'data' ? dataGradientAt(op, d, at) : weightGradientAt(op, d, at);
  }
}

function attentionAt(op: AttentionCase, d: Record<string, Float32Array>, at: number): number {
  const column = at % op.width;
  const query = Math.floor(at / op.width) * op.width;
  const head = Math.floor(at / op.width / op.tokens) * op.tokens * op.width;
  let total = 0;
  let sum = 0;
  for (let t = 0; t < op.tokens; t++) {
    let score = 0;
    for (let c = 0; c < op.width; c++) score += d.q[query + c] * d.k[head + t * op.width + c];
    const e = Math.exp(score / Math.sqrt(op.width));
    total += e;
    sum += e * d.v[head + t * op.width + column];
  }
  return sum / total;
}

function convAt(op: ConvCase, d: Record<string, Float32Array>, at: number): number {
  const out = outputSize(op);
  const channel = at % op.output;
  const pixel = Math.floor(at / op.output);
  const pad = (op.kernel - 1) / 2;
  let sum = d.bias[channel];
  for (let ky = 0; ky < op.kernel; ky++) {
    for (let kx = 0; kx < op.kernel; kx++) {
      const y = Math.floor(pixel / out) * op.stride + ky - pad;
      const x = (pixel % out) * op.stride + kx - pad;
      if (y < 0 || x < 0 || y >= op.size || x >= op.size) continue;
      for (let c = 0; c < op.input; c++) {
        const weight = d.w[((channel * op.input + c) * op.kernel + ky) * op.kernel + kx];
        sum += d.x[(y * op.size + x) * op.input + c] * weight;
      }
    }
  }
  return op.biasRelu ? Math.max(0, sum) : sum;
}

/** Every output pixel that reads input pixel `at`, through the tap by which it does. */
function dataGradientAt(op: ConvGradientCase, { w, g }: Record<string, Float32Array>, at: number): number {
  const { kernel, stride, input, output, size } = op;
  const out = outputSize(op);
  const channel = at % input;
  const pixel = Math.floor(at / input);
  const pad = (kernel - 1) / 2;
  let sum = 0;
  for (let ky = 0; ky < kernel; ky++) {
    for (let kx = 0; kx < kernel; kx++) {
      const y = (Math.floor(pixel / size) + pad - ky) / stride;
      const x = ((pixel % size) + pad - kx) / stride;
      if (!Number.isInteger(y) || !Number.isInteger(x) || y < 0 || x < 0 || y >= out || x >= out) continue;
      for (let o = 0; o < output; o++) {
        sum += g[(y * out + x) * output + o] * w[((o * input + channel) * kernel + ky) * kernel + kx];
      }
    }
  }
  return sum;
}

function weightGradientAt(op: ConvGradientCase, { x, g }: Record<string, Float32Array>, at: number): number {
  const { kernel, stride, input, output, size } = op;
  const out = outputSize(op);
  const [kx, ky] = [at % kernel, Math.floor(at / kernel) % kernel];
  const channel = Math.floor(at / kernel ** 2) % input;
  const to = Math.floor(at / kernel ** 2 / input);
  const pad = (kernel - 1) / 2;
  let sum = 0;
  for (let oy = 0; oy < out; oy++) {
    for (let ox = 0; ox < out; ox++) {
      const [iy, ix] = [oy * stride + ky - pad, ox * stride + kx - pad];
      if (iy < 0 || ix < 0 || iy >= size || ix >= size) continue;
      sum += x[(iy * size + ix) * input + channel] * g[(oy * out + ox) * output + to];
    }
  }
  return sum;
}
