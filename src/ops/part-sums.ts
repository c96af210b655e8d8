/** The last stage of sums that are computed in parts: one launch makes many of them (`LowerContext.partials`). */
import partsShader from '../../shaders/reduce/parts.wgsl';
import type { LowerContext, PartSums, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, type Unit } from './common.ts';

const kindOf = (unit: Unit): PartSums => ({
  launch(scratch, y, sums) {
    let end = 0;
    const rows = sums.flatMap(({ size, parts, first, distance, at }) => {
      end += size / unit;
      return [end, parts, first / unit, distance / unit, at / unit];
    });
    const table = scratch.graph.parameter({
      key: `sums ${rows.join(' ')}`,
      shape: [rows.length],
      type: 'u32',
      sources: [],
      build: () => Uint32Array.from(rows),
    });
    const [gx, gy] = fold(Math.ceil(end / 64));
    return launch(partsShader, {
      value: elements(unit).value,
      bind: { x: scratch, table, y },
      params: { count: sums.length, total: end },
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
