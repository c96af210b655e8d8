/** Gradients of deformable attention: by gathering for offsets, weights and references, through ordered buckets for the value. */

import clearShader from '../../shaders/copy/clear.wgsl';
import scanShader from '../../shaders/copy/scan.wgsl';
import scanSums from '../../shaders/copy/scan-sums.wgsl';
import countShader from '../../shaders/deformable/count.wgsl';
import dotsShader from '../../shaders/deformable/dots.wgsl';
import fillShader from '../../shaders/deformable/fill.wgsl';
import pointsShader from '../../shaders/deformable/points.wgsl';
import sortShader from '../../shaders/deformable/sort.wgsl';
import sumShader from '../../shaders/deformable/sum.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Dispatch, Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';
import { type DeformableAttributes, levelTable, referenceSize } from './deformable-attention.ts';
import { reduceRows } from './reduce.ts';
import { reshape } from './reshape.ts';

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** What all kernels that find locations are told. */
function common(offsets: Tensor, reference: Tensor, a: DeformableAttributes) {
  const numbers = a.given ? 4 : referenceSize(reference, a)!;
  return {
    params: {
      queries: offsets.rows,
      heads: a.heads,
      levels: a.shapes.length,
      points: sum(a.points),
      offset_scale: a.offsetScale,
      reference_level: !a.given && reference.columns > numbers ? numbers : 0,
      ...layoutParams('offsets', offsets, 1),
      ...layoutParams('reference', reference, 1),
    },
    constants: { GIVEN: a.given ? 1 : 0, REFERENCE: numbers },
    discrete: { DISCRETE: a.method === 'discrete' ? 1 : 0 },
  };
}

function unitOf(a: DeformableAttributes, tensors: readonly Tensor[]): Unit {
  return tensors.every(inVectors) && tensors[0].columns % (4 * a.heads) === 0 ? 4 : 1;
}

/** Clears `y`, which is dense. */
export function clearDispatch(y: Tensor): Dispatch {
  const [gx, gy] = fold(Math.ceil(y.size / 64));
  return launch(clearShader, { label: 'clear', bind: { y }, params: { count: y.size }, grid: [gx, gy, 1] });
}

interface PointsAttributes extends DeformableAttributes {
  withReference: boolean;
}

/** Gradients of offsets and logits; with `withReference` also that of each head's reference, [batch * queries, heads, columns]. */
const pointsOperation: Operation<PointsAttributes> = {
  name: 'deformablePoints',
  denseOutputs: true,

  infer([, offsets, logits, reference], { withReference, heads }) {
    const own = [{ shape: offsets.shape }, { shape: logits.shape }];
    return withReference ? [...own, { shape: [offsets.images * offsets.rows, heads, reference.columns] }] : own;
  },

  lower({ inputs: [value, offsets, logits, reference, g], outputs, attributes: a }, context) {
    const [dOffsets, dLogits] = outputs;
    const unit = unitOf(a, [value, g]);
    const channels = value.columns / a.heads / unit;
    const { params, constants, discrete } = common(offsets, reference, a);
    const { images, rows } = offsets;
    const all = a.heads * params.points;
    const dots = context.temporary([images, rows, 4 * all]);
    const [dx, dy] = fold(Math.ceil((rows * all) / 64));
    const [gx, gy] = fold(Math.ceil((rows * a.heads) / 64));
    const levels = levelTable(value, a);
    return [
      launch(dotsShader, {
        label: 'dots',
        ...elements(unit, ['total']),
        bind: { value, offsets, reference, levels, g, dots },
        params: { ...params, channels, ...layoutParams('value', value, unit), ...layoutParams('g', g, unit) },
        constants: { ...constants, ...discrete },
        grid: [dx, dy, images],
        flops: 8 * images * rows * params.points * value.columns,
      }),
      launch(pointsShader, {
        label: 'points',
        bind: {
          ...{ dots, offsets, logits, reference, levels },
          d_offsets: dOffsets,
          d_logits: dLogits,
          d_reference: outputs[2] ?? context.temporary([4]),
        },
        params: { ...params, reference_columns: reference.columns, ...layoutParams('logits', logits, 1) },
        consts: { WITH_REFERENCE: a.withReference ? 1 : 0 },
        constants,
        grid: [gx, gy, images],
        flops: 12 * images * rows * all,
      }),
    ];
  },
};

/** The gradient of the value. */
const valueOperation: Operation<DeformableAttributes> = {
  name: 'deformableValue',
  infer: ([, , , g], { shapes }) => [{ shape: [g.images, sum(shapes.map(([h, w]) => h * w)), g.columns] }],

  lower({ inputs: [offsets, logits, reference, g], outputs: [dvalue], attributes: a }, context) {
    const unit = unitOf(a, [dvalue, g]);
    const { params, constants, discrete } = common(offsets, reference, a);
    const { images, rows: queries } = offsets;
    const cells = dvalue.rows;
    const all = a.heads * params.points;
    const points = images * queries * all;
    const buckets = images * cells * a.heads;
    const counts = context.temporary([buckets], 'u32');
    const places = context.temporary([points, 4], 'u32');
    const weights = context.temporary([points, 4]);
    const list = context.temporary([points, 4], 'u32');
    const chunk = Math.ceil(Math.sqrt(buckets));
    const chunks = Math.ceil(buckets / chunk);
    const totals = context.temporary([chunks], 'u32');
    const scan = { params: { count: buckets, chunk, chunks }, grid: [Math.ceil(chunks / 64), 1, 1] } as const;
    const channels = dvalue.columns / a.heads / unit;
    const [px, py] = fold(Math.ceil((queries * all) / 64));
    const [fx, fy] = fold(Math.ceil(points / 64));
    const [bx, by] = fold(Math.ceil(buckets / 64));
    const [sx, sy] = fold(Math.ceil((cells * a.heads * channels) / 64));
    return [
      clearDispatch(counts),
      launch(countShader, {
        label: 'count',
        bind: { offsets, logits, reference, levels: levelTable(dvalue, a), counts, places, weights },
        params: { ...params, cells, ...layoutParams('logits', logits, 1) },
        constants: { ...constants, ...discrete },
        grid: [px, py, images],
        flops: 30 * points,
      }),
      launch(scanSums, { label: 'totals', bind: { counts, totals }, ...scan }),
      launch(scanShader, { label: 'starts', bind: { totals, counts }, ...scan }),
      launch(fillShader, { label: 'fill', bind: { places, cursors: counts, list }, params: { count: points }, grid: [fx, fy, 1] }),
      launch(sortShader, { label: 'sort', bind: { ends: counts, list }, params: { buckets }, grid: [bx, by, 1] }),
      launch(sumShader, {
        label: 'sum',
        ...elements(unit),
        bind: { ends: counts, list, weights, g, dvalue },
        params: {
          queries,
          heads: a.heads,
          channels,
          points: params.points,
          cells,
          ...layoutParams('g', g, unit),
          ...layoutParams('dvalue', dvalue, unit),
        },
        grid: [sx, sy, images],
        flops: 8 * points * channels * unit,
      }),
    ];
  },
};

/** Discrete sampling has no gradient of locations. */
export const deformableGradient: GradientRule<DeformableAttributes> = (node, [g], wanted) => {
  const [value, offsets, logits, reference] = node.inputs;
  const a = node.attributes;
  const { graph } = value;
  const dValue = wanted[0] ? graph.add(valueOperation, [offsets, logits, reference, g!], a)[0] : null;
  if (!wanted.slice(1).some(Boolean)) return [dValue, null, null, null];
  const withReference = !a.given && wanted[3] && a.method !== 'discrete';
  const [dOffsets, dLogits, heads] = graph.add(pointsOperation, [value, offsets, logits, reference, g!], { ...a, withReference });
  const dReference = heads ? reshape(reduceRows(heads, 'sum'), reference.shape) : null;
  return [dValue, a.method === 'discrete' ? null : dOffsets, dLogits, dReference];
};

/** `heads` = 1, one level and one point a place: samples of x [batch, height * width, channels] as they are. */
export function sampleGradients(
  x: Tensor,
  locations: Tensor,
  weights: Tensor,
  g: Tensor,
  shape: readonly [number, number],
  wanted: readonly boolean[],
): [Tensor | null, Tensor | null] {
  const a: DeformableAttributes = { heads: 1, shapes: [shape], points: [1], method: 'bilinear', offsetScale: 1, given: true };
  const [dx] = wanted[0] ? x.graph.add(valueOperation, [locations, weights, weights, g], a) : [null];
  const [dLocations] = wanted[1]
    ? x.graph.add(pointsOperation, [x, locations, weights, weights, g], { ...a, withReference: false })
    : [null];
  return [dx, dLocations];
}
