/** Golden cases of convolutions and matrix products. */
import { conv2d, linear } from '../../ops/conv2d.ts';
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

  linear(b) {
    b.output('out', linear(b.input('x'), b.linearWeights('w'), b.optional('b')));
  },
};
