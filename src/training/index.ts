/** Training: whole steps of detectors, steps of any other graph, and the parts they are made of. */
export { type RegionLabels, regionClasses, regionLabels } from '../data/region-labels.ts';
export { BackgroundClassifier } from '../models/background-classifier.ts';
export { type InitialModel, initialModel } from '../models/initial-model.ts';
export { type StatisticsUpdate, type TrainableParameter, Training, trainableParameters } from '../nn/training.ts';
export { gradients } from '../ops/gradient.ts';
export { type Assignment, assign, type CostLayout } from './assignment.ts';
export type { Batch, BatchSource } from './batches.ts';
export type { Classification, CriterionOptions } from './criterion.ts';
export { type DenoisingDraws, type DenoisingLayout, type DenoisingOptions, denoisingLayout, seededDraws } from './denoising.ts';
export { directoryStore, savedRun } from './directory-store.ts';
export { type GraphBatch, GraphStep, type GraphStepReport } from './graph-step.ts';
export { type GroupOptions, type GroupRule, type ParameterGroup, parameterGroups } from './groups.ts';
export { type Recipe, recipe } from './recipes.ts';
export { type RegionLoss, regionLoss } from './region-loss.ts';
export { type RunConfig, readSettings, resolveRun } from './run-config.ts';
export { openRun, type RunFacts, type RunProgress, type RunStore, readRunFacts, type SavedRun } from './run-files.ts';
export { averageDecay, rateFactor, type ScheduleOptions } from './schedule.ts';
export type { NamedArrays, TrainingState } from './state.ts';
export { type StepOptions, type StepReport, type TrainingBatch, type TrainingConfig, TrainingStep } from './step.ts';
export { checkTargets, type TargetLimits, type Targets } from './targets.ts';
export type { StepShape } from './trace.ts';
export type { LossGraph } from './trained-graph.ts';
export type { OptimizerConfig } from './trained-program.ts';
export {
  BEST_WEIGHTS,
  type EndReason,
  LAST_STATE,
  LAST_WEIGHTS,
  Trainer,
  type TrainerConfig,
  type TrainerEvent,
  type TrainerOptions,
} from './trainer.ts';
export { augmentationOf, trainerConfig } from './trainer-config.ts';
export type { DetectedBox } from './validator.ts';
