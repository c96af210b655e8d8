/** Golden cases of convolutions and matrix products. */
import { conv2d, linear } from '../../ops/conv2d.ts';
import { matmul } from '../../ops/matmul.ts';
import type { CaseRecipe } from '../case.ts';
import { transpose } from '../layout.ts';

export const denseCases: Record<string, CaseRecipe> = {
  conv2d(b) {
    const [, channels] = b.shape('x');
    const [, , kh, kw] = b.shape('w');
    const groups = b.attr('groups', 1);
    const depthwise = groups > 1 && groups === channels;
    const multiplier = b.shape('w')[0] / channels;
    const bias = !b.has('b')
      ? null
      : b.parameter('b', [b.shape('w')[0]], (values) => (depthwise ? transpose(values, [channels, multiplier], [1, 0]) : values));
    const y = conv2d(b.image('x'), b.convWeights('w', channels, groups), bias, {
      kernel: [kh, kw],
      stride: b.pair('stride', 1),
      padding: b.pair('padding', 0),
      dilation: b.pair('dilation', 1),
      groups,
    });
    const [n, h, w, out] = y.shape;
    // Our depthwise output channel j * channels + c is PyTorch's c * multiplier + j.
    const shape = depthwise ? [n, h, w, multiplier, channels] : [n, h, w, out, 1];
    b.output('out', y, (values) => transpose(values, shape, depthwise ? [0, 4, 3, 1, 2] : [0, 3, 4, 1, 2]));
  },

  /** Batches broadcast. Which operand is transposed shows in the sizes; where it does not, in the case's name. */
  matmul(b) {
    const [a, w] = [b.shape('a'), b.shape('b')];
    const [rows, columns] = b.outputShape('out').slice(-2);
    const fits = (transposeA: boolean, transposeB: boolean) => {
      const [m, k] = transposeA ? [a[a.length - 1], a[a.length - 2]] : [a[a.length - 2], a[a.length - 1]];
      const [inner, n] = transposeB ? [w[w.length - 1], w[w.length - 2]] : [w[w.length - 2], w[w.length - 1]];
      return m === rows && k === inner && n === columns;
    };
    const named = [/transA/i.test(b.name), /transB/i.test(b.name)] as const;
    const ways = [named, [false, false], [false, true], [true, false], [true, true]] as const;
    const way =
      ways.find(([transposeA, transposeB]) => fits(transposeA, transposeB)) ??
      b.later(`no product of [${a.join(', ')}] and [${w.join(', ')}]`);
    b.output('out', matmul(b.input('a'), b.input('b'), { transposeA: way[0], transposeB: way[1] }));
  },

  linear(b) {
    b.output('out', linear(b.input('x'), b.linearWeights('w'), b.optional('b')));
  },
};
