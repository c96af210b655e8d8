/** Evaluation of detections: COCO's metric, the tables and pictures made of it, and the files other tools read. Nothing here needs a GPU. */
export type { Annotation, Category, ImageRecord } from '../data/dataset.ts';
export { type ClassRow, formatClassTable, type OperatingPoint } from './class-rows.ts';
export { type CocoEvaluation, type EvaluatedDetection, evaluateDetections } from './coco.ts';
export { type ConfusionMatrix, confusionCsv, confusionMatrix } from './confusion.ts';
export { type LabelStatistics, labelStatistics } from './label-statistics.ts';
export { boxIou, type Matches, matchDetections, pairwiseIou } from './match.ts';
export { confusionPlot } from './plots/confusion.ts';
export { labelsPlot } from './plots/labels.ts';
export { prCurvePlot } from './plots/pr-curve.ts';
export { type ResultsRow, resultsPlot } from './plots/results.ts';
export { readResults, writeResults } from './results-json.ts';
export { precisionCurve, statNames } from './summarize.ts';
export { eventFileName, eventFileStart, scalarEvent } from './tensorboard.ts';
