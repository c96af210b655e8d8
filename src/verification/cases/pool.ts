/** Golden cases of pooling and resizing. */
import type { Tensor } from '../../graph/graph.ts';
import { conv2d } from '../../ops/conv2d.ts';
import { softmax } from '../../ops/norm.ts';
import { mul, rows } from '../../ops/pointwise.ts';
import { avgPool2d, globalAvgPool, maxPool2d } from '../../ops/pool.ts';
import { pixelShuffle, pixelUnshuffle, unfold } from '../../ops/rearrange.ts';
import { permute, reshape } from '../../ops/reshape.ts';
import { resizeBilinear, resizeNearest } from '../../ops/resize.ts';
import { batchNormTrain } from '../../ops/standardise.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';
import { toNhwc, transpose } from '../layout.ts';

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

  /** Columns [n, channels * taps, places] in PyTorch, [n, places, taps * channels] with us. */
  unfold(b) {
    const [n, channels] = b.shape('x');
    const kernel = b.pair('k');
    const columns = unfold(b.image('x'), { kernel, padding: b.pair('p', 0), stride: b.pair('s', 1), dilation: b.pair('d', 1) });
    const shape = [n, columns.rows, kernel[0] * kernel[1], channels];
    b.output('out', columns, (values) => transpose(values, shape, [0, 3, 2, 1]));
  },

  pixel_shuffle: (b) => b.outputImage('out', pixelShuffle(b.image('x'), b.attr('r', b.attrs.factor as number))),
  pixel_unshuffle: (b) => b.outputImage('out', pixelUnshuffle(b.image('x'), b.attr('r', b.attrs.factor as number))),

  /** RFAConv's rearrangement [n, c, taps, h, w] to [n, c, h k, w k] is a pixel shuffle. */
  rfa_rearrange(b) {
    const pattern = 'b c (n1 n2) h w -> b c (h n1) (w n2)';
    if (b.attr('pattern', pattern) !== pattern) b.later(`no rearrangement "${b.attr('pattern')}"`);
    const [n, c, taps, h, w] = b.shape('x');
    const map = b.feed('x', [n, h, w, c * taps], (values) => toNhwc(values, [n, c * taps, h, w]));
    b.outputImage('out', pixelShuffle(map, b.attr('k')));
  },

  /** RFAConv (arXiv 2304.03198): each tap's maps weighted by a softmax over the taps, laid out by pixel shuffle, then convolved. */
  rfaconv(b) {
    const x = b.image('x');
    const channels = x.columns;
    const k = b.attr<number>('k');
    const taps = k * k;
    const side = b.pair('stride');
    const around: [number, number] = [Math.floor(k / 2), Math.floor(k / 2)];
    // Depthwise maps come tap by tap, [places, taps, channels]; a softmax needs the taps last.
    const tapsLast = (map: Tensor) => permute(reshape(map, [map.images * map.rows, taps, channels]), [0, 2, 1]);
    const pooled = avgPool2d(x, { kernel: [k, k], stride: side, padding: around });
    const weights = conv2d(pooled, b.convWeights('w_gw', channels, channels), null, { kernel: [1, 1], groups: channels });
    const options = { kernel: [k, k] as const, stride: side, padding: around, groups: channels };
    const maps = conv2d(x, b.convWeights('w_gen', channels, channels), null, options);
    const [scale, shift] = ['bn_w', 'bn_b'].map((name) =>
      b.parameter(name, [channels * taps], (values) => transpose(values, [channels, taps], [1, 0])),
    );
    const features = batchNormTrain(maps, scale, shift, { eps: b.attr('eps', 1e-5), activation: rows.relu }).y;
    const weighted = mul(tapsLast(features), softmax(tapsLast(weights)));
    const [n, h, w] = maps.shape;
    const laid = pixelShuffle(reshape(weighted, [n, h, w, channels * taps]), k);
    b.outputImage('out', conv2d(laid, b.convWeights('w', channels, 1), b.optional('b'), { kernel: [k, k], stride: [k, k] }));
  },
};
