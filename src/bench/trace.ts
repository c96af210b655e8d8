/** The cases as graphs of ours. */
import { Graph, type Tensor } from '../graph/graph.ts';
import type { HostArray } from '../graph/program.ts';
import { attention } from '../ops/attention.ts';
import { conv2d, linear } from '../ops/conv2d.ts';
import { conv2dDataGradient, conv2dWeightGradient } from '../ops/conv2d-gradient.ts';
import { layerNorm, softmax } from '../ops/norm.ts';
import { add, relu } from '../ops/pointwise.ts';
import { dataOf, EPSILON, type OpCase, outputSize, swapHeads } from './cases.ts';

export interface TracedCase {
  graph: Graph;
  inputs: Record<string, HostArray>;
  /** A result as our layout has it, in the case's own order. */
  order(result: Float32Array): Float32Array;
}

const same = (result: Float32Array): Float32Array => result;

/** Builds the case's graph; its output is called `y`. Weights are parameters, as in a model. */
export function traceCase(op: OpCase, data = dataOf(op)): TracedCase {
  const graph = new Graph();
  const inputs: Record<string, HostArray> = {};
  const input = (name: string, shape: readonly number[], values = data[name]): Tensor => {
    inputs[name] = values;
    return graph.input(name, shape);
  };
  const constant = (name: string, shape: readonly number[], values: Float32Array): Tensor =>
    graph.parameter({ key: `${op.name} ${name}`, shape, type: 'f32', sources: [], build: () => values });
  const finish = (y: Tensor, order = same): TracedCase => {
    graph.output('y', y);
    return { graph, inputs, order };
  };
  switch (op.kind) {
    case 'matmul':
      return finish(linear(input('a', [op.rows, op.inner]), constant('b', [1, op.inner, op.columns], data.b), null));
    case 'add': {
      const shape = [1, op.size, op.size, op.channels];
      return finish(add(input('a', shape), input('b', shape)));
    }
    case 'conv': {
      const { kernel, stride, input: from, output: to, size } = op;
      const pad = (kernel - 1) / 2;
      const x = input('x', [1, size, size, from]);
      const w = constant('w', [kernel * kernel, from, to], tapsFirst(data.w, to, from, kernel * kernel));
      const options = { kernel: [kernel, kernel], stride: [stride, stride], padding: [pad, pad] } as const;
      const y = conv2d(x, w, op.biasRelu ? constant('bias', [to], data.bias) : null, options);
      return finish(op.biasRelu ? relu(y) : y);
    }
    case 'convGradient': {
      const { kernel, stride, input: from, output: to, size } = op;
      const [pad, out, taps] = [(kernel - 1) / 2, outputSize(op), kernel * kernel];
      const window = { kernel: [kernel, kernel], stride: [stride, stride], padding: [pad, pad], dilation: [1, 1] } as const;
      const attributes = { ...window, groups: 1, flat: false };
      const g = input('g', [1, out, out, to]);
      if (op.of === 'weight') {
        const dw = conv2dWeightGradient(input('x', [1, size, size, from]), g, [taps, from, to], attributes);
        return finish(dw, (result) => tapsLast(result, to, from, taps));
      }
      const w = constant('w', [taps, from, to], tapsFirst(data.w, to, from, taps));
      return finish(conv2dDataGradient(g, w, [1, size, size, from], attributes));
    }
    case 'softmax':
      return finish(softmax(input('x', [op.batch, op.rows, op.columns])));
    case 'layernorm': {
      const weight = constant('weight', [op.columns], data.weight);
      return finish(layerNorm(input('x', [op.rows, op.columns]), weight, constant('bias', [op.columns], data.bias), EPSILON));
    }
    case 'attention': {
      const { heads, tokens, width } = op;
      const shape = [1, tokens, heads * width];
      const [q, k, v] = ['q', 'k', 'v'].map((name) => input(name, shape, swapHeads(data[name], heads, tokens, width)));
      return finish(attention(q, k, v, { heads }), (result) => swapHeads(result, tokens, heads, width));
    }
  }
}

/** Weights [out, in, taps] as [taps, in, out]. */
function tapsFirst(w: Float32Array, out: number, into: number, taps: number): Float32Array {
  const result = new Float32Array(w.length);
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < into; i++) for (let t = 0; t < taps; t++) result[(t * into + i) * out + o] = w[(o * into + i) * taps + t];
  }
  return result;
}

/** And back. */
const tapsLast = (w: Float32Array, out: number, into: number, taps: number): Float32Array => tapsFirst(w, taps, into, out);
