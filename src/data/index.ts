/** Data sets: found, read, checked, counted, divided and written, and made into batches, in a page, a worker or Node. */
export { type AugmentationConfig, rtDetrAugmentation } from './augment/augment.ts';
export type { IouCrop } from './augment/iou-crop.ts';
export { multiScaleSizes } from './augment/multi-scale.ts';
export type { PhotometricDistort } from './augment/photometric-distort.ts';
export type { ZoomOut } from './augment/zoom-out.ts';
export { type CheckedDataset, checkDataset } from './check.ts';
export { type Annotation, type Category, type DataDirectory, type Dataset, type ImageRecord, type Split, splitNames } from './dataset.ts';
export { filesDirectory, handleDirectory, httpDirectory } from './directory.ts';
export { datasetHash } from './hash.ts';
export { BatchLoader, type LoadedBatch, type LoadedTargets, type LoaderOptions, type LoaderStats, type MultiScale } from './loader.ts';
export { type OpenedDataset, type OpenOptions, openDataset, readDataset } from './open.ts';
export { type DataProblem, type DataProblemCode, groupProblems, type ProblemGroup, refuseErrors, type Severity } from './problems.ts';
export { type SplitOptions, splitDataset } from './split.ts';
export { type ClassStats, datasetStats, type Quartiles, type SplitStats } from './stats.ts';
export { type LoaderWorkers, loaderWorkers } from './worker-preparer.ts';
export { type WrittenDataset, type WrittenFile, writeDataset } from './write.ts';
export { parseYaml, type YamlDocument, type YamlMap, type YamlValue } from './yaml.ts';
