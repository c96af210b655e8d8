/// <reference types="@webgpu/types" preserve="true" />
/**
 * Backdrop: a WebGPU compute framework and the detectors built on it. Nothing here touches `navigator` or a GPU constant
 * before a function is called.
 */
export * from './checkpoints/index.ts';
export { cocoCategoryIds, cocoClasses } from './detector/coco.ts';
export {
  type DetectionResult,
  type DetectOptions,
  Detector,
  type InputSize,
  type LoadOptions,
  type LoadProgress,
  type Timings,
} from './detector/detector.ts';
export type { DetectorImage } from './detector/image.ts';
export { type BackgroundMap, backgroundEnergy, classHeatmap, type Inspection, type SamplingPoint } from './detector/inspection.ts';
export { type Box, type Detection, type PostprocessOptions, postprocess } from './detector/postprocess.ts';
export { runSelfTest, type SelfTestCheck, type SelfTestResult } from './detector/self-test.ts';
export { modelFor, type WeightSource } from './detector/weights.ts';
export { BackdropError, type ErrorCode } from './errors.ts';
export { type AdapterInfo, fromAdapter, Gpu, type OpenDeviceOptions, openDevice } from './gpu/device.ts';
export { type CompileProgress, KernelCache } from './gpu/kernels.ts';
export type { Shader } from './gpu/shader.ts';
export { shaderFromText } from './gpu/shader-text.ts';
export type { GradientRule } from './graph/autodiff.ts';
export { type Dispatch, type ElementType, Graph, type LowerContext, type Node, type Operation, shapeError, Tensor } from './graph/graph.ts';
export { launch } from './graph/launch.ts';
export { type ParameterSource, ParameterStore } from './graph/parameters.ts';
export { formatPlan } from './graph/plan.ts';
export type { PointwiseRow } from './graph/pointwise.ts';
export { type HostArray, Program, type ProgramOptions, type ProgramStatistics } from './graph/program.ts';
export { type AssociationEncoderConfig, associationEncoderDefaults } from './models/ae-config.ts';
export { type ModelConfig, models } from './models/configs.ts';
export { type ModelChanges, modelConfig } from './models/resolve.ts';
export { buildModel, DetectionTransformer, modelParameters, type TraceOptions } from './models/rt-detr.ts';
export * as nn from './nn/index.ts';
export { type ParameterInfo, type ParameterKind, ParameterTable } from './nn/parameters.ts';
export { fold, layoutParams } from './ops/common.ts';
export * as ops from './ops/index.ts';
export type { PixelImage } from './pixels.ts';
