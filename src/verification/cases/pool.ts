/** Golden cases of pooling and resizing. */
import { conv2d } from '../../ops/conv2d.ts';
import { avgPool2d, globalAvgPool, maxPool2d } from '../../ops/pool.ts';
import { resizeBilinear, resizeNearest } from '../../ops/resize.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';

/** Two of the files call the same things by other names. */
function window(b: CaseBuilder) {
  const pick = (short: string, long: string, fallback: number) => b.pair(b.attrs[short] === undefined ? long : short, fallback);
  return { kernel: pick('k', 'kernel', 2), stride: pick('s', 'stride', 1), padding: pick('p', 'padding', 0) };
}

export const poolCases: Record<string, CaseRecipe> = {
  max_pool2d: (b) => b.outputImage('out', maxPool2d(b.image('x'), window(b))),
  max_pool: (b) => b.outputImage('out', maxPool2d(b.image('x'), window(b))),

  avg_pool2d(b) {
    const options = { ...window(b), ceilMode: b.attr('ceil_mode', false), countIncludePad: b.attr('count_include_pad', true) };
    b.outputImage('out', avgPool2d(b.image('x'), options));
  },

  avg_pool_ceil: (b) =>
    b.outputImage('out', avgPool2d(b.image('x'), { ...window(b), ceilMode: b.attr('ceil', true), countIncludePad: false })),

  global_avg_pool: (b) => b.outputImage('out', globalAvgPool(b.image('x'))),

  interpolate(b) {
    const [, , height, width] = b.outputShape('out');
    const scale = b.attr<number | null>('scale', null);
    const target = scale === null ? { size: [height, width] as const } : { scale };
    const mode = b.attr('mode', 'nearest');
    if (mode === 'nearest') b.outputImage('out', resizeNearest(b.image('x'), target));
    else if (mode === 'bilinear')
      b.outputImage('out', resizeBilinear(b.image('x'), { ...target, alignCorners: b.attr('align_corners', false) }));
    else b.later(`no interpolation "${mode}"`);
  },

  /** im2col: a convolution that copies each tap of each channel to a channel of its own, c * taps + tap. */
  unfold(b) {
    const [, channels] = b.shape('x');
    const [kh, kw] = b.pair('k');
    const taps = kh * kw;
    const out = channels * taps;
    const weights = b.computed('taps', [taps, channels, out], () => {
      const values = new Float32Array(taps * channels * out);
      for (let tap = 0; tap < taps; tap++) for (let c = 0; c < channels; c++) values[(tap * channels + c) * out + c * taps + tap] = 1;
      return values;
    });
    b.outputImage('out', conv2d(b.image('x'), weights, null, { kernel: [kh, kw], padding: b.pair('p', 0), stride: b.pair('s', 1) }));
  },
};
