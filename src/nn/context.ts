/** What a forward pass carries from layer to layer while it is traced. */
import type { Graph, Tensor } from '../graph/graph.ts';
import type { PointwiseRow } from '../graph/pointwise.ts';

/** A BatchNorm2d; frozen, a FrozenBatchNorm2d, whose four tensors are constants. */
export interface BatchNorm {
  readonly name: string;
  readonly channels: number;
  readonly frozen: boolean;
}

/** What follows a batch norm: a residual that is added, then an activation. */
export interface BehindNorm {
  readonly residual?: Tensor | null;
  readonly activation?: PointwiseRow | null;
}

/**
 * How layers trace themselves for training, where every checkpoint tensor is a parameter of its own and nothing may be folded.
 * nn/training.ts implements it, apart, so that a page which only detects does not load it.
 */
export interface TrainingTrace {
  /** @param order the place of each of PyTorch's channels among ours; null where they agree */
  batchNorm(x: Tensor, norm: BatchNorm, order: ((channel: number) => number) | null, behind?: BehindNorm): Tensor;
}

export class Context {
  readonly graph: Graph;
  /** Null: for inference. Batch norms and RepVGG branches are folded into their convolutions. */
  readonly training: TrainingTrace | null;
  readonly #wanted: (stage: string) => boolean;

  constructor(graph: Graph, wanted: (stage: string) => boolean = () => false, training: TrainingTrace | null = null) {
    this.graph = graph;
    this.training = training;
    this.#wanted = wanted;
  }

  /** Is this intermediate result asked for? Where showing it costs operations of its own, ask first. */
  wants(stage: string): boolean {
    return this.#wanted(stage);
  }

  /** Makes an intermediate result the graph output `stage/<name>` where it is asked for. */
  tap(stage: string, tensor: Tensor): Tensor {
    if (this.#wanted(stage)) this.graph.output(`stage/${stage}`, tensor);
    return tensor;
  }
}
