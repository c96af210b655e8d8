/**
 * The network whose training step `bench peers` compares: shaped like ResNet-18, of a width of its own. A 3x3 stem, four stages of
 * two basic blocks of 1, 2, 4 and 8 times the width, batch norms with the batch's statistics, global average pool, a linear layer,
 * mean softmax cross-entropy, Adam. No convolution has a bias. Names are torchvision's.
 */
import { values } from './cases.ts';

export interface ConvnetWorkload {
  name: string;
  width: number;
  /** Side of the image. */
  size: number;
  batch: number;
  /** Of the stem. */
  stride: number;
}

const workload = (width: number, size: number, batch: number, stride: number): ConvnetWorkload => ({
  ...{ name: `convnet w${width} ${size}x${size} b${batch}`, width, size, batch, stride },
});

export const convnetWorkloads: readonly ConvnetWorkload[] = [workload(32, 32, 16, 1), workload(32, 160, 2, 2), workload(16, 32, 8, 1)];

export const CLASSES = 10;
export const ADAM = { rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/** A convolution and the batch norm behind it. */
export interface ConvLayer {
  conv: string;
  norm: string;
  inputs: number;
  outputs: number;
  kernel: number;
  stride: number;
}

export interface Convnet {
  workload: ConvnetWorkload;
  stem: ConvLayer;
  blocks: { first: ConvLayer; second: ConvLayer; shortcut: ConvLayer | null }[];
  /** Inputs of the last layer, `fc`. */
  features: number;
  /** Trained tensors in PyTorch's shapes: convolutions OIHW, `fc.weight` [out, in]. */
  parameters: ReadonlyMap<string, readonly number[]>;
  /** Floating-point operations of a step: three forward passes of the convolutions and `fc`. */
  flops: number;
}

export function convnet(workload: ConvnetWorkload): Convnet {
  const { width, batch, size, stride } = workload;
  const parameters = new Map<string, readonly number[]>();
  let side = size;
  let forward = 0;
  const layer = (conv: string, norm: string, inputs: number, outputs: number, kernel: number, step: number, out: number): ConvLayer => {
    parameters.set(`${conv}.weight`, [outputs, inputs, kernel, kernel]);
    parameters.set(`${norm}.weight`, [outputs]);
    parameters.set(`${norm}.bias`, [outputs]);
    forward += 2 * batch * out ** 2 * outputs * inputs * kernel ** 2;
    return { conv, norm, inputs, outputs, kernel, stride: step };
  };
  side /= stride;
  const stem = layer('conv1', 'bn1', 3, width, 3, stride, side);
  const blocks: Convnet['blocks'] = [];
  let inputs = width;
  for (const [stage, factor] of [1, 2, 4, 8].entries()) {
    for (const i of [0, 1]) {
      const name = `layer${stage + 1}.${i}`;
      const outputs = factor * width;
      const step = stage > 0 && i === 0 ? 2 : 1;
      side /= step;
      const first = layer(`${name}.conv1`, `${name}.bn1`, inputs, outputs, 3, step, side);
      const second = layer(`${name}.conv2`, `${name}.bn2`, outputs, outputs, 3, 1, side);
      const shortcut = step === 2 ? layer(`${name}.downsample.0`, `${name}.downsample.1`, inputs, outputs, 1, 2, side) : null;
      blocks.push({ first, second, shortcut });
      inputs = outputs;
    }
  }
  parameters.set('fc.weight', [CLASSES, inputs]);
  parameters.set('fc.bias', [CLASSES]);
  forward += 2 * batch * CLASSES * inputs;
  return { workload, stem, blocks, features: inputs, parameters, flops: 3 * forward };
}

/** Values before the first step: norms 1 and 0, weights uniform with variance 2 / fan-in, the last layer's bias 0. */
export function convnetTensor({ parameters }: Convnet, name: string): Float32Array {
  const shape = parameters.get(name)!;
  const length = shape.reduce((a, b) => a * b, 1);
  if (shape.length === 1) return new Float32Array(length).fill(name.endsWith('.weight') ? 1 : 0);
  return values(length, [...parameters.keys()].indexOf(name) + 1, Math.sqrt((6 * shape[0]) / length));
}

/** Images [batch, size, size, 3], and one-hot rows [batch, classes] of the classes 0, 1, 2, ... in turn. */
export function convnetBatch({ size, batch }: ConvnetWorkload): { image: Float32Array; labels: Float32Array } {
  const labels = new Float32Array(batch * CLASSES);
  for (let i = 0; i < batch; i++) labels[i * CLASSES + (i % CLASSES)] = 1;
  return { image: values(batch * size * size * 3, 99), labels };
}
