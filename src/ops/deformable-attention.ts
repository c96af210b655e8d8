/** Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159 §4.1; RT-DETRv2's per-level points and discrete sampling). */

import deformable from '../../shaders/deformable/deformable.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';

export interface DeformableSampleOptions {
  heads: number;
  /** [height, width] of each level's map; `value` holds their cells one level after the other. */
  shapes: readonly (readonly [number, number])[];
  /** Sampling points of a head in each level. */
  points: readonly number[];
  /** discrete: RT-DETRv2's, one cell instead of four. */
  method?: 'bilinear' | 'discrete';
}

export interface DeformableAttentionOptions extends DeformableSampleOptions {
  /** Offsets are this fraction of the reference box per point; 0.5 when left out. */
  offsetScale?: number;
}

export interface DeformableAttributes extends Required<DeformableAttentionOptions> {
  /** Locations and weights come as they are: there is no reference. */
  given: boolean;
}

export const deformableOperation: Operation<DeformableAttributes> = {
  name: 'deformable',

  infer([value, offsets, logits, reference], a) {
    const total = a.points.reduce((sum, n) => sum + n, 0);
    const cells = a.shapes.reduce((sum, [h, w]) => sum + h * w, 0);
    const [n, queries] = [offsets.images, offsets.rows];
    const wrong = (what: string) => shapeError('deformable attention', what);
    if (a.points.length !== a.shapes.length || a.points.length === 0 || a.points.some((count) => count < 1))
      throw wrong(`${a.shapes.length} levels with points [${a.points.join(', ')}]: expected one positive number a level`);
    if (value.columns % a.heads !== 0) throw wrong(`${value.columns} columns of the value do not divide into ${a.heads} heads`);
    if (value.images !== n || value.rows !== cells)
      throw wrong(`value is ${show(value.shape)}, the maps ${JSON.stringify(a.shapes)} need [${n}, ${cells}, channels]`);
    if (offsets.columns !== a.heads * total * 2)
      throw wrong(`offsets are ${show(offsets.shape)}, ${a.heads} heads of ${total} points need ${a.heads * total * 2} columns`);
    if (logits.images !== n || logits.rows !== queries || logits.columns !== a.heads * total)
      throw wrong(`weights are ${show(logits.shape)}, expected [${n}, ${queries}, ${a.heads * total}]`);
    if (!a.given && (reference.rows !== queries || reference.images !== n || !referenceSize(reference, a)))
      throw wrong(`reference is ${show(reference.shape)}, expected [${n}, ${queries}, 4 or 2 (or that for each level)]`);
    return [{ shape: [n, queries, value.columns] }];
  },

  lower({ inputs: [value, offsets, logits, reference], outputs: [y], attributes: a }, { target }) {
    const vectors = target.variants.deformable !== 'scalars' && [value, y].every(inVectors) && value.columns % (4 * a.heads) === 0;
    const unit: Unit = vectors ? 4 : 1;
    const channels = value.columns / a.heads / unit;
    const total = a.points.reduce((sum, n) => sum + n, 0);
    const numbers = a.given ? 4 : referenceSize(reference, a)!;
    const [gx, gy] = fold(Math.ceil((y.rows * a.heads * channels) / 64));
    return [
      launch(deformable, {
        ...elements(unit),
        bind: { value, offsets, logits, reference, levels: levelTable(value, a), y },
        params: {
          queries: y.rows,
          heads: a.heads,
          channels,
          levels: a.shapes.length,
          points: total,
          offset_scale: a.offsetScale,
          reference_level: !a.given && reference.columns > numbers ? numbers : 0,
          ...layoutParams('value', value, unit),
          ...layoutParams('y', y, unit),
          ...layoutParams('offsets', offsets, 1),
          ...layoutParams('logits', logits, 1),
          ...layoutParams('reference', reference, 1),
        },
        constants: { DISCRETE: a.method === 'discrete' ? 1 : 0, GIVEN: a.given ? 1 : 0, REFERENCE: numbers },
        grid: [gx, gy, y.images],
        flops: 8 * y.size * total,
      }),
    ];
  },
};

/** Numbers of one reference point: 4 or 2; columns hold one point for all levels or one for each. Four columns are one box. */
export function referenceSize(reference: Tensor, { shapes }: DeformableAttributes): 2 | 4 | null {
  const { columns } = reference;
  if (columns === 4 || columns === 4 * shapes.length) return 4;
  return columns === 2 || columns === 2 * shapes.length ? 2 : null;
}

/** (height, width, first token, points) of each level. */
export function levelTable(value: Tensor, { shapes, points }: DeformableAttributes): Tensor {
  return value.graph.parameter({
    key: `deformable levels ${JSON.stringify([shapes, points])}`,
    shape: [shapes.length, 4],
    type: 'u32',
    sources: [],
    build: () => {
      let first = 0;
      const rows = shapes.map(([h, w], i) => {
        const row = [h, w, first, points[i]];
        first += h * w;
        return row;
      });
      return Uint32Array.from(rows.flat());
    },
  });
}

/**
 * Deformable attention of value [batch, cells of all levels, heads * channels]. offsets [batch, queries, heads * points * 2]
 * (head, level, point, xy) and logits [batch, queries, heads * points], softmax over all points of a head; reference
 * [batch, queries, 4] boxes (x, y, w, h from 0 to 1; location = xy + offset / points of the level * wh * offsetScale) or
 * [batch, queries, 2] points (location = xy + offset / (w, h of the map)), or that many numbers for each level.
 * Result [batch, queries, heads * channels].
 * @throws BackdropError E_SHAPE
 */
export function deformableAttention(
  value: Tensor,
  offsets: Tensor,
  logits: Tensor,
  reference: Tensor,
  options: DeformableAttentionOptions,
): Tensor {
  const attributes: DeformableAttributes = { method: 'bilinear', offsetScale: 0.5, ...options, given: false };
  return value.graph.add(deformableOperation, [value, offsets, logits, reference], attributes)[0];
}

/**
 * The sampling alone: locations [batch, queries, heads * points * 2] from 0 to 1 and weights [batch, queries, heads * points] as they are.
 * @throws BackdropError E_SHAPE
 */
export function deformableSample(value: Tensor, locations: Tensor, weights: Tensor, options: DeformableSampleOptions): Tensor {
  const attributes: DeformableAttributes = { method: 'bilinear', ...options, offsetScale: 1, given: true };
  return value.graph.add(deformableOperation, [value, locations, weights, weights], attributes)[0];
}
