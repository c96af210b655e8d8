/** jax-js under jit. Maps are NCHW. */
import {
  blockUntilReady,
  defaultDevice,
  getWebGPUDevice,
  init,
  jit,
  lax,
  nn,
  numpy as np,
  type Array as Tensor,
  tree,
  valueAndGrad,
  vjp,
} from '@jax-js/jax';
import { ONNXModel } from '@jax-js/onnx';
import { EPSILON, fromPlanes, type OpCase, outputSize, toPlanes } from '../../src/bench/cases.ts';
import { ADAM, CLASSES, type ConvLayer, type Convnet, convnetBatch, convnetTensor } from '../../src/bench/convnet.ts';
import type { Data, Prepared, PreparedModel, PreparedTraining, Subject } from './subject.ts';

type Compute = (...inputs: Tensor[]) => Tensor;

export class Jax implements Subject {
  readonly name = 'jax';

  static async start(): Promise<Jax> {
    if (!(await init('webgpu')).includes('webgpu')) throw new Error('jax-js has no WebGPU backend here');
    defaultDevice('webgpu');
    return new Jax();
  }

  async prepare(op: OpCase, data: Data): Promise<Prepared> {
    const [inputs, compute, order] = build(op, data);
    await blockUntilReady(inputs);
    const run = jit(compute);
    const once = () => run(...inputs.map((x) => x.ref)) as Tensor;
    return {
      async run(times) {
        // Lazy: a result that is dropped before it was waited for is never computed.
        const results = Array.from({ length: times }, once);
        await blockUntilReady(results);
        for (const y of results) y.dispose();
      },
      result: async () => order((await once().data()) as Float32Array),
      destroy() {
        for (const x of inputs) x.dispose();
        run.dispose();
      },
    };
  }

  async prepareTraining(net: Convnet): Promise<PreparedTraining> {
    const { size, batch } = net.workload;
    const { image, labels } = convnetBatch(net.workload);
    const planes = new Float32Array(image.length);
    const length = image.length / batch;
    for (let i = 0; i < batch; i++) planes.set(toPlanes(image.subarray(i * length, (i + 1) * length), 3), i * length);
    const x = array(planes, [batch, 3, size, size]);
    const y = array(labels, [batch, CLASSES]);
    const shapes = [...net.parameters].map(([name, shape]): [string, number[]] => [name, [...shape]]);
    let parameters: Tree = Object.fromEntries(shapes.map(([name, shape]) => [name, array(convnetTensor(net, name), shape)]));
    const zeros = (): Tree => Object.fromEntries(shapes.map(([name, shape]) => [name, np.zeros(shape)]));
    let moments: Tree = zeros();
    let squares: Tree = zeros();
    const run = jit((p: Tree, m: Tree, v: Tree, rate: Tensor, scale: Tensor, x: Tensor, y: Tensor) =>
      adamStep(net, p, m, v, rate, scale, x, y),
    );
    const { rate, beta1, beta2 } = ADAM;
    let t = 0;
    return {
      device: getWebGPUDevice() as GPUDevice,
      async step() {
        t += 1;
        const scales = [rate / (1 - beta1 ** t), 1 / (1 - beta2 ** t)].map((value) => np.array(value));
        const [loss, ...trees] = run(parameters, moments, squares, scales[0], scales[1], x.ref, y.ref) as [Tensor, Tree, Tree, Tree];
        [parameters, moments, squares] = trees;
        return ((await loss.data()) as Float32Array)[0];
      },
    };
  }
}

type Tree = Record<string, Tensor>;

const array = (values: Float32Array, shape: number[]) => np.array(values as Float32Array<ArrayBuffer>, { shape, dtype: np.float32 });

/** One step of Adam: the loss, and the parameters and moments behind it. `rate` and `scale` are corrected for the step's number. */
function adamStep(net: Convnet, parameters: Tree, moments: Tree, squares: Tree, rate: Tensor, scale: Tensor, x: Tensor, y: Tensor) {
  const { beta1, beta2, eps } = ADAM;
  const [loss, gradients] = valueAndGrad((p: Tree) => convnetLoss(net, p, x, y))(tree.ref(parameters) as Tree) as [Tensor, Tree];
  const next: [Tree, Tree, Tree] = [{}, {}, {}];
  for (const name of net.parameters.keys()) {
    const g = gradients[name];
    const m = moments[name].mul(beta1).add(g.ref.mul(1 - beta1));
    const v = squares[name].mul(beta2).add(np.square(g).mul(1 - beta2));
    const change = m.ref.mul(rate.ref).div(np.sqrt(v.ref.mul(scale.ref)).add(eps));
    next[0][name] = parameters[name].sub(change);
    next[1][name] = m;
    next[2][name] = v;
  }
  rate.dispose();
  scale.dispose();
  return [loss, ...next] as [Tensor, Tree, Tree, Tree];
}

function convnetLoss({ workload, stem, blocks, features }: Convnet, parameters: Tree, image: Tensor, labels: Tensor): Tensor {
  const norm = (x: Tensor, name: string): Tensor => {
    const along = (part: string) => parameters[`${name}.${part}`].reshape([1, -1, 1, 1]);
    const centred = x.ref.sub(np.mean(x, [0, 2, 3], { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), [0, 2, 3], { keepdims: true });
    return centred
      .div(np.sqrt(variance.add(EPSILON)))
      .mul(along('weight'))
      .add(along('bias'));
  };
  const unit = (x: Tensor, { conv, norm: name, kernel, stride }: ConvLayer) =>
    norm(convolution(x, parameters[`${conv}.weight`], kernel, stride), name);
  let x = nn.relu(unit(image, stem));
  for (const { first, second, shortcut } of blocks) {
    const short = shortcut ? unit(x.ref, shortcut) : x.ref;
    x = nn.relu(unit(nn.relu(unit(x, first)), second).add(short));
  }
  const pooled = np.mean(x, [2, 3]).reshape([workload.batch, features]);
  const logits = np.matmul(pooled, np.swapaxes(parameters['fc.weight'], 0, 1)).add(parameters['fc.bias']);
  return np.sum(nn.logSoftmax(logits, -1).mul(labels)).mul(-1 / workload.batch);
}

function build(op: OpCase, data: Data): [Tensor[], Compute, (result: Float32Array) => Float32Array] {
  const same = (result: Float32Array) => result;
  switch (op.kind) {
    case 'matmul':
      return [[array(data.a, [op.rows, op.inner]), array(data.b, [op.inner, op.columns])], (a, b) => np.matmul(a, b), same];
    case 'softmax':
      return [[array(data.x, [op.batch, op.rows, op.columns])], (x) => nn.softmax(x, -1), same];
    case 'layernorm': {
      const inputs = [array(data.x, [op.rows, op.columns]), array(data.weight, [op.columns]), array(data.bias, [op.columns])];
      return [inputs, (x, weight, bias) => nn.standardize(x, -1).mul(weight).add(bias), same];
    }
    case 'attention': {
      const shape = [op.heads, op.tokens, op.width];
      const compute: Compute = (q, k, v) => {
        const scores = np.matmul(q, np.swapaxes(k, -1, -2)).mul(1 / Math.sqrt(op.width));
        return np.matmul(nn.softmax(scores, -1), v);
      };
      return [[array(data.q, shape), array(data.k, shape), array(data.v, shape)], compute, same];
    }
    case 'add': {
      const shape = [1, op.channels, op.size, op.size];
      return [[array(data.a, shape), array(data.b, shape)], (a, b) => a.add(b), same];
    }
    case 'conv': {
      const inputs = [
        array(toPlanes(data.x, op.input), [1, op.input, op.size, op.size]),
        array(data.w, [op.output, op.input, op.kernel, op.kernel]),
      ];
      const convolve = (x: Tensor, w: Tensor) => convolution(x, w, op.kernel, op.stride);
      const order = (result: Float32Array) => fromPlanes(result, op.output);
      if (!op.biasRelu) return [inputs, convolve, order];
      inputs.push(array(data.bias, [1, op.output, 1, 1]));
      return [inputs, (x, w, bias) => nn.relu(convolve(x, w).add(bias)), order];
    }
    case 'convGradient': {
      const out = outputSize(op);
      const x = array(toPlanes(data.x, op.input), [1, op.input, op.size, op.size]);
      const w = array(data.w, [op.output, op.input, op.kernel, op.kernel]);
      const g = array(toPlanes(data.g, op.output), [1, op.output, out, out]);
      // Under jit the forward pass, which no gradient of a convolution reads, falls away.
      const pull = (f: (v: Tensor) => Tensor, at: Tensor, g: Tensor): Tensor => {
        const [y, back] = vjp(f, [at]);
        y.dispose();
        return back(g)[0] as Tensor;
      };
      if (op.of === 'weight') return [[x, w, g], (x, w, g) => pull((v) => convolution(x, v, op.kernel, op.stride), w, g), same];
      const order = (result: Float32Array) => fromPlanes(result, op.input);
      return [[x, w, g], (x, w, g) => pull((v) => convolution(v, w, op.kernel, op.stride), x, g), order];
    }
  }
}

/** Padded by half the kernel. */
export function convolution(x: Tensor, w: Tensor, kernel: number, stride: number): Tensor {
  const pad = (kernel - 1) / 2;
  return lax.convGeneralDilated(
    x,
    w,
    [stride, stride],
    [
      [pad, pad],
      [pad, pad],
    ],
  );
}

/** jax-js's ONNX loader under jit. */
export async function jaxModel(bytes: Uint8Array<ArrayBuffer>, image: Float32Array, size: number): Promise<PreparedModel> {
  const model = new ONNXModel(bytes);
  const run = jit((image: Tensor) => model.run({ image }));
  const input = np.array(image as Float32Array<ArrayBuffer>, { shape: [1, 3, size, size], dtype: np.float32 });
  await blockUntilReady(input);
  return {
    async run() {
      const outputs = run(input.ref) as Record<string, Tensor>;
      await blockUntilReady(outputs);
      for (const y of Object.values(outputs)) y.dispose();
    },
    async result() {
      const [logits, boxes, scores] = await read(run(input.ref) as Record<string, Tensor>);
      return { logits, boxes, scores };
    },
  };
}

const read = ({ logits, boxes, scores }: Record<string, Tensor>) =>
  Promise.all([logits, boxes, scores].map(async (y) => (await y.data()) as Float32Array));
