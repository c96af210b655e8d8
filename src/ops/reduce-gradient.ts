/** Gradients of reductions. */
import pickShader from '../../shaders/reduce/pick-gradient.wgsl';
import type { GradientRule } from '../graph/autodiff.ts';
import type { Operation, Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold } from './common.ts';
import { add, clamp, div, mul, pointwise, rows, scale, sub } from './pointwise.ts';
import { factorOf, type Reduction, reduceColumns } from './reduce.ts';

/** Of a maximum or minimum over columns or over rows: all to the first element that equals it. */
const pickOperation: Operation<{ over: 'columns' | 'rows' }> = {
  name: 'pickGradient',
  infer: ([x]) => [{ shape: x.shape }],

  lower({ inputs: [x, y, g], outputs: [dx], attributes: { over } }) {
    const lines = over === 'columns' ? x.rows : x.columns;
    const [gx, gy] = fold(Math.ceil(lines / 64));
    // From one line to the next, and along it.
    const steps = (t: Tensor): [number, number] => (over === 'columns' ? [t.layout().pitch, 1] : [1, t.layout().pitch]);
    return [
      launch(pickShader, {
        bind: { x, y, g, dx },
        params: {
          lines,
          count: over === 'columns' ? x.columns : x.rows,
          x_offset: x.layout().offset,
          x_batch: x.layout().batch,
          x_line: steps(x)[0],
          x_step: steps(x)[1],
          y_offset: y.layout().offset,
          y_batch: y.layout().batch,
          y_line: steps(y)[0],
          g_offset: g.layout().offset,
          g_batch: g.layout().batch,
          g_line: steps(g)[0],
          dx_offset: dx.layout().offset,
          dx_batch: dx.layout().batch,
          dx_line: steps(dx)[0],
          dx_step: steps(dx)[1],
        },
        grid: [gx, gy, x.images],
      }),
    ];
  },
};

/** The smallest length that is divided by: of zeros only, whose gradient becomes zero as torch's. */
const TINY = 1e-37;

/** The result's gradient, repeated along the `count` terms that were reduced, times each term's share. */
function spread(x: Tensor, y: Tensor, g: Tensor, kind: Reduction, over: 'columns' | 'rows'): Tensor {
  const count = over === 'columns' ? x.columns : x.rows;
  if (kind === 'max' || kind === 'min') return x.graph.add(pickOperation, [x, y, g], { over })[0];
  if (kind === 'l2') return mul(div(x, clamp(y, TINY, 3e38)), g);
  if (kind === 'var') return mul(scale(sub(x, reduceColumns(x, 'mean')), 2 * factorOf('var', count)), g);
  return pointwise(rows.repeated, [x, g], [factorOf(kind, count)]);
}

export const reduceColumnsGradient: GradientRule<{ kind: Reduction }> = ({ inputs: [x], outputs: [y], attributes }, [gradient]) => [
  spread(x, y, gradient!, attributes.kind, 'columns'),
];

export const reduceRowsGradient: GradientRule<{ kind: Exclude<Reduction, 'var'> }> = (
  { inputs: [x], outputs: [y], attributes },
  [gradient],
) => [spread(x, y, gradient!, attributes.kind, 'rows')];

/** d mean = 1 / count, d variance = 2 (x - mean) / count. */
export const momentsGradient: GradientRule<null> = ({ inputs: [x], outputs: [mean] }, [ofMean, ofVariance]) => {
  const share = 1 / x.rows;
  const moved = ofMean && pointwise(rows.repeated, [x, ofMean], [share]);
  const turned = ofVariance && mul(scale(sub(x, mean), 2 * share), ofVariance);
  return [moved && turned ? add(moved, turned) : (moved ?? turned)];
};
