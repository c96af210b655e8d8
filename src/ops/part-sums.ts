/** The last stage of sums that are computed in parts: one launch makes up to seven of them (`LowerContext.partials`). */
import partsShader from '../../shaders/reduce/parts.wgsl';
import type { LowerContext, PartSums, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, type Unit } from './common.ts';

const slots = [0, 1, 2, 3, 4, 5, 6] as const;

type SlotFields = Record<
  `${'parts' | 'first' | 'distance' | 'end'}${(typeof slots)[number]}` | `y${(typeof slots)[number]}_offset`,
  number
>;

const kindOf = (unit: Unit): PartSums => ({
  most: slots.length,

  launch(scratch, sums, temporary) {
    const params: Record<string, number> = {};
    const results: Record<string, Tensor> = {};
    let end = 0;
    for (const slot of slots) {
      const entry = sums[slot];
      results[`y${slot}`] = entry?.sum ?? temporary([4]);
      end += (entry?.sum.size ?? 0) / unit;
      params[`parts${slot}`] = entry?.parts ?? 0;
      params[`first${slot}`] = (entry?.first ?? 0) / unit;
      params[`distance${slot}`] = (entry?.distance ?? 0) / unit;
      params[`end${slot}`] = end;
      params[`y${slot}_offset`] = (entry?.sum.layout().offset ?? 0) / unit;
    }
    const [gx, gy] = fold(Math.ceil(end / 64));
    return launch(partsShader, {
      ...elements(unit),
      bind: { x: scratch, ...results },
      params: params as SlotFields,
      grid: [gx, gy, 1],
      flops: scratch.size,
    });
  },
});

const vectors = kindOf(4);
const scalars = kindOf(1);

/** Room for `parts` copies of `sums`, which are added later; see `LowerContext.partials`. */
export function partials(context: LowerContext, sums: readonly Tensor[], parts: number): Tensor {
  const whole = sums.every((sum) => sum.size % 4 === 0 && sum.layout().offset % 4 === 0);
  return context.partials(whole ? vectors : scalars, sums, parts);
}
