/** Golden cases of attention: plain, deformable, and the transformer layers made of them. */
import type { Tensor } from '../../graph/graph.ts';
import { plain, sliceOutputs } from '../../nn/affine.ts';
import { MSDeformableAttention } from '../../nn/attention.ts';
import { applyLinear, LayerNorm, Linear } from '../../nn/layers.ts';
import type { Scope } from '../../nn/parameters.ts';
import { attention } from '../../ops/attention.ts';
import { deformableSample } from '../../ops/deformable-attention.ts';
import { gridSample } from '../../ops/grid-sample.ts';
import { add, gelu, relu } from '../../ops/pointwise.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';

type Shapes = readonly (readonly [number, number])[];

/** Boolean masks become large negative numbers; WGSL may assume infinities absent. */
function additiveMask(b: CaseBuilder, name: string, boolean: boolean, shape = b.shape(name)): Tensor {
  return b.feed(name, shape, (values) => (boolean ? values.map((v) => (v ? -1e9 : 0)) : values));
}

/** torch.nn.MultiheadAttention with inputs of their own for query, key and value. */
class Heads {
  readonly #parts: ReturnType<typeof sliceOutputs>[];
  readonly #out: Linear;
  readonly #heads: number;

  constructor(scope: Scope, size: number, heads: number) {
    const weight = scope.declare('in_proj_weight', [3 * size, size]);
    const all = plain(weight, scope.declare('in_proj_bias', [3 * size]), { inputs: size, outputs: 3 * size, kernel: [1, 1], groups: 1 });
    this.#parts = [0, 1, 2].map((i) => sliceOutputs(all, i * size, size));
    this.#out = new Linear(scope.child('out_proj'), size, size);
    this.#heads = heads;
  }

  forward(b: CaseBuilder, inputs: readonly [Tensor, Tensor, Tensor], mask: Tensor | null): Tensor {
    const context = b.context();
    const [q, k, v] = inputs.map((x, i) => applyLinear(context, x, this.#parts[i]));
    return this.#out.forward(context, attention(q, k, v, { heads: this.#heads, mask }));
  }
}

function layers(b: CaseBuilder, scope: Scope, size: number, norms: number) {
  const hidden = b.shape('p:linear1.weight')[0];
  const at = scope;
  return {
    attention: new Heads(at.child('self_attn'), size, b.attr('heads')),
    linear1: new Linear(at.child('linear1'), size, hidden),
    linear2: new Linear(at.child('linear2'), hidden, size),
    norms: Array.from({ length: norms }, (_, i) => new LayerNorm(at.child(`norm${i + 1}`), size)),
  };
}

function deformableLayer(b: CaseBuilder, scope: Scope, size: number): MSDeformableAttention {
  const shapes = b.attr<Shapes>('spatial_shapes');
  const points = b.attr<number | number[]>('points');
  return new MSDeformableAttention(scope, {
    size,
    heads: b.attr('heads'),
    points: typeof points === 'number' ? shapes.map(() => points) : points,
    pointScaleBuffer: false,
    method: b.attr<string>('method', 'default') === 'discrete' ? 'discrete' : 'bilinear',
  });
}

/** References have one box for all levels: [batch, queries, 1, 4]. */
function reference(b: CaseBuilder): Tensor {
  const [n, queries, levels, numbers] = b.shape('ref');
  return b.input('ref', [n, queries, levels * numbers]);
}

const deformableModule: CaseRecipe = (b) => {
  const query = b.input('query');
  const layer = b.module((scope) => deformableLayer(b, scope, query.columns));
  const context = b.context();
  const value = layer.value.forward(context, b.input('value'));
  b.output('out', layer.forward(context, query, reference(b), value, b.attr<Shapes>('spatial_shapes'), 'cross_attn'));
};

/** Locations and weights are given; points are the same in every level, or listed. */
const deformableCore: CaseRecipe = (b) => {
  const [n, tokens, heads, columns] = b.shape('value');
  const [, queries] = b.shape('loc');
  const shapes = b.attr<Shapes>('spatial_shapes');
  const points = b.attr<number[] | null>('points', null) ?? shapes.map(() => b.shape('loc')[4]);
  const total = heads * points.reduce((x, y) => x + y, 0);
  const method = b.attr<string>('method', 'default') === 'discrete' ? 'discrete' : 'bilinear';
  const sampled = deformableSample(
    b.input('value', [n, tokens, heads * columns]),
    b.input('loc', [n, queries, total * 2]),
    b.input('w', [n, queries, total]),
    { heads, shapes, points, method },
  );
  b.output('out', sampled);
};

export const attentionCases: Record<string, CaseRecipe> = {
  multihead_attention(b) {
    const q = b.input('q');
    const heads = b.module((scope) => new Heads(scope, b.attr('embed'), b.attr('heads')));
    // A mask of 0 and 1 is boolean: 1 may not be seen.
    let mask: Tensor | null = null;
    if (b.has('mask')) mask = additiveMask(b, 'mask', b.isBoolean('mask'));
    if (b.has('key_padding_mask')) {
      if (mask) b.later('an attention mask and a key padding mask together');
      const [n, keys] = b.shape('key_padding_mask');
      mask = additiveMask(b, 'key_padding_mask', true, [n, 1, keys]);
    }
    b.output('out', heads.forward(b, [q, b.has('k') ? b.input('k') : q, b.input('v')], mask));
  },

  transformer_encoder_layer(b) {
    const x = b.input('src');
    const layer = b.module((scope) => layers(b, scope, x.columns, 2));
    const context = b.context();
    const query = b.has('pos') ? add(x, b.input('pos')) : x;
    const first = layer.norms[0].forward(context, add(x, layer.attention.forward(b, [query, query, x], null)));
    const inner = gelu(layer.linear1.forward(context, first));
    b.output('out', layer.norms[1].forward(context, add(first, layer.linear2.forward(context, inner))));
  },

  transformer_decoder_layer_v1(b) {
    const x = b.input('tgt');
    const made = b.module((scope) => ({
      ...layers(b, scope, x.columns, 3),
      cross: deformableLayer(b, scope.child('cross_attn'), x.columns),
    }));
    const context = b.context();
    const position = b.input('qpos');
    const query = add(x, position);
    const mask = b.has('mask') ? additiveMask(b, 'mask', b.isBoolean('mask')) : null;
    const first = made.norms[0].forward(context, add(x, made.attention.forward(b, [query, query, x], mask)));
    const value = made.cross.value.forward(context, b.input('memory'));
    const seen = made.cross.forward(context, add(first, position), reference(b), value, b.attr<Shapes>('spatial_shapes'), 'cross_attn');
    const second = made.norms[1].forward(context, add(first, seen));
    const inner = relu(made.linear1.forward(context, second));
    b.output('out', made.norms[2].forward(context, add(second, made.linear2.forward(context, inner))));
  },

  ms_deform_attn_core: deformableCore,
  ms_deform_attn_core_v2: deformableCore,
  ms_deform_attn_v1: deformableModule,
  ms_deform_attn_v2: deformableModule,

  grid_sample(b) {
    const plainKind = b.attr('mode', 'bilinear') === 'bilinear' && b.attr('padding_mode', 'zeros') === 'zeros';
    if (!plainKind || b.attr('align_corners', false)) b.later('grid sampling other than bilinear, zeros, align_corners = false');
    b.outputImage('out', gridSample(b.image('x'), b.input('grid')));
  },
};
