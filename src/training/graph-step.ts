/**
 * A training step of any graph whose losses follow from its inputs: classifiers, autoencoders, parts of a detector. One submission
 * a batch and one read-back a step, which brings the loss and whether all was finite.
 */
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import type { ParameterSource } from '../graph/parameters.ts';
import type { HostArray, Program } from '../graph/program.ts';
import { nonFiniteTensor } from './failures.ts';
import type { ParameterGroup } from './groups.ts';
import type { Optimizer } from './optimizer.ts';
import { floats, ReadBack } from './read-back.ts';
import type { TrainingState } from './state.ts';
import { LOSSES, type LossGraph, type TrainedGraph, trainGraph } from './trained-graph.ts';
import { OneAtATime, type OptimizerConfig, TrainedProgram } from './trained-program.ts';

/** The graph's inputs by name. */
export type GraphBatch = Readonly<Record<string, HostArray>>;

export interface GraphStepReport {
  /** From 0. */
  readonly step: number;
  /** Sum of the losses, over all batches of the step. */
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly norm: number;
  /** Learning rate of each group. */
  readonly rates: readonly number[];
}

export class GraphStep {
  readonly #gpu: Gpu;
  readonly #traced: TrainedGraph;
  readonly #trained: TrainedProgram;
  readonly #readBack: ReadBack;
  readonly #alone = new OneAtATime();

  private constructor(gpu: Gpu, traced: TrainedGraph, trained: TrainedProgram) {
    this.#gpu = gpu;
    this.#traced = traced;
    this.#trained = trained;
    this.#readBack = new ReadBack(gpu, [trained.optimizer.stepGradients.location(LOSSES), trained.status]);
  }

  /**
   * Appends gradients to the graph, plans and compiles it, with its parameters from a checkpoint.
   * @throws BackdropError E_INPUT for a pattern that matches nothing, E_MODEL_CONFIG for an operation without a gradient,
   *   E_SHAPE, E_GPU_LIMIT, E_GPU_OOM, and the checkpoint's errors
   */
  static async build(
    gpu: Gpu,
    kernels: KernelCache,
    losses: LossGraph,
    source: ParameterSource,
    config: OptimizerConfig = {},
  ): Promise<GraphStep> {
    const traced = trainGraph(losses);
    return new GraphStep(gpu, traced, await TrainedProgram.build(gpu, kernels, traced, source, config));
  }

  get program(): Program {
    return this.#trained.program;
  }

  get optimizer(): Optimizer {
    return this.#trained.optimizer;
  }

  get groups(): readonly ParameterGroup[] {
    return this.#trained.groups;
  }

  /** What is worth knowing about the groups' patterns. */
  get notes(): readonly string[] {
    return this.#trained.notes;
  }

  /** Launches of a step, the optimizer's included. */
  get dispatches(): number {
    return this.#trained.dispatches;
  }

  /**
   * Takes a step on one batch, or on several whose losses and gradients are summed. Inputs that a batch leaves out keep their numbers.
   * @throws BackdropError E_INPUT, E_SHAPE for inputs that cannot be; E_TRAIN_NAN when a loss, gradient or statistic is not finite:
   *   then no parameter, moment, average or statistic has changed
   */
  async step(batches: GraphBatch | readonly GraphBatch[], { epoch = 0 }: { epoch?: number } = {}): Promise<GraphStepReport> {
    return this.#alone.run(() => this.#step(Array.isArray(batches) ? batches : [batches as GraphBatch], epoch));
  }

  async #step(batches: readonly GraphBatch[], epoch: number): Promise<GraphStepReport> {
    const { device, counters } = this.#gpu;
    const trained = this.#trained;
    trained.checkBatches(batches.length);
    const step = trained.steps;
    const rates = trained.rates(epoch);
    trained.begin(rates);
    let encoder = device.createCommandEncoder();
    for (const [part, inputs] of batches.entries()) {
      for (const [name, data] of Object.entries(inputs)) this.program.write(name, data);
      const pass = encoder.beginComputePass();
      const last = part === batches.length - 1;
      trained.encode(pass, 0, { first: part === 0, last });
      pass.end();
      if (last) break;
      // Its inputs are written before the next one's.
      counters.submits += 1;
      device.queue.submit([encoder.finish()]);
      encoder = device.createCommandEncoder();
    }
    const [losses, status] = await this.#readBack.submit(encoder);
    const { norm, nonFinite } = this.optimizer.status(status);
    if (nonFinite) throw nonFiniteTensor(this.#traced, step, nonFinite);
    trained.updates += 1;
    return { step, loss: floats(losses).reduce((sum, value) => sum + value, 0), norm, rates };
  }

  /** All that a resumed run needs. */
  async save(): Promise<TrainingState> {
    return this.#alone.run(() => this.#trained.save());
  }

  /** Continues where `save` was called. @throws BackdropError E_CKPT_ARCH, E_CKPT_SHAPE when the state is another model's */
  load(state: TrainingState): void {
    this.#trained.load(state);
  }

  destroy(): void {
    this.#trained.destroy();
    this.#readBack.destroy();
  }
}
