/** Background Attention Module: ResNet basic blocks whose first convolution is an RFCBAMConv. S_1 (stride 8) to F_b (stride 32). */
import type { Tensor } from '../graph/graph.ts';
import type { Affine } from '../nn/affine.ts';
import type { BatchNorm, Context } from '../nn/context.ts';
import { applyConvNorm, Conv2d, ConvNorm, declareBatchNorm } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { add, relu } from '../ops/pointwise.ts';
import { avgPool2d, maxPool2d } from '../ops/pool.ts';
import type { AssociationEncoderConfig } from './ae-config.ts';
import { RfcbamConv } from './rfcbam-conv.ts';

class BamBlock {
  readonly #conv1: RfcbamConv;
  readonly #norm1: BatchNorm;
  readonly #conv2: RfcbamConv | Affine | null;
  readonly #norm2: BatchNorm | null;
  readonly #short: ConvNorm | null;
  readonly #stride: number;
  readonly #shortcut: AssociationEncoderConfig['shortcut'] | 'identity';

  constructor(scope: Scope, config: AssociationEncoderConfig, stride: number, freezeNorm: boolean) {
    const { dim, blockConvs, shortcut } = config;
    const channels = { inputs: dim, outputs: dim };
    const norm = (name: string) => declareBatchNorm(scope.child(name), dim, freezeNorm);
    this.#stride = stride;
    this.#shortcut = stride === 1 ? 'identity' : shortcut;
    this.#conv1 = new RfcbamConv(scope.child('conv1'), config, stride, freezeNorm);
    this.#norm1 = norm('norm1');
    this.#conv2 = null;
    this.#norm2 = null;
    if (blockConvs !== 'rf') {
      const place = scope.child('conv2');
      this.#conv2 =
        blockConvs === 'rf-rf' ? new RfcbamConv(place, config, 1, freezeNorm) : new Conv2d(place, { ...channels, kernel: 3 }, false).affine;
      this.#norm2 = norm('norm2');
    }
    this.#short =
      this.#shortcut === 'conv' ? new ConvNorm(scope.child('short'), { ...channels, stride }, { frozenNorm: freezeNorm }) : null;
  }

  /** The shortcut comes first, so that the last convolution can add it while it stores. */
  forward(context: Context, x: Tensor, stage: string): Tensor {
    const short = this.#shortcutOf(context, x);
    let y = this.#conv1.forward(context, x, this.#norm1, `${stage}.conv1`);
    if (this.#conv2 instanceof RfcbamConv) y = this.#conv2.forward(context, relu(y), this.#norm2!, `${stage}.conv2`);
    else if (this.#conv2) y = applyConvNorm(context, relu(y), this.#conv2, this.#norm2!);
    return context.tap(stage, relu(add(y, short)));
  }

  #shortcutOf(context: Context, x: Tensor): Tensor {
    const side = [this.#stride, this.#stride] as const;
    switch (this.#shortcut) {
      case 'identity':
        return x;
      case 'conv':
        return this.#short!.forward(context, x);
      case 'subsample':
        return maxPool2d(x, { kernel: [1, 1], stride: side });
      case 'max':
        return maxPool2d(x, { kernel: side, stride: side, ceilMode: true });
      case 'avg':
        // Divided by the cells inside the map, as with PyTorch's ceil_mode on windows that hang over its edge.
        return avgPool2d(x, { kernel: side, stride: side, ceilMode: true, countIncludePad: false });
    }
  }
}

export class BackgroundAttentionModule {
  readonly #projection: ConvNorm | null;
  readonly #pool: AssociationEncoderConfig['pool'];
  readonly #blocks: BamBlock[];

  constructor(scope: Scope, config: AssociationEncoderConfig, freezeNorm: boolean) {
    const { bamInput, s1Channels, dim, pool, blockStrides } = config;
    this.#projection =
      bamInput === 'own' ? new ConvNorm(scope.child('proj'), { inputs: s1Channels, outputs: dim }, { frozenNorm: freezeNorm }) : null;
    this.#pool = pool;
    this.#blocks = blockStrides.map((stride, i) => new BamBlock(scope.child('blocks').child(i), config, stride, freezeNorm));
  }

  /** s1 [batch, height / 8, width / 8, s1Channels] to F_b [batch, height / 32, width / 32, dim], never negative. */
  forward(context: Context, s1: Tensor): Tensor {
    const { graph } = context;
    return graph.scoped('bam', () => {
      let x = this.#projection ? this.#projection.forward(context, s1) : s1;
      if (this.#pool === 'max3s2') x = maxPool2d(x, { kernel: [3, 3], stride: [2, 2], padding: [1, 1] });
      else if (this.#pool === 'max5s4') x = maxPool2d(x, { kernel: [5, 5], stride: [4, 4], padding: [2, 2] });
      context.tap('bam.pool', x);
      this.#blocks.forEach((block, i) => {
        x = graph.scoped(`blocks.${i}`, () => block.forward(context, x, `bam.blocks.${i}`));
      });
      return x;
    });
  }
}
