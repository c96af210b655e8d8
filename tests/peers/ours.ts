/** Backdrop as a subject: a Program a case, one submission a run, as an application would do it. */
import type { OpCase } from '../../src/bench/cases.ts';
import { ADAM, CLASSES, type ConvLayer, type Convnet, convnetBatch, convnetTensor } from '../../src/bench/convnet.ts';
import { traceCase } from '../../src/bench/trace.ts';
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { Context } from '../../src/nn/context.ts';
import { ConvNorm, Linear } from '../../src/nn/layers.ts';
import { ParameterTable, Scope } from '../../src/nn/parameters.ts';
import { Training } from '../../src/nn/training.ts';
import { crossEntropy } from '../../src/ops/losses.ts';
import { globalAvgPool } from '../../src/ops/pool.ts';
import { reshape } from '../../src/ops/reshape.ts';
import { GraphStep } from '../../src/training/graph-step.ts';
import type { LossGraph } from '../../src/training/trained-graph.ts';
import type { Data, Prepared, PreparedTraining, Subject } from './subject.ts';

export class Ours implements Subject {
  readonly name = 'backdrop';
  readonly gpu: Gpu;
  readonly kernels: KernelCache;
  readonly #variants: Record<string, string>;

  private constructor(gpu: Gpu, variants: Record<string, string>) {
    this.gpu = gpu;
    this.kernels = new KernelCache(gpu);
    this.#variants = variants;
  }

  static async start(variants: Record<string, string>): Promise<Ours> {
    return new Ours(await openDevice(), variants);
  }

  async prepare(op: OpCase, data: Data): Promise<Prepared> {
    const { graph, inputs, order } = traceCase(op, data);
    const parameters = new ParameterStore(this.gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
    const program = await Program.build(this.gpu, this.kernels, graph, parameters, { variants: this.#variants });
    for (const [name, values] of Object.entries(inputs)) program.write(name, values);
    return {
      run: async (times) => {
        for (let i = 0; i < times; i++) program.submit();
        await this.gpu.guard(this.gpu.device.queue.onSubmittedWorkDone());
      },
      result: async () => order((await program.run({})).get('y') as Float32Array),
      destroy: () => {
        program.destroy();
        parameters.destroy();
      },
    };
  }

  async prepareTraining(net: Convnet): Promise<PreparedTraining> {
    const source = {
      // Running statistics, which no loss depends on, begin as torch's.
      readFloat32: async (name: string) =>
        net.parameters.has(name) ? convnetTensor(net, name) : new Float32Array(channelsOf(net, name)).fill(name.endsWith('var') ? 1 : 0),
    };
    const { rate, beta1, beta2, eps } = ADAM;
    const config = { rate, decay: 0, betas: [beta1, beta2], eps, average: false, program: { variants: this.#variants } } as const;
    const step = await GraphStep.build(this.gpu, this.kernels, convnetLosses(net), source, config);
    const batch = convnetBatch(net.workload);
    step.program.write('image', batch.image);
    step.program.write('labels', batch.labels);
    return { device: this.gpu.device, step: async () => (await step.step({})).loss };
  }
}

/** Channels of the batch norm that has a running statistic. */
const channelsOf = ({ parameters }: Convnet, name: string): number => parameters.get(name.replace(/running_\w+$/, 'weight'))![0];

export function convnetLosses({ workload, stem, blocks, features }: Convnet): LossGraph {
  const parameters = new ParameterTable();
  const scope = new Scope(parameters);
  const graph = new Graph();
  const training = new Training(graph);
  const context = new Context(graph, undefined, training);
  const unit = (layer: ConvLayer, activation: 'relu' | null = 'relu') =>
    new ConvNorm(scope, layer, { activation, names: [layer.conv, layer.norm] });
  const { size, batch } = workload;
  let x = unit(stem).forward(context, graph.input('image', [batch, size, size, 3]));
  for (const { first, second, shortcut } of blocks) {
    const short = shortcut ? unit(shortcut, null).forward(context, x) : x;
    x = unit(second).forward(context, unit(first).forward(context, x), short);
  }
  const logits = reshape(new Linear(scope.child('fc'), features, CLASSES).forward(context, globalAvgPool(x)), [batch, CLASSES]);
  const losses = crossEntropy(logits, graph.input('labels', [batch, CLASSES]));
  return { graph, parameters, losses, statistics: training.statistics };
}
