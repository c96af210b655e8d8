/** CIFAR's ResNets from this framework's layers: 3x3 stem, three stages, shortcuts that subsample and pad channels with zeros. */
import { openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph, type Tensor } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import { Context } from '../../src/nn/context.ts';
import { type Activation, ConvNorm, Linear } from '../../src/nn/layers.ts';
import { ParameterTable, Scope } from '../../src/nn/parameters.ts';
import { concatColumns } from '../../src/ops/concat.ts';
import { add, relu } from '../../src/ops/pointwise.ts';
import { globalAvgPool, maxPool2d } from '../../src/ops/pool.ts';
import { FormulaSource } from '../../src/verification/formula.ts';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { selectStateDict } from '../../weights-tools/select.ts';

export interface CifarRequest {
  /** Blocks of a stage: 3 makes ResNet-20. */
  blocks: number;
  /** [32, 32, 3]. */
  image: Float32Array;
  /** A checkpoint file, or the seed of formula weights. */
  weights: Uint8Array | string;
}

export interface CifarReply {
  logits: Float32Array;
  /** Entries of the state dictionary. */
  tensors: number;
}

function shortcut({ graph }: Context, x: Tensor, outputs: number): Tensor {
  const inputs = x.shape[3];
  if (inputs === outputs) return x;
  const small = maxPool2d(x, { kernel: [1, 1], stride: [2, 2] });
  const shape = [...small.shape.slice(0, 3), (outputs - inputs) / 2];
  const zeros = graph.parameter({
    key: `zeros ${shape}`,
    shape,
    type: 'f32',
    sources: [],
    build: () => new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  return concatColumns([zeros, small, zeros]);
}

function build(scope: Scope, blocks: number): (context: Context, x: Tensor) => Tensor {
  const unit = (place: Scope, i: number, inputs: number, outputs: number, stride: number, activation: Activation) =>
    new ConvNorm(place, { inputs, outputs, kernel: 3, stride }, { activation, names: [`conv${i}`, `bn${i}`] });
  const stem = unit(scope, 1, 3, 16, 1, 'relu');
  const pairs = [16, 32, 64].flatMap((width, stage) =>
    Array.from({ length: blocks }, (_, i) => {
      const place = scope.child(`layer${stage + 1}`).child(i);
      const strided = stage > 0 && i === 0;
      const first = unit(place, 1, strided ? width / 2 : width, width, strided ? 2 : 1, 'relu');
      return { first, second: unit(place, 2, width, width, 1, null), width };
    }),
  );
  const head = new Linear(scope.child('linear'), 64, 10);
  return (context, image) => {
    let x = stem.forward(context, image);
    for (const { first, second, width } of pairs) {
      const short = shortcut(context, x, width);
      x = relu(add(second.forward(context, first.forward(context, x)), short));
    }
    return head.forward(context, globalAvgPool(x));
  };
}

register<CifarRequest>('cifar resnet', async ({ blocks, image, weights }): Promise<CifarReply> => {
  const table = new ParameterTable();
  const forward = build(new Scope(table), blocks);
  const shapes = new Map([...table].map(([name, { shape }]) => [name, shape]));
  const file = typeof weights === 'string' ? null : selectStateDict(await openCheckpoint(weights)).source;
  // Files older than PyTorch 0.4.1 have no counters.
  const wanted = [...shapes].filter(([name]) => !name.endsWith('num_batches_tracked'));
  const strange = file ? wanted.filter(([name, shape]) => file.tensors.get(name)?.shape.join() !== shape.join()) : [];
  if (strange.length > 0) throw new Error(`the file does not fit: ${strange.slice(0, 3).join('; ')}`);
  const gpu = await openDevice();
  try {
    const graph = new Graph();
    graph.output('logits', forward(new Context(graph), graph.input('image', [1, 32, 32, 3])));
    const parameters = new ParameterStore(gpu, file ?? new FormulaSource(shapes, weights as string));
    const program = await Program.build(gpu, new KernelCache(gpu), graph, parameters);
    const outputs = await program.run({ image });
    return { logits: outputs.get('logits') as Float32Array, tensors: file?.tensors.size ?? table.size };
  } finally {
    gpu.close();
  }
});
