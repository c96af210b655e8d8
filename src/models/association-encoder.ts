/**
 * The Association Encoder: the Background Attention Module (BAM) makes F_b from S_1, the Association Module (AM) lets its
 * places see each other, and the sum is added to F_3. "Don't Let The Information Slip Away", §3; structure as reconstructed.
 */
import { shapeError, show, type Tensor } from '../graph/graph.ts';
import { scalarTensor, tensorAsIs } from '../nn/affine.ts';
import type { Context } from '../nn/context.ts';
import type { Scope } from '../nn/parameters.ts';
import { add, mul } from '../ops/pointwise.ts';
import type { AssociationEncoderConfig } from './ae-config.ts';
import { BackgroundAttentionModule } from './background-attention.ts';
import { ConvFeedForward, FeedForward, GlobalAttention, PreNormBlock, WindowAttention, zeroPadding } from './pre-norm-block.ts';

export class AssociationEncoder {
  readonly config: AssociationEncoderConfig;
  readonly #bam: BackgroundAttentionModule | null;
  readonly #module: PreNormBlock | null;
  /** How the module's stages are named: am or el. */
  readonly #gate: string | null;

  constructor(scope: Scope, config: AssociationEncoderConfig, freezeNorm = false) {
    const { variant, dim, gate } = config;
    this.config = config;
    const parts = variant.split('+');
    this.#gate = gate === 'scalar' ? scope.declare('gate', [1]) : null;
    this.#bam = parts.includes('bam') ? new BackgroundAttentionModule(scope.child('bam'), config, freezeNorm) : null;
    if (parts.includes('am')) {
      const place = scope.child('am');
      this.#module = new PreNormBlock(place, 'am', dim, {
        attention: (at) => new WindowAttention(at, config),
        feedForward: (at) => new ConvFeedForward(at, dim, config.ffnHidden, config.ffnKernel),
        order: config.amOrder,
      });
    } else if (parts.includes('el')) {
      this.#module = new PreNormBlock(scope.child('el'), 'el', dim, {
        attention: (at) => new GlobalAttention(at, config),
        feedForward: (at) => new FeedForward(at, dim, config.elFfn),
        order: 'attn-ffn',
      });
    } else this.#module = null;
  }

  /** F_b [batch, height / 32, width / 32, dim] from S_1 as `bamInput` says; null in the variants without a BAM. */
  background(context: Context, s1: Tensor): Tensor | null {
    const bam = this.#bam;
    return bam && context.graph.scoped('association_encoder', () => context.tap('F_b', bam.forward(context, s1)));
  }

  /**
   * The new F_3 from F_b and the hybrid encoder's F_3. `pad` [batch, height, width] is 1 where a cell is padding of the batch:
   * F_b and F_a are zero there. @throws BackdropError E_SHAPE
   */
  forward(context: Context, fb: Tensor | null, f3: Tensor, pad: Tensor | null = null): Tensor {
    if (fb && fb.shape.join() !== f3.shape.join()) {
      throw shapeError('association encoder', `F_b is ${show(fb.shape)}, F_3 is ${show(f3.shape)}; check pool and blockStrides`);
    }
    return context.graph.scoped('association_encoder', () => {
      let sum = this.#sum(context, fb && pad ? zeroPadding(fb, pad) : fb, f3, pad);
      if (this.#gate) {
        // Four copies for kernels that walk vectors; a number that is trained exists once.
        const gate = context.training ? tensorAsIs(context.graph, this.#gate, [1, 1]) : scalarTensor(context.graph, this.#gate);
        sum = mul(sum, gate);
      }
      context.tap('background', sum);
      return context.tap('F_3', add(f3, sum));
    });
  }

  /** What is added to F_3, before the gate. */
  #sum(context: Context, fb: Tensor | null, f3: Tensor, pad: Tensor | null): Tensor {
    if (!this.#module) return fb!;
    const made = this.#module.forward(context, fb ?? f3, pad);
    const fa = context.tap('F_a', pad ? zeroPadding(made, pad) : made);
    if (!fb || this.config.wiring === 'direct') return fa;
    return this.config.wiring === 'residual' ? add(fb, fa) : add(fb, add(fb, fa));
  }
}
