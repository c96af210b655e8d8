/** Random words as the GPU draws them. */
import shader from '../../shaders/optimizer/philox.wgsl';
import { openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph, type Operation, type Tensor } from '../../src/graph/graph.ts';
import { launch } from '../../src/graph/launch.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';

interface Draw {
  seed: number;
  step: number;
  stream: number;
  count: number;
}

const drawOperation: Operation<Draw> = {
  name: 'draw',
  infer: (_inputs, { count }) => [{ shape: [count], type: 'u32' }],
  lower: ({ outputs: [y], attributes: { seed, step, stream, count } }) => [
    launch(shader, {
      bind: { y },
      params: { quads: count / 4, step, stream, seed_low: seed >>> 0, seed_high: Math.floor(seed / 2 ** 32) },
      grid: [Math.ceil(count / 256), 1, 1],
    }),
  ],
};

register<Draw>('random-words', async (draw) => {
  const gpu = await openDevice();
  const graph = new Graph();
  const [words]: Tensor[] = graph.add(drawOperation, [], draw);
  graph.output('words', words);
  const store = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('no parameters')) });
  const program = await Program.build(gpu, new KernelCache(gpu), graph, store);
  const result = await program.run({});
  program.destroy();
  gpu.close();
  return result.get('words');
});
