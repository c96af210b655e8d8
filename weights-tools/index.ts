/** Checkpoint files of every supported kind, for pages and Node alike. What touches files on disk is not here. */
export {
  type Conversion,
  type ConvertOptions,
  classNamesOf,
  convertCheckpoint,
} from './convert.ts';
export { type Fit, type FitOptions, type FitReport, fitCheckpoint } from './fit.ts';
export { formatInspection, type Inspection, type InspectOptions, inspectCheckpoint } from './inspect.ts';
export { type ModelWeights, type ModelWeightsOptions, openModelWeights } from './model-weights.ts';
export { openCheckpoint } from './open.ts';
export { type Architecture, type Family, recognise } from './recognise.ts';
export { selectStateDict } from './select.ts';
