/** The switches of the Association Encoder (the reconstruction's §3). */

export interface AssociationEncoderConfig {
  /** Rows of the paper's Table 3. Without a BAM the module reads F_3. */
  variant: 'bam+am' | 'bam' | 'am' | 'el' | 'bam+el';
  /** C_i: channels of the BAM, of the AM and of F_3. */
  dim: number;
  /** shared: the detector's 1x1 projection of S_1; own: the raw S_1 with a projection of its own. */
  bamInput: 'shared' | 'own';
  /** Channels of what the encoder is given: `dim` when shared, the backbone's stride-8 channels when own. */
  s1Channels: number;
  /** C_j: hidden width of the channel attention. */
  reduced: number;
  /** Receptive field of the RFCBAMConv. */
  kernel: number;
  pool: 'max3s2' | 'max5s4' | 'none';
  blockStrides: readonly number[];
  /** Which of a block's convolutions are RFCBAMConv: the first, both, or the first and there is no second. */
  blockConvs: 'rf-plain' | 'rf-rf' | 'rf';
  /** Of a strided block; only conv has parameters. */
  shortcut: 'avg' | 'subsample' | 'max' | 'conv';
  fuseBias: boolean;
  heads: number;
  headDim: number;
  qkvBias: boolean;
  window: number;
  shift: number;
  relPosBias: boolean;
  ffnHidden: number;
  ffnKernel: number;
  amOrder: 'attn-ffn' | 'ffn-attn';
  /** Feed-forward width of the ablation's plain encoder layer. */
  elFfn: number;
  /** residual: F_3 + (F_b + F_a); double: F_3 + F_b + (F_b + F_a); direct: F_3 + F_a. */
  wiring: 'residual' | 'double' | 'direct';
  /** scalar: what is added is multiplied by a learnt number that starts at 0 (ours, not the paper's). */
  gate: 'none' | 'scalar';
}

/** The decided reconstruction: 3,112,044 parameters. */
export const associationEncoderDefaults: AssociationEncoderConfig = {
  variant: 'bam+am',
  dim: 256,
  bamInput: 'shared',
  s1Channels: 256,
  reduced: 32,
  kernel: 3,
  pool: 'max3s2',
  blockStrides: [1, 2],
  blockConvs: 'rf-plain',
  shortcut: 'avg',
  fuseBias: true,
  heads: 8,
  headDim: 64,
  qkvBias: false,
  window: 10,
  shift: 0,
  relPosBias: true,
  ffnHidden: 256,
  ffnKernel: 5,
  amOrder: 'attn-ffn',
  elFfn: 1024,
  wiring: 'residual',
  gate: 'none',
};
