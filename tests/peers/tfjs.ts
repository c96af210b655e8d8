/** TensorFlow.js with its WebGPU backend. Maps are NHWC there as here. */
import '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { EPSILON, type OpCase } from '../../src/bench/cases.ts';
import type { Data, Prepared, Subject } from './subject.ts';

/** The backend's own members; it has no public way to send what it has collected without reading back. */
type Backend = { device: GPUDevice; commandEncoder: GPUCommandEncoder | null; endComputePassEncoder(): void; submitQueue(): void };

export class Tfjs implements Subject {
  readonly name = 'tfjs';

  static async start(): Promise<Tfjs> {
    if (!(await tf.setBackend('webgpu'))) throw new Error('tfjs has no WebGPU backend here');
    await tf.ready();
    return new Tfjs();
  }

  async prepare(op: OpCase, data: Data): Promise<Prepared> {
    const backend = tf.backend() as unknown as Backend;
    const [inputs, compute] = build(op, data);
    return {
      async run(times) {
        for (let i = 0; i < times; i++) tf.tidy(compute).dispose();
        backend.endComputePassEncoder();
        if (backend.commandEncoder) backend.submitQueue();
        await backend.device.queue.onSubmittedWorkDone();
      },
      async result() {
        const y = tf.tidy(compute);
        const values = (await y.data()) as Float32Array;
        y.dispose();
        return values;
      },
      destroy: () => tf.dispose(inputs),
    };
  }
}

function build(op: OpCase, data: Data): [tf.Tensor[], () => tf.Tensor] {
  const tensor = (name: string, shape: number[]) => tf.tensor(data[name], shape, 'float32');
  switch (op.kind) {
    case 'matmul': {
      const a = tensor('a', [op.rows, op.inner]);
      const b = tensor('b', [op.inner, op.columns]);
      return [[a, b], () => tf.matMul(a, b)];
    }
    case 'softmax': {
      const x = tensor('x', [op.batch, op.rows, op.columns]);
      return [[x], () => tf.softmax(x)];
    }
    case 'layernorm': {
      const x = tensor('x', [op.rows, op.columns]);
      const weight = tensor('weight', [op.columns]);
      const bias = tensor('bias', [op.columns]);
      const compute = () => {
        const { mean, variance } = tf.moments(x, -1, true);
        return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, EPSILON))), weight), bias);
      };
      return [[x, weight, bias], compute];
    }
    case 'attention': {
      const [q, k, v] = ['q', 'k', 'v'].map((name) => tensor(name, [op.heads, op.tokens, op.width]));
      return [[q, k, v], () => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(op.width))), v)];
    }
    case 'add': {
      const a = tensor('a', [1, op.size, op.size, op.channels]);
      const b = tensor('b', [1, op.size, op.size, op.channels]);
      return [[a, b], () => tf.add(a, b)];
    }
    case 'conv': {
      const x = tensor('x', [1, op.size, op.size, op.input]) as tf.Tensor4D;
      const oihw = tensor('w', [op.output, op.input, op.kernel, op.kernel]);
      const filter = tf.transpose(oihw, [2, 3, 1, 0]) as tf.Tensor4D;
      oihw.dispose();
      const bias = tensor('bias', [op.output]);
      const side: [number, number] = [(op.kernel - 1) / 2, (op.kernel - 1) / 2];
      // "same" of an even map with stride 2 would pad on one side only.
      const pad: tf.backend_util.ExplicitPadding = [[0, 0], side, side, [0, 0]];
      const compute = op.biasRelu
        ? () => tf.fused.conv2d({ x, filter, strides: op.stride, pad, bias, activation: 'relu' })
        : () => tf.conv2d(x, filter, op.stride, pad);
      return [[x, filter, bias], compute];
    }
  }
}
