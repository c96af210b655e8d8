/**
 * What the Background Attention Module is pre-trained as: projection of the backbone's map at stride 8, the module, the mean over its
 * map, and a linear classifier of regions. Entries `proj.*`, `bam.*` and `head.*`; those of projection and module go into the detector.
 */
import type { Tensor } from '../graph/graph.ts';
import type { Context } from '../nn/context.ts';
import { ConvNorm, Linear } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { globalAvgPool } from '../ops/pool.ts';
import { reshape } from '../ops/reshape.ts';
import type { AssociationEncoderConfig } from './ae-config.ts';
import { BackgroundAttentionModule } from './background-attention.ts';

export class BackgroundClassifier {
  readonly #projection: ConvNorm | null;
  readonly #bam: BackgroundAttentionModule;
  readonly #head: Linear;
  readonly #classes: number;

  /** @param inputs channels of the backbone's map at stride 8 */
  constructor(scope: Scope, config: AssociationEncoderConfig, inputs: number, classes: number) {
    this.#projection = config.bamInput === 'own' ? null : new ConvNorm(scope.child('proj'), { inputs, outputs: config.dim });
    this.#bam = new BackgroundAttentionModule(scope.child('bam'), config, false);
    this.#head = new Linear(scope.child('head'), config.dim, classes);
    this.#classes = classes;
  }

  /** F_b [batch, height / 4, width / 4, dim] and logits [batch, classes] of the map [batch, height, width, inputs]. */
  forward(context: Context, s1: Tensor): { fb: Tensor; logits: Tensor } {
    const fb = this.#bam.forward(context, this.#projection?.forward(context, s1) ?? s1);
    const logits = this.#head.forward(context, globalAvgPool(fb));
    return { fb, logits: reshape(logits, [s1.images, this.#classes]) };
  }
}
