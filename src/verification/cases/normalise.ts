/** Golden cases of normalisations and reductions. */
import type { Tensor } from '../../graph/graph.ts';
import { layerNorm, logSoftmax, softmax } from '../../ops/norm.ts';
import { add, mul, mulAdd, scale } from '../../ops/pointwise.ts';
import { type Reduction, reduceAll, reduceColumns } from '../../ops/reduce.ts';
import { batchNormTrain, groupNorm } from '../../ops/standardise.ts';
import type { Get } from '../adjoint.ts';
import { type CaseBuilder, type CaseRecipe, moved } from '../case.ts';
import { transpose } from '../layout.ts';

/** Our softmax runs along the last dimension: another one is brought there on the host, and back. */
const alongLast =
  (f: (x: Tensor) => Tensor): CaseRecipe =>
  (b) => {
    const shape = b.shape('x');
    const dim = b.attr('dim', -1);
    const at = dim < 0 ? dim + shape.length : dim;
    const order = [...shape.keys()].filter((d) => d !== at).concat(at);
    const moved = order.map((d) => shape[d]);
    const rows = shape.reduce((size, n) => size * n, 1) / shape[at];
    const x = b.feed('x', [rows, shape[at]], (values) => transpose(values, shape, order));
    const back = shape.map((_, d) => order.indexOf(d));
    b.output('out', f(x), (result) => transpose(result, moved, back));
  };

const REDUCTIONS: Record<string, Reduction> = { sum: 'sum', mean: 'mean', var: 'var', max: 'max', min: 'min', l2: 'l2' };

/** A reduction named by its output; the output's shape tells over what. */
function reduce(b: CaseBuilder, name: string): void {
  const { shape, values } = b.golden('x');
  const wanted = b.outputShape(name);
  const square = name === 'sumsq';
  const kind = square ? 'sum' : REDUCTIONS[name];
  if (!kind) b.later(`no reduction ${name}`);
  if (wanted.length === 0) {
    const x = b.feed(`x of ${name}`, shape, undefined, 'x');
    b.output(name, reduceAll(square ? mul(x, x) : x, kind));
    return;
  }
  // Dimensions that the result keeps, the first that fit; the others go last and are reduced together.
  const kept: number[] = [];
  for (const n of wanted) {
    const d = shape.findIndex((size, i) => size === n && i > (kept.at(-1) ?? -1));
    if (d < 0) b.later(`no reduction of [${shape.join(', ')}] to [${wanted.join(', ')}]`);
    kept.push(d);
  }
  const order = [...kept, ...[...shape.keys()].filter((d) => !kept.includes(d))];
  const rows = wanted.reduce((x, y) => x * y, 1);
  const x = b.feed(`x of ${name}`, [rows, values.length / rows], (all) => transpose(all, shape, order), 'x');
  const result = reduceColumns(square ? mul(x, x) : x, kind);
  // The file's variance is divided by the number of elements, ours as torch.var by one less.
  b.output(name, kind === 'var' ? scale(result, (x.columns - 1) / x.columns) : result);
}

function reduceEach(b: CaseBuilder): void {
  for (const name of b.outputNames) reduce(b, name);
}

export const normaliseCases: Record<string, CaseRecipe> = {
  softmax: alongLast(softmax),
  log_softmax: alongLast(logSoftmax),

  softmax_masked(b) {
    const mask = b.feed('m', [1, ...b.shape('m')].slice(-3), (values) => values.map((m) => (m ? -1e9 : 0)));
    b.output('out', softmax(add(b.input('x'), mask)));
  },

  layer_norm(b) {
    b.output('out', layerNorm(b.input('x'), b.vector('w'), b.vector('b'), b.attr('eps', 1e-5)));
  },

  /** With running statistics a batch norm is one multiplication and one addition, worked out in float64 as models do. */
  batch_norm_eval(b) {
    const eps = b.attr('eps', 1e-5);
    const factor = (get: Get) => {
      const variance = get('rv');
      return Float64Array.from(get('w'), (value, i) => value / Math.sqrt(variance[i] + eps));
    };
    const scale = b.computed('scale', b.shape('w'), ['w', 'rv'], (get) => Float32Array.from(factor(get)));
    const shift = b.computed('shift', b.shape('w'), ['w', 'b', 'rm', 'rv'], (get) => {
      const [factors, mean] = [factor(get), get('rm')];
      return get('b').map((value, i) => value - mean[i] * factors[i]);
    });
    b.outputImage('out', mulAdd(b.image('x'), scale, shift));
  },

  batch_norm_train(b) {
    const { y, mean, variance } = batchNormTrain(b.image('x'), b.vector('w'), b.vector('b'), { eps: b.attr('eps', 1e-5) });
    const momentum = b.attr('momentum', 0.1);
    b.outputImage('out', y);
    b.output('running_mean_after', moved(b.vector('rm'), mean, momentum));
    b.output('running_var_after', moved(b.vector('rv'), variance, momentum));
  },

  group_norm(b) {
    b.outputImage('out', groupNorm(b.image('x'), b.vector('w'), b.vector('b'), b.attr('groups'), b.attr('eps', 1e-5)));
  },

  reduce: reduceEach,
  reduce_all: reduceEach,
};
