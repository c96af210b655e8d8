/** What a forward pass carries from layer to layer while it is traced. */
import type { Graph, Tensor } from '../graph/graph.ts';

/** How layers trace themselves. infer: batch norms and RepVGG branches are folded into their convolutions. */
export type Mode = 'infer';

export class Context {
  readonly graph: Graph;
  readonly mode: Mode;
  readonly #wanted: (stage: string) => boolean;

  constructor(graph: Graph, wanted: (stage: string) => boolean = () => false, mode: Mode = 'infer') {
    this.graph = graph;
    this.mode = mode;
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
