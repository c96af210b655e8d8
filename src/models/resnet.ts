/** PResNet, variant d: ResNet with a three-convolution stem and average pools in front of strided shortcuts. */
import type { Tensor } from '../graph/graph.ts';
import type { Context } from '../nn/context.ts';
import { type Activation, ConvNorm } from '../nn/layers.ts';
import type { Scope } from '../nn/parameters.ts';
import { add, relu } from '../ops/pointwise.ts';
import { avgPool2d, maxPool2d } from '../ops/pool.ts';

export interface ResNetOptions {
  block: 'basic' | 'bottleneck';
  /** Blocks of the four stages. */
  counts: readonly number[];
  /** 64 in every published model: the stem has half of it, the stages 1, 2, 4 and 8 times it. */
  baseWidth: number;
  /** -1: all parameters are trained; 0: the stem's get no gradient; k: the first k stages' neither. */
  freezeAt: number;
  /** FrozenBatchNorm2d in place of every batch norm. */
  freezeNorm: boolean;
}

/** Output channels of the stages at stride 8, 16 and 32. */
export function resnetChannels({ block, baseWidth }: Pick<ResNetOptions, 'block' | 'baseWidth'>): [number, number, number] {
  const expansion = block === 'bottleneck' ? 4 : 1;
  return [2, 4, 8].map((factor) => factor * baseWidth * expansion) as [number, number, number];
}

class Block {
  readonly #branch: ConvNorm[];
  readonly #short: ConvNorm | null;
  /** The shortcut halves the map with an average pool before its 1x1 convolution. */
  readonly #pooled: boolean;

  constructor(scope: Scope, options: ResNetOptions, inputs: number, width: number, stride: number, first: boolean) {
    const { block, freezeNorm: frozenNorm } = options;
    const unit = (name: string, from: number, to: number, kernel: number, step: number, activation: Activation) =>
      new ConvNorm(scope.child(name), { inputs: from, outputs: to, kernel, stride: step }, { activation, frozenNorm });
    this.#pooled = stride === 2;
    const shortcut = (to: number) => (first ? unit(this.#pooled ? 'short.conv' : 'short', inputs, to, 1, 1, null) : null);
    // The two blocks register their shortcut in different places, and the order of the entries is PyTorch's.
    if (block === 'basic') {
      this.#short = shortcut(width);
      this.#branch = [unit('branch2a', inputs, width, 3, stride, 'relu'), unit('branch2b', width, width, 3, 1, null)];
    } else {
      this.#branch = [
        unit('branch2a', inputs, width, 1, 1, 'relu'),
        unit('branch2b', width, width, 3, stride, 'relu'),
        unit('branch2c', width, 4 * width, 1, 1, null),
      ];
      this.#short = shortcut(4 * width);
    }
  }

  forward(context: Context, x: Tensor): Tensor {
    let short = x;
    if (this.#short) {
      const input = this.#pooled ? avgPool2d(x, { kernel: [2, 2], stride: [2, 2], ceilMode: true }) : x;
      short = this.#short.forward(context, input);
    }
    const branch = this.#branch.reduce((v, unit) => unit.forward(context, v), x);
    return relu(add(branch, short));
  }
}

export class ResNet {
  readonly #stem: ConvNorm[];
  readonly #stages: Block[][];

  constructor(scope: Scope, options: ResNetOptions) {
    const { baseWidth, counts, freezeAt, freezeNorm: frozenNorm, block } = options;
    const half = baseWidth / 2;
    const stem = scope.child('conv1').frozenWhen(freezeAt >= 0);
    this.#stem = [
      [3, half, 2],
      [half, half, 1],
      [half, baseWidth, 1],
    ].map(
      ([inputs, outputs, stride], i) =>
        new ConvNorm(stem.child(`conv1_${i + 1}`), { inputs, outputs, kernel: 3, stride }, { activation: 'relu', frozenNorm }),
    );
    let channels = baseWidth;
    this.#stages = counts.map((count, stage) => {
      const width = baseWidth * 2 ** stage;
      const place = scope
        .child('res_layers')
        .child(stage)
        .child('blocks')
        .frozenWhen(freezeAt > stage);
      return Array.from({ length: count }, (_, i) => {
        const inputs = channels;
        channels = block === 'bottleneck' ? 4 * width : width;
        return new Block(place.child(i), options, inputs, width, stage > 0 && i === 0 ? 2 : 1, i === 0);
      });
    });
  }

  /** image [batch, height, width, 3] to maps at stride 8, 16 and 32. */
  forward(context: Context, image: Tensor): [Tensor, Tensor, Tensor] {
    const { graph } = context;
    return graph.scoped('backbone', () => {
      let x = graph.scoped('conv1', () => this.#stem.reduce((v, unit) => unit.forward(context, v), image));
      context.tap('backbone.stem', x);
      x = maxPool2d(x, { kernel: [3, 3], stride: [2, 2], padding: [1, 1] });
      const outputs = this.#stages.map((blocks, stage) => {
        blocks.forEach((block, i) => {
          x = graph.scoped(`res_layers.${stage}.blocks.${i}`, () => block.forward(context, x));
        });
        return context.tap(`backbone.res_layers.${stage}`, x);
      });
      return outputs.slice(1) as [Tensor, Tensor, Tensor];
    });
  }
}
