/** TensorFlow.js with its WebGPU backend. Maps are NHWC there as here. */
import '@tensorflow/tfjs-backend-webgpu';
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import * as tf from '@tensorflow/tfjs-core';
import { EPSILON, type OpCase, outputSize, swapHeads, toPlanes } from '../../src/bench/cases.ts';
import { ADAM, CLASSES, type ConvLayer, type Convnet, convnetBatch, convnetTensor } from '../../src/bench/convnet.ts';
import type { Data, Prepared, PreparedTraining, Subject } from './subject.ts';

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
    const [inputs, compute, order = (result: Float32Array) => result] = build(op, data);
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
        return order(values);
      },
      destroy: () => tf.dispose(inputs),
    };
  }

  async prepareTraining(net: Convnet): Promise<PreparedTraining> {
    const { size, batch } = net.workload;
    const { image, labels } = convnetBatch(net.workload);
    const x = tf.tensor4d(image, [batch, size, size, 3]);
    const y = tf.tensor2d(labels, [batch, CLASSES]);
    const variables: Record<string, tf.Variable> = {};
    for (const [name, shape] of net.parameters) {
      const value = tf.tensor(convnetTensor(net, name), [...shape], 'float32');
      variables[name] = tf.variable(shape.length === 4 ? filterOf(value) : value, true, name);
    }
    const { rate, beta1, beta2, eps } = ADAM;
    const adam = tf.train.adam(rate, beta1, beta2, eps);
    return {
      device: (tf.backend() as unknown as Backend).device,
      async step() {
        const loss = adam.minimize(() => convnetLoss(net, variables, x, y), true, Object.values(variables)) as tf.Scalar;
        const [value] = await loss.data();
        loss.dispose();
        return value;
      },
    };
  }
}

function convnetLoss(
  { stem, blocks }: Convnet,
  variables: Record<string, tf.Variable>,
  image: tf.Tensor4D,
  labels: tf.Tensor2D,
): tf.Scalar {
  const norm = (x: tf.Tensor4D, name: string): tf.Tensor4D => {
    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    return tf.batchNorm(
      x,
      mean as tf.Tensor1D,
      variance as tf.Tensor1D,
      variables[`${name}.bias`] as tf.Tensor as tf.Tensor1D,
      variables[`${name}.weight`] as tf.Tensor as tf.Tensor1D,
      EPSILON,
    ) as tf.Tensor4D;
  };
  const unit = (x: tf.Tensor4D, { conv, norm: name, kernel, stride }: ConvLayer) =>
    norm(tf.conv2d(x, variables[`${conv}.weight`] as tf.Tensor as tf.Tensor4D, stride, (kernel - 1) / 2), name);
  let x = tf.relu(unit(image, stem));
  for (const { first, second, shortcut } of blocks) {
    const short = shortcut ? unit(x, shortcut) : x;
    x = tf.relu(tf.add(unit(tf.relu(unit(x, first)), second), short));
  }
  const logits = tf.add(tf.matMul(tf.mean(x, [1, 2]) as tf.Tensor2D, variables['fc.weight'], false, true), variables['fc.bias']);
  return tf.losses.softmaxCrossEntropy(labels, logits as tf.Tensor2D);
}

function build(op: OpCase, data: Data): [tf.Tensor[], () => tf.Tensor, order?: (result: Float32Array) => Float32Array] {
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
      const filter = filterOf(tensor('w', [op.output, op.input, op.kernel, op.kernel]));
      const bias = tensor('bias', [op.output]);
      const side: [number, number] = [(op.kernel - 1) / 2, (op.kernel - 1) / 2];
      // "same" of an even map with stride 2 would pad on one side only.
      const pad: tf.backend_util.ExplicitPadding = [[0, 0], side, side, [0, 0]];
      const compute = op.biasRelu
        ? () => tf.fused.conv2d({ x, filter, strides: op.stride, pad, bias, activation: 'relu' })
        : () => tf.conv2d(x, filter, op.stride, pad);
      return [[x, filter, bias], compute];
    }
    case 'convGradient': {
      // The kernels that tf.grad runs, without the forward pass that it runs first.
      const { kernel, stride: strides, input, output, size } = op;
      const attributes = { strides, pad: (kernel - 1) / 2, dataFormat: 'NHWC' as const };
      const dy = tensor('g', [1, outputSize(op), outputSize(op), output]);
      if (op.of === 'weight') {
        const x = tensor('x', [1, size, size, input]);
        const filterShape = [kernel, kernel, input, output];
        const compute = () => tf.engine().runKernel<tf.Tensor>(tf.Conv2DBackpropFilter, { x, dy }, { ...attributes, filterShape });
        return [[x, dy], compute, (result) => toPlanes(swapHeads(result, kernel * kernel, input, output), output)];
      }
      const filter = filterOf(tensor('w', [output, input, kernel, kernel]));
      const inputShape = [1, size, size, input];
      return [[dy, filter], () => tf.engine().runKernel<tf.Tensor>(tf.Conv2DBackpropInput, { dy, filter }, { ...attributes, inputShape })];
    }
  }
}

/** OIHW to tfjs's own order. */
function filterOf(oihw: tf.Tensor): tf.Tensor4D {
  const filter = tf.transpose(oihw, [2, 3, 1, 0]) as tf.Tensor4D;
  oihw.dispose();
  return filter;
}
