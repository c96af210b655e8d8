/** ONNX Runtime Web's WebGPU provider, one graph of one operation a case, tensors on the GPU. */
import * as ort from 'onnxruntime-web/webgpu';
import { EPSILON, fromPlanes, type OpCase, outputSize, swapHeads, toPlanes } from '../../src/bench/cases.ts';
import { OnnxGraph } from './onnx.ts';
import type { Data, Prepared, PreparedModel, Subject } from './subject.ts';

type Layout = 'NCHW' | 'NHWC';

interface Built {
  bytes: Uint8Array;
  /** Graph inputs. */
  feeds: Record<string, { values: Float32Array; shape: number[] }>;
  order(result: Float32Array): Float32Array;
}

export function configureOrt(wasm: string): void {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm };
  ort.env.logLevel = 'error';
}

/** `ort` is NCHW, `ort-nhwc` the provider's preferred layout, `ort-mha` its fused attention. */
export class Ort implements Subject {
  readonly name: string;
  readonly #layout: Layout;

  constructor(name: 'ort' | 'ort-nhwc' | 'ort-mha') {
    this.name = name;
    this.#layout = name === 'ort-nhwc' ? 'NHWC' : 'NCHW';
  }

  async prepare(op: OpCase, data: Data): Promise<Prepared | null> {
    if (this.name === 'ort-nhwc' && op.kind !== 'conv') return null;
    if (this.name === 'ort-mha' && op.kind !== 'attention') return null;
    if (op.kind === 'convGradient') return null;
    const { bytes, feeds, order } = build(op, data, this.name === 'ort-mha');
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: [{ name: 'webgpu', preferredLayout: this.#layout }],
      preferredOutputLocation: 'gpu-buffer',
    });
    const device = (await ort.env.webgpu.device) as GPUDevice;
    const inputs = upload(device, feeds);
    const once = async () => (await session.run(inputs.tensors)).y;
    return {
      async run(times) {
        const results: ort.Tensor[] = [];
        for (let i = 0; i < times; i++) results.push(await once());
        await device.queue.onSubmittedWorkDone();
        for (const y of results) y.dispose();
      },
      async result() {
        const y = await once();
        const values = (await y.getData(true)) as Float32Array;
        return order(values);
      },
      async destroy() {
        await session.release();
        for (const buffer of inputs.buffers) buffer.destroy();
      },
    };
  }
}

function upload(device: GPUDevice, feeds: Built['feeds']): { tensors: Record<string, ort.Tensor>; buffers: GPUBuffer[] } {
  const buffers: GPUBuffer[] = [];
  const tensors: Record<string, ort.Tensor> = {};
  for (const [name, { values, shape }] of Object.entries(feeds)) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ size: Math.ceil(values.byteLength / 16) * 16, usage });
    device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    buffers.push(buffer);
    tensors[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims: shape });
  }
  return { tensors, buffers };
}

function build(op: Exclude<OpCase, { kind: 'convGradient' }>, data: Data, fused: boolean): Built {
  const graph = new OnnxGraph();
  const feeds: Built['feeds'] = {};
  const input = (name: string, shape: number[], values = data[name]) => {
    feeds[name] = { values, shape };
    return graph.input(name, shape);
  };
  const done = (y: string, shape: number[], order = (result: Float32Array) => result): Built => {
    graph.output('y', y, shape);
    return { bytes: graph.finish(), feeds, order };
  };
  switch (op.kind) {
    case 'matmul':
      return done(graph.add('MatMul', [input('a', [op.rows, op.inner]), graph.floats(data.b, [op.inner, op.columns])]), [
        op.rows,
        op.columns,
      ]);
    case 'softmax': {
      const shape = [op.batch, op.rows, op.columns];
      return done(graph.add('Softmax', [input('x', shape)], { axis: -1 }), shape);
    }
    case 'layernorm': {
      const shape = [op.rows, op.columns];
      const inputs = [input('x', shape), graph.floats(data.weight, [op.columns]), graph.floats(data.bias, [op.columns])];
      return done(graph.add('LayerNormalization', inputs, { axis: -1, epsilon: { float: EPSILON } }), shape);
    }
    case 'attention':
      return fused ? fusedAttention(op, data, input, graph, done) : attention(op, input, graph, done);
    case 'add': {
      const shape = [1, op.channels, op.size, op.size];
      return done(graph.add('Add', [input('a', shape), input('b', shape)]), shape);
    }
    case 'conv': {
      const pad = (op.kernel - 1) / 2;
      const x = input('x', [1, op.input, op.size, op.size], toPlanes(data.x, op.input));
      const inputs = [x, graph.floats(data.w, [op.output, op.input, op.kernel, op.kernel])];
      if (op.biasRelu) inputs.push(graph.floats(data.bias, [op.output]));
      const y = graph.add('Conv', inputs, {
        kernel_shape: [op.kernel, op.kernel],
        strides: [op.stride, op.stride],
        pads: [pad, pad, pad, pad],
      });
      const out = outputSize(op);
      const shape = [1, op.output, out, out];
      return done(op.biasRelu ? graph.add('Relu', [y]) : y, shape, (result) => fromPlanes(result, op.output));
    }
  }
}

type Attention = Extract<OpCase, { kind: 'attention' }>;
type Input = (name: string, shape: number[], values?: Float32Array) => string;
type Done = (y: string, shape: number[], order?: (result: Float32Array) => Float32Array) => Built;

function attention(op: Attention, input: Input, graph: OnnxGraph, done: Done): Built {
  const shape = [op.heads, op.tokens, op.width];
  const keys = graph.add('Transpose', [input('k', shape)], { perm: [0, 2, 1] });
  const scores = graph.add('Mul', [graph.add('MatMul', [input('q', shape), keys]), graph.scalar(1 / Math.sqrt(op.width))]);
  return done(graph.add('MatMul', [graph.add('Softmax', [scores], { axis: -1 }), input('v', shape)]), shape);
}

/** com.microsoft.MultiHeadAttention takes [batch, tokens, heads * width]. */
function fusedAttention(op: Attention, data: Data, input: Input, graph: OnnxGraph, done: Done): Built {
  const shape = [1, op.tokens, op.heads * op.width];
  const inputs = ['q', 'k', 'v'].map((name) => input(name, shape, swapHeads(data[name], op.heads, op.tokens, op.width)));
  const y = graph.add('MultiHeadAttention', inputs, { num_heads: op.heads }, 'com.microsoft');
  return done(y, shape, (result) => swapHeads(result, op.tokens, op.heads, op.width));
}

export async function ortModel(bytes: Uint8Array, image: Float32Array, size: number): Promise<PreparedModel> {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [{ name: 'webgpu', preferredLayout: 'NHWC' }],
    preferredOutputLocation: 'gpu-buffer',
  });
  const device = (await ort.env.webgpu.device) as GPUDevice;
  const { tensors } = upload(device, { image: { values: image, shape: [1, 3, size, size] } });
  return {
    async run() {
      const outputs = await session.run(tensors);
      await device.queue.onSubmittedWorkDone();
      for (const y of Object.values(outputs)) y.dispose();
    },
    async result() {
      const outputs = await session.run(tensors);
      const read = async (name: string) => (await outputs[name].getData(true)) as Float32Array;
      return { logits: await read('logits'), boxes: await read('boxes'), scores: await read('scores') };
    },
  };
}
