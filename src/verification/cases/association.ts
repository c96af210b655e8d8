/** Golden cases of the Association Encoder: RFCBAMConv, the BAM, window attention, the AM and EL blocks, the whole module. */
import type { Tensor } from '../../graph/graph.ts';
import { type AssociationEncoderConfig, associationEncoderDefaults } from '../../models/ae-config.ts';
import { AssociationEncoder } from '../../models/association-encoder.ts';
import { BackgroundAttentionModule } from '../../models/background-attention.ts';
import { ConvFeedForward, GlobalAttention, WindowAttention } from '../../models/pre-norm-block.ts';
import { biasTensor, plain, weightTensor } from '../../nn/affine.ts';
import { ConvNorm, Linear } from '../../nn/layers.ts';
import { concatColumns } from '../../ops/concat.ts';
import { reduceColumns } from '../../ops/reduce.ts';
import { channelAttention, rfFuse, rfSpatial, rfStatistics } from '../../ops/rfcbam.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';
import { transpose } from '../layout.ts';
import { associationEncoderConfig } from '../model-config.ts';

/** The case's switches over what its parameters' shapes say, over the defaults. `prefix` leads to the BAM's entries. */
function configOf(b: CaseBuilder, prefix: string): AssociationEncoderConfig {
  const first = `p:${prefix}blocks.0.conv1`;
  const shapes: Partial<AssociationEncoderConfig> = {};
  if (b.has(`${first}.fuse.weight`)) {
    const [dim, , kernel] = b.shape(`${first}.fuse.weight`);
    Object.assign(shapes, { dim, s1Channels: dim, kernel, reduced: b.shape(`${first}.channel.fc1.weight`)[0] });
  }
  return { ...associationEncoderDefaults, ...shapes, ...associationEncoderConfig(b.attrs) };
}

/** 1 where a cell is padding of the batch. */
const padOf = (b: CaseBuilder): Tensor | null => (b.has('pad') ? b.input('pad') : null);

/** A block's cases hold the AM's or EL's entries without their prefix. */
const block =
  (variant: 'am' | 'el'): CaseRecipe =>
  (b) => {
    const config = { ...configOf(b, ''), variant };
    const encoder = b.module((scope) => new AssociationEncoder(scope, config), `${variant}.`);
    const stages = { out: 'F_a' };
    encoder.forward(b.context(stages), null, b.image('x'), padOf(b));
    b.takeStages(stages);
  };

export const associationCases: Record<string, CaseRecipe> = {
  /** Composed here, since a file's case may have other numbers of channels behind than in front; our layer has not. */
  rfcbam_conv(b) {
    const x = b.image('x');
    const [outputs, inputs, kernel] = b.shape('p:fuse.weight');
    const reduced = b.shape('p:channel.fc1.weight')[0];
    const taps = kernel * kernel;
    const layer = b.module((scope) => {
      const stride = b.attr<number>('stride');
      const expand = { inputs, outputs: inputs * taps, kernel, stride, groups: inputs };
      const fuse = scope.declare('fuse.weight', [outputs, inputs, kernel, kernel]);
      const bias = b.has('p:fuse.bias') ? scope.declare('fuse.bias', [outputs]) : null;
      const spatial = scope.declare('spatial.weight', [1, 2, 3, 3]);
      return {
        expand: new ConvNorm(scope.child('expand'), expand, { activation: 'relu' }),
        fc1: new Linear(scope.child('channel.fc1'), inputs, reduced, false),
        fc2: new Linear(scope.child('channel.fc2'), reduced, inputs, false),
        spatial: plain(spatial, null, { outputs: 1, inputs: 2, kernel: [3, 3], groups: 1 }),
        fuse: plain(fuse, bias, { outputs, inputs, kernel: [kernel, kernel], groups: 1 }),
      };
    });
    const g = layer.expand.forward(b.context(), x);
    b.takeStatistics();
    const weight = (of: typeof layer.fuse) => weightTensor(b.graph, of);
    const ca = channelAttention(x, weight(layer.fc1.affine), weight(layer.fc2.affine));
    const sa = rfSpatial(rfStatistics(g, inputs), weight(layer.spatial));
    b.outputImage('out', rfFuse(g, ca, sa, weight(layer.fuse), biasTensor(b.graph, layer.fuse)));
    const [n, h, w] = g.shape;
    // Our maps are ordered tap by tap, PyTorch's channel by channel.
    b.output('expand', g, (values) => transpose(values, [n, h, w, taps, inputs], [0, 4, 3, 1, 2]));
    b.outputAs('channel', ca);
    b.outputAs('spatial', sa);
  },

  bam(b) {
    const config = { ...configOf(b, ''), s1Channels: b.shape('x')[1] };
    const layer = b.module((scope) => new BackgroundAttentionModule(scope, config, false));
    const stages = Object.fromEntries(b.outputNames.filter((name) => name.startsWith('bam.')).map((name) => [name, name]));
    b.outputImage('out', layer.forward(b.context(stages), b.image('x')));
    b.takeStages(stages);
    b.takeStatistics();
  },

  window_attention(b) {
    const options = { ...configOf(b, ''), dim: b.shape('x').at(-1)! };
    const layer = b.module((scope) => new WindowAttention(scope, options));
    b.output('out', layer.forward(b.context(), b.input('x'), padOf(b)));
  },

  global_attention(b) {
    const options = { ...configOf(b, ''), dim: b.shape('x').at(-1)!, qkvBias: b.has('p:qkv.bias') };
    const layer = b.module((scope) => new GlobalAttention(scope, options));
    b.output('out', layer.forward(b.context(), b.input('x'), padOf(b)));
  },

  conv_ffn(b) {
    const dim = b.shape('x').at(-1)!;
    const layer = b.module((scope) => new ConvFeedForward(scope, dim, b.attr('hidden'), b.attr('kernel')));
    b.output('out', layer.forward(b.context(), b.input('x'), padOf(b)));
  },

  am: block('am'),
  el: block('el'),

  association_encoder(b) {
    const config = { ...configOf(b, 'bam.'), s1Channels: b.shape('s1')[1] };
    const encoder = b.module((scope) => new AssociationEncoder(scope, config));
    const stages = { F_b: 'F_b', F_a: 'F_a', background: 'background' };
    const context = b.context(stages);
    const fb = encoder.background(context, b.image('s1'));
    b.outputImage('out', encoder.forward(context, fb, b.image('f3'), padOf(b)));
    b.takeStages(stages);
    b.takeStatistics();
  },

  channel_max_mean(b) {
    const x = b.image('x');
    b.outputImage('out', concatColumns([reduceColumns(x, 'max'), reduceColumns(x, 'mean')]));
  },
};
