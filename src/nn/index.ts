/** Layers with PyTorch's names, for models of one's own. */
export { MultiheadAttention } from './attention.ts';
export { Context, type TrainingTrace } from './context.ts';
export { type Activation, activate, Conv2d, type Conv2dShape, ConvNorm, LayerNorm, Linear, Mlp, RepVggBlock } from './layers.ts';
export { Scope } from './parameters.ts';
