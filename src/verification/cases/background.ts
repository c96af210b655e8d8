/** Golden cases of pre-training the Background Attention Module and of its heatmaps. */
import { type RegionLabels, regionLabels } from '../../data/region-labels.ts';
import {
  backgroundHeatmap,
  classHeatmap,
  type FeatureMap,
  type Heatmap,
  overlayHeatmap,
  regionLogits,
  resizeHeatmap,
  stretched,
} from '../../detector/heatmap.ts';
import { associationEncoderDefaults } from '../../models/ae-config.ts';
import { BackgroundClassifier } from '../../models/background-classifier.ts';
import { linear } from '../../ops/conv2d.ts';
import { gradients } from '../../ops/gradient.ts';
import { mul } from '../../ops/pointwise.ts';
import { globalAvgPool } from '../../ops/pool.ts';
import { reduceColumns, reduceRows } from '../../ops/reduce.ts';
import { type RegionLoss, regionLoss } from '../../training/region-loss.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';
import { toNhwc } from '../layout.ts';
import { associationEncoderConfig } from '../model-config.ts';

/** One-hot rows, or the targets as they are. */
export function regionTargets(values: ArrayLike<number>, mode: RegionLoss, classes: number): Float32Array {
  if (mode !== 'dominant') return Float32Array.from(values);
  return Float32Array.from({ length: values.length * classes }, (_, i) => (values[Math.floor(i / classes)] === i % classes ? 1 : 0));
}

/** The classifier of a case's entries, with `sources` where the file keeps them under other names. */
export const classifierOf = (attrs: Readonly<Record<string, unknown>>, inputs: number, classes: number) => {
  const config = { ...associationEncoderDefaults, ...associationEncoderConfig(attrs) };
  return (scope: ConstructorParameters<typeof BackgroundClassifier>[0]) => new BackgroundClassifier(scope, config, inputs, classes);
};

export const backgroundCases: Record<string, CaseRecipe> = {
  background_loss(b) {
    const mode = b.attr<RegionLoss>('mode');
    const shape = b.shape('logits');
    const targets = b.feed('target', shape, (values) => regionTargets(values, mode, shape[1]));
    b.output('out', regionLoss(b.input('logits'), targets, mode));
  },

  bam_pretrain(b) {
    const mode = b.attr<RegionLoss>('mode');
    const [classes] = b.shape('p:head.bias');
    const [images, inputs] = b.shape('s1');
    const layer = b.module(classifierOf(b.attrs, inputs, classes));
    const { fb, logits } = layer.forward(b.context(), b.image('s1'));
    const targets = b.feed('target', [images, classes], (values) => regionTargets(values, mode, classes));
    b.output('loss', regionLoss(logits, targets, mode));
    b.output('logits', logits);
    b.outputImage('F_b', fb);
    b.takeStatistics();
  },

  region_labels(b) {
    const { share, presence, dominant }: RegionLabels = regionLabels(b.golden('region').values, b.attr('min_share'));
    b.host('share', share);
    b.host('presence', presence);
    b.host('dominant', [dominant]);
    b.exact.add('presence').add('dominant');
  },

  /** The heatmap by backward and by the head alone. */
  grad_cam(b) {
    const shape = b.shape('fb');
    const [images, channels, height, width] = shape;
    const data = toNhwc(b.golden('fb').values, shape);
    const head = { weight: b.golden('head_weight').values, bias: b.golden('head_bias').values };
    const maps = Array.from({ length: images }, (_, n): FeatureMap => {
      const length = height * width * channels;
      return { height, width, channels, data: data.subarray(n * length, (n + 1) * length) };
    });
    const logits = maps.map((map) => regionLogits(map, head));
    const chosen = b.attr<('auto' | number)[]>('cls').map((cls, n) => (cls === 'auto' ? logits[n].indexOf(Math.max(...logits[n])) : cls));
    heatmaps(b, maps, head, chosen);
    b.host('cls', chosen);
    b.host(
      'present',
      logits.flatMap((list) => Array.from(list.subarray(0, 7), (v) => (v > 0 ? 1 : 0))),
    );
    b.exact.add('cls').add('present');

    const fb = b.image('fb');
    const scores = linear(globalAvgPool(fb), b.linearWeights('head_weight'), b.vector('head_bias'));
    b.output('logits', scores);
    const classes = head.bias.length;
    const seed = b.graph.input('seed', scores.shape);
    b.feeds.seed = Float32Array.from({ length: images * classes }, (_, i) => (chosen[Math.floor(i / classes)] === i % classes ? 1 : 0));
    const gradient = gradients(b.graph, new Map([[scores, seed]]), [fb]).get(fb)!;
    const cam = reduceColumns(mul(fb, reduceRows(gradient, 'mean')), 'sum');
    const size = height * width;
    b.output('cam_autograd', cam, (values) =>
      maps.flatMap((_, n) => [...stretched(Float64Array.from({ length: size }, (_value, i) => values[n * size + i]))]),
    );
  },
};

function heatmaps(b: CaseBuilder, maps: readonly FeatureMap[], head: Parameters<typeof classHeatmap>[1], chosen: readonly number[]): void {
  const shape = b.shape('image_u8');
  const [, , height, width] = shape;
  const picture = toNhwc(b.golden('image_u8').values, shape).map((v) => v / 255);
  const cams = maps.map((map, n) => classHeatmap(map, head, chosen[n]));
  const resized = cams.map((cam) => resizeHeatmap(cam, height, width));
  const overlays = resized.flatMap((map, n) => [
    ...overlayHeatmap(map, picture.subarray(n * 3 * height * width, (n + 1) * 3 * height * width)),
  ]);
  const flat = (list: readonly Heatmap[]) => list.flatMap(({ data }) => [...data]);
  b.host('cam_head', flat(cams));
  b.host('cam_resized', flat(resized));
  b.host('background', flat(maps.map((map) => backgroundHeatmap(map, head, height, width))));
  b.host('overlay', overlays);
  for (const [name, rounding] of [
    ['overlay_u8_round', 0.5],
    ['overlay_u8_trunc', 0],
  ] as const) {
    b.host(
      name,
      overlays.map((v) => 255 * v + rounding),
    );
    b.floored.add(name);
  }
}
