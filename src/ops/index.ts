/** Every operation, under the names that tracing code uses. */
export { attention } from './attention.ts';
export { boxesToCorners, cornersToBoxes, pairOverlap, tableDistance, tableOverlap } from './boxes.ts';
export { concatColumns, concatRows } from './concat.ts';
export { type Conv2dOptions, conv2d, linear } from './conv2d.ts';
export { deformableAttention, deformableSample } from './deformable-attention.ts';
export { embedding, gatherRows } from './gather.ts';
export * from './losses.ts';
export { layerNorm, logSoftmax, softmax } from './norm.ts';
export {
  add,
  clamp,
  div,
  gelu,
  inverseSigmoid,
  maximum,
  minimum,
  mul,
  mulAdd,
  pointwise,
  refineBox,
  relu,
  rows,
  scale,
  sigmoid,
  silu,
  sub,
  tanh,
} from './pointwise.ts';
export { avgPool2d, globalAvgPool, maxPool2d } from './pool.ts';
export { imageToTensor } from './preprocess.ts';
export { reduceAll, reduceColumns, reduceRows } from './reduce.ts';
export { permute, reshape } from './reshape.ts';
export { resizeBilinear, resizeNearest } from './resize.ts';
export { batchNormTrain, groupNorm } from './standardise.ts';
export { topk } from './topk.ts';
export { windowAttention } from './window-attention.ts';
