/** Golden cases of activations and other pointwise arithmetic. */
import type { Tensor } from '../../graph/graph.ts';
import {
  clamp,
  gelu,
  inverseSigmoid,
  maximum,
  minimum,
  mulAdd,
  pointwise,
  refineBox,
  relu,
  rows,
  scale,
  sigmoid,
  silu,
  tanh,
} from '../../ops/pointwise.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';

const unary =
  (f: (x: Tensor) => Tensor): CaseRecipe =>
  (b) =>
    b.output('out', f(b.input('x')));

const table: Record<string, (x: Tensor) => Tensor> = {
  exp: (x) => pointwise(rows.exp, [x]),
  log: (x) => pointwise(rows.log, [x]),
  sqrt: (x) => pointwise(rows.sqrt, [x]),
  rsqrt: (x) => pointwise(rows.inverseSqrt, [x]),
  // The inputs are positive; PyTorch's side took |x - 1| to see both branches.
  abs: (x) => pointwise(rows.abs, [scale(x, 1, -1)]),
};

export const pointwiseCases: Record<string, CaseRecipe> = {
  relu: unary(relu),
  gelu: unary(gelu),
  silu: unary(silu),
  sigmoid: unary(sigmoid),
  tanh: unary(tanh),
  gelu_tanh: unary((x) => pointwise(rows.geluTanh, [x])),
  hardsigmoid: unary((x) => pointwise(rows.hardSigmoid, [x])),
  softplus: unary((x) => pointwise(rows.softplus, [x])),
  leaky_relu: (b) => b.output('out', pointwise(rows.leakyRelu, [b.input('x')], [b.attr('negative_slope', 0.01)])),
  inverse_sigmoid: (b) => b.output('out', inverseSigmoid(b.input('x'), b.attr('eps', 1e-5))),
  refine_box: (b) => b.output('out', refineBox(b.input('d'), b.input('r'))),
  clamp: (b) => b.output('out', clamp(b.input('x'), b.attr('min'), b.attr('max'))),

  minmax(b) {
    const [x, y] = [b.input('a'), b.input('b')];
    b.output('max', maximum(x, y));
    b.output('min', minimum(x, y));
  },

  /** One output for each function named; `pow<exponent>` among them. */
  pointwise(b) {
    const x = b.input('x');
    for (const name of b.outputNames) {
      const exponent = /^pow(.+)$/.exec(name)?.[1];
      const f = table[name];
      if (exponent !== undefined) b.output(name, pointwise(rows.pow, [x], [Number(exponent)]));
      else if (f) b.output(name, f(x));
      else b.later(`no pointwise function ${name}`);
    }
  },

  /** Broadcast of any rank: the operands' own dimensions are told apart from those they repeat along. */
  'a*b+c'(b) {
    const out = b.outputShape('out');
    b.output('out', mulAdd(broadcast(b, 'a', out), broadcast(b, 'b', out), broadcast(b, 'c', out)));
  },

  where(b) {
    const out = b.outputShape('out');
    b.output('out', pointwise(rows.where, [broadcast(b, 'c', out), broadcast(b, 'a', out), broadcast(b, 'b', out)]));
  },

  flatten2_permute(b) {
    const [n, c, h, w] = b.shape('x');
    // The same bytes: tokens are the rows of an [n, h, w, c] map.
    const tokens = b.image('x').viewAs([n, h * w, c]);
    b.output('out', pointwise(rows.identity, [tokens]));
  },
};

/**
 * An operand for a result of shape `out`: ranks are filled up with ones in front as PyTorch does, and dimensions that [images, rows,
 * columns] cannot tell apart are spelled out.
 */
function broadcast(b: CaseBuilder, name: string, out: readonly number[]): Tensor {
  const { shape } = b.golden(name);
  const full = [...out.map(() => 1).slice(shape.length), ...shape];
  const middle = full.slice(1, -1);
  const rowsMatch = middle.every((n) => n === 1) || middle.every((n, i) => n === out[i + 1]);
  if (out.length < 3 || rowsMatch) return b.feed(name, full);
  const spelled = [full[0], ...out.slice(1, -1), full[full.length - 1]];
  const strides = full.map((n, i) => (n === 1 ? 0 : full.slice(i + 1).reduce((x, y) => x * y, 1)));
  const size = spelled.reduce((x, y) => x * y, 1);
  const from = Array.from({ length: size }, (_, i) => {
    let rest = i;
    let at = 0;
    for (let d = spelled.length - 1; d >= 0; d--) {
      at += (rest % spelled[d]) * strides[d];
      rest = Math.floor(rest / spelled[d]);
    }
    return at;
  });
  return b.feed(name, spelled, (values) => Float32Array.from(from, (at) => values[at]));
}
