/** A training forward, and the gradient of its outputs, in the page. */
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph, type Tensor } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { type HostArray, Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { type OutputPair, traceTraining } from '../../src/models/training.ts';
import { trainableParameters } from '../../src/nn/training.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { FormulaSource, uniform } from '../../src/verification/formula.ts';

export interface TrainingRequest {
  config: ModelConfig;
  /** Pictures of noise. */
  batch: number;
  /** Two groups of one positive and one negative query each are put in front. */
  denoising?: boolean;
  /** What the gradient is taken of: the sum of these outputs' boxes and logits. None: no gradient. */
  seeds?: readonly ('first' | 'last' | 'encoder' | 'denoising')[];
  /** Names of the noise pictures; numbers when left out. */
  images?: readonly string[];
}

export interface TrainingReply {
  /** `logits` and `boxes` of the selected queries by layer, `encoder.*`, `denoising.*`. */
  outputs: Record<string, HostArray>;
  /** What the running statistics move towards, by PyTorch's name. */
  statistics: Record<string, Float32Array>;
  /** By PyTorch's name; parameters that the seeds do not depend on are absent. */
  gradients: Record<string, Float32Array>;
}

/** Queries of a denoising part. */
export const NOISY = 4;

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

register<TrainingRequest>('training', async ({ config, batch, denoising, seeds = [], images }): Promise<TrainingReply> => {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  const { gpu, kernels } = shared;
  const model = buildModel(config);
  const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
  const store = new ParameterStore(gpu, new FormulaSource(shapes, 'tests'));
  const graph = new Graph();
  const [height, width] = config.size;
  const image = graph.input('image', [batch, height, width, 3]);
  const queries = config.queries + NOISY;
  const noisy = denoising
    ? {
        classes: graph.input('classes', [batch, NOISY, 1], 'u32'),
        boxes: graph.input('boxes', [batch, NOISY, 4]),
        mask: graph.input('mask', [queries, queries]),
      }
    : null;
  const traced = traceTraining(model, graph, image, { denoising: noisy });
  const show = (name: string, { logits, boxes }: OutputPair) => {
    graph.output(`${name}.logits`, logits);
    graph.output(`${name}.boxes`, boxes);
  };
  traced.layers.forEach((pair, i) => {
    show(`layer${i}`, pair);
  });
  show('encoder', traced.encoder);
  traced.denoising.forEach((pair, i) => {
    show(`denoising${i}`, pair);
  });
  for (const { name, batch } of traced.statistics) graph.output(name, batch);
  const trained = trainableParameters(graph, model.parameters);
  const sources = { first: traced.layers[0], last: traced.layers[traced.layers.length - 1], encoder: traced.encoder };
  const pairs = seeds.map((seed) => (seed === 'denoising' ? traced.denoising[0] : sources[seed]));
  const found = gradients(
    graph,
    new Map(pairs.flatMap(({ logits, boxes }) => [logits, boxes].map((t): [Tensor, Tensor] => [t, ones(t)]))),
    trained.flatMap(({ tensors }) => tensors),
  );
  for (const { name, tensors } of trained) {
    tensors.forEach((tensor, part) => {
      const gradient = found.get(tensor);
      if (gradient) graph.output(`${name} ${part}`, gradient);
    });
  }
  const program = await Program.build(gpu, kernels, graph, store);
  try {
    const pixels = height * width * 3;
    const inputs: Record<string, HostArray> = { image: new Float32Array(batch * pixels) };
    for (let i = 0; i < batch; i++) (inputs.image as Float32Array).set(uniform(images?.[i] ?? `image ${i}`, pixels), i * pixels);
    if (noisy) {
      // The last query of each image is padding.
      inputs.classes = Uint32Array.from({ length: batch * NOISY }, (_, i) =>
        i % NOISY === NOISY - 1 ? config.classes : i % config.classes,
      );
      inputs.boxes = uniform('boxes', batch * NOISY * 4).map((u) => 4 * u - 2);
      inputs.mask = Float32Array.from({ length: queries ** 2 }, (_, at) => {
        const [query, key] = [Math.floor(at / queries), at % queries];
        const group = (i: number) => (i < NOISY ? 1 + Math.floor(i / 2) : 0);
        return key < NOISY && group(query) !== group(key) ? -1e9 : 0;
      });
    }
    const results = await program.run(inputs);
    const pick = (list: readonly string[]) => Object.fromEntries(list.map((name) => [name, results.get(name)!]));
    const parts = (name: string, count: number) => Array.from({ length: count }, (_, part) => results.get(`${name} ${part}`)!);
    return {
      outputs: pick([...results.keys()].filter((name) => /^(layer\d|encoder|denoising\d)\.(logits|boxes)$/.test(name))),
      statistics: Object.fromEntries(traced.statistics.map((s) => [s.name, s.toPyTorch([results.get(s.name)!])])),
      gradients: Object.fromEntries(
        trained.filter(({ name }) => results.has(`${name} 0`)).map((p) => [p.name, p.toPyTorch(parts(p.name, p.tensors.length))]),
      ),
    };
  } finally {
    program.destroy();
    store.destroy();
  }
});

function ones({ graph, shape, size }: Tensor): Tensor {
  return graph.parameter({ key: `ones ${shape.join('x')}`, shape, type: 'f32', sources: [], build: () => new Float32Array(size).fill(1) });
}
