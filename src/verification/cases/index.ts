/** Golden cases of selection, indexing and tables that are computed once. */
import { makeAnchors } from '../../models/anchors.ts';
import { positionEmbedding } from '../../models/hybrid-encoder.ts';
import { concatRows } from '../../ops/concat.ts';
import { embedding, gatherRows, scatterAdd } from '../../ops/gather.ts';
import { topk } from '../../ops/topk.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';
import { transpose } from '../layout.ts';

function select(b: CaseBuilder) {
  const { values, indices } = topk(b.input('s'), b.attr('k'));
  b.output('values', values);
  b.outputIndices('indices', indices);
  return indices;
}

export const indexCases: Record<string, CaseRecipe> = {
  topk: (b) => void select(b),
  topk_gather: (b) => b.output('rows', gatherRows(b.input('x'), select(b))),

  embedding: (b) =>
    b.output('out', embedding(b.vectorRows('w'), b.indices('idx', [...b.shape('idx'), 1]), b.attr<number | null>('padding_idx', null))),

  /** torch.gather: an index for every element. Dimension `dim` becomes the rows, the others the batch. */
  gather(b) {
    const shape = b.shape('x');
    const picked = b.golden('i');
    const dim = b.attr('dim', 0);
    const order = [...shape.keys()].filter((d) => d !== dim).concat(dim);
    // Only where the index has x's other dimensions is it a batch of row selections.
    if (picked.shape.some((n, d) => d !== dim && n !== shape[d])) b.later('gather with an index smaller than x');
    const batch = shape.reduce((size, n) => size * n, 1) / shape[dim];
    const count = picked.shape[dim];
    const x = b.feed('x', [batch, shape[dim], 1], (values) => transpose(values, shape, order));
    const i = b.feed('i', [batch, count, 1], (values) => Uint32Array.from(transpose(values, picked.shape, order)));
    const moved = order.map((d) => picked.shape[d]);
    b.output('out', gatherRows(x, i), (result) =>
      transpose(
        result,
        moved,
        shape.map((_, d) => order.indexOf(d)),
      ),
    );
  },

  scatter_add(b) {
    if (b.attr<number>('dim', 0) !== 1 || b.shape('x').length !== 3)
      b.later('scatter_add along another dimension than the second of three');
    b.output('out', scatterAdd(b.input('x'), b.input('src'), b.indices('i')));
  },

  index_select(b) {
    const [rows, ...rest] = b.shape('x');
    if (b.attr<number>('dim', 0) !== 0) b.later('index_select along another dimension than the first');
    const columns = rest.reduce((x, y) => x * y, 1);
    b.output('out', gatherRows(b.input('x', [1, rows, columns]), b.indices('i', [1, b.shape('i')[0], 1])));
  },

  /** Row i of image b: a row of all images one behind the other. */
  'x[b,i]'(b) {
    const [images, rows, columns] = b.shape('x');
    const image = b.golden('b').values;
    const flat = b.feed('i', [1, image.length, 1], (row) => Uint32Array.from(row, (r, k) => image[k] * rows + r));
    b.output('out', gatherRows(b.input('x', [1, images * rows, columns]), flat));
  },

  cat_split(b) {
    const all = concatRows([b.input('a'), b.input('b')]);
    b.output('cat', all);
    let at = 0;
    for (const name of b.outputNames.filter((n) => /^s\d+$/.test(n))) {
      const columns = b.outputShape(name).at(-1)!;
      b.output(name, all.columnsFrom(at, columns));
      at += columns;
    }
  },

  sincos2d(b) {
    if (b.attr('temperature', 10000) !== 10000) b.later('position codes of another temperature than 10000');
    const [width, height, size] = [b.attr<number>('w'), b.attr<number>('h'), b.attr<number>('dim')];
    const all = positionEmbedding(width, height, size);
    const step = Number(/^every (\d+)/.exec(b.attr('rows', 'every 1st'))?.[1] ?? Number.NaN);
    const rows = Array.from({ length: Math.ceil((width * height) / step) }, (_, i) => all.subarray(i * step * size, (i * step + 1) * size));
    b.host('out', Float32Array.from(rows.flatMap((row) => [...row])));
  },

  /** Ours are a large number where PyTorch's are infinite: WGSL may assume infinities absent. */
  anchors(b) {
    if (b.attr('grid_size', 0.05) !== 0.05) b.later('anchors of another size than 0.05');
    const { unactivated, valid } = makeAnchors(b.attr('shapes'), b.attr('eps', 0.01));
    b.host(
      'anchors',
      unactivated.map((value) => (value >= 1000 ? Number.POSITIVE_INFINITY : value)),
    );
    b.host('valid', valid);
    b.exact.add('valid');
  },
};
