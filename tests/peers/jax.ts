/** jax-js under jit. Maps are NCHW. */
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, type Array as Tensor } from '@jax-js/jax';
import { ONNXModel } from '@jax-js/onnx';
import { fromPlanes, type OpCase, toPlanes } from '../../src/bench/cases.ts';
import type { Data, Prepared, PreparedModel, Subject } from './subject.ts';

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
}

function build(op: OpCase, data: Data): [Tensor[], Compute, (result: Float32Array) => Float32Array] {
  const tensor = (values: Float32Array, shape: number[]) => np.array(values as Float32Array<ArrayBuffer>, { shape, dtype: np.float32 });
  const same = (result: Float32Array) => result;
  switch (op.kind) {
    case 'matmul':
      return [[tensor(data.a, [op.rows, op.inner]), tensor(data.b, [op.inner, op.columns])], (a, b) => np.matmul(a, b), same];
    case 'softmax':
      return [[tensor(data.x, [op.batch, op.rows, op.columns])], (x) => nn.softmax(x, -1), same];
    case 'layernorm': {
      const inputs = [tensor(data.x, [op.rows, op.columns]), tensor(data.weight, [op.columns]), tensor(data.bias, [op.columns])];
      return [inputs, (x, weight, bias) => nn.standardize(x, -1).mul(weight).add(bias), same];
    }
    case 'attention': {
      const shape = [op.heads, op.tokens, op.width];
      const compute: Compute = (q, k, v) => {
        const scores = np.matmul(q, np.swapaxes(k, -1, -2)).mul(1 / Math.sqrt(op.width));
        return np.matmul(nn.softmax(scores, -1), v);
      };
      return [[tensor(data.q, shape), tensor(data.k, shape), tensor(data.v, shape)], compute, same];
    }
    case 'add': {
      const shape = [1, op.channels, op.size, op.size];
      return [[tensor(data.a, shape), tensor(data.b, shape)], (a, b) => a.add(b), same];
    }
    case 'conv': {
      const pad = (op.kernel - 1) / 2;
      const inputs = [
        tensor(toPlanes(data.x, op.input), [1, op.input, op.size, op.size]),
        tensor(data.w, [op.output, op.input, op.kernel, op.kernel]),
      ];
      const convolve = (x: Tensor, w: Tensor) =>
        lax.convGeneralDilated(
          x,
          w,
          [op.stride, op.stride],
          [
            [pad, pad],
            [pad, pad],
          ],
        );
      const order = (result: Float32Array) => fromPlanes(result, op.output);
      if (!op.biasRelu) return [inputs, convolve, order];
      inputs.push(tensor(data.bias, [1, op.output, 1, 1]));
      return [inputs, (x, w, bias) => nn.relu(convolve(x, w).add(bias)), order];
    }
  }
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
