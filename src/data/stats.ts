/** What is in a data set, in numbers. */
import { type Dataset, type ImageRecord, type Split, splitNames } from './dataset.ts';

/** Least, the three quartiles (nearest rank), greatest. */
export type Quartiles = readonly [number, number, number, number, number];

export interface ClassStats {
  readonly name: string;
  /** Images that show the class, and its boxes without crowds. */
  readonly images: number;
  readonly boxes: number;
}

export interface SplitStats {
  readonly split: Split;
  readonly images: number;
  /** Without crowds. */
  readonly boxes: number;
  readonly crowds: number;
  /** Images without a box. */
  readonly background: number;
  readonly classes: readonly ClassStats[];
  /** Boxes by COCO's areas: below 32², to 96², above. */
  readonly small: number;
  readonly medium: number;
  readonly large: number;
  /** Undefined where there is nothing to be measured. */
  readonly boxesPerImage: Quartiles | undefined;
  /** Square root of a box's area over that of its image, in percent. */
  readonly relativeSize: Quartiles | undefined;
  /** Width over height of the boxes. */
  readonly aspect: Quartiles | undefined;
  readonly imageWidth: Quartiles | undefined;
  readonly imageHeight: Quartiles | undefined;
}

export const datasetStats = (dataset: Dataset): SplitStats[] =>
  splitNames.flatMap((split) => {
    const records = dataset.splits.get(split);
    return records
      ? [
          splitStats(
            split,
            records,
            dataset.categories.map(({ name }) => name),
          ),
        ]
      : [];
  });

function splitStats(split: Split, records: readonly ImageRecord[], names: readonly string[]): SplitStats {
  const all = records.flatMap(({ width, height, annotations }) =>
    annotations.map((annotation) => ({ ...annotation, pixels: width * height })),
  );
  const boxes = all.filter(({ crowd }) => !crowd);
  const classes = names.map((name) => ({ name, images: 0, boxes: 0 }));
  for (const { annotations } of records) {
    const shown = annotations.filter(({ crowd }) => !crowd).map(({ label }) => label);
    for (const label of shown) classes[label]!.boxes++;
    for (const label of new Set(shown)) classes[label]!.images++;
  }
  return {
    split,
    images: records.length,
    boxes: boxes.length,
    crowds: all.length - boxes.length,
    background: records.filter(({ annotations }) => annotations.length === 0).length,
    classes,
    small: boxes.filter(({ area }) => area < 32 ** 2).length,
    medium: boxes.filter(({ area }) => area >= 32 ** 2 && area <= 96 ** 2).length,
    large: boxes.filter(({ area }) => area > 96 ** 2).length,
    boxesPerImage: quartiles(records.map(({ annotations }) => annotations.length)),
    relativeSize: quartiles(boxes.map(({ box, pixels }) => 100 * Math.sqrt((box[2] * box[3]) / pixels))),
    aspect: quartiles(boxes.map(({ box }) => box[2] / box[3])),
    imageWidth: quartiles(records.map(({ width }) => width)),
    imageHeight: quartiles(records.map(({ height }) => height)),
  };
}

function quartiles(values: readonly number[]): Quartiles | undefined {
  if (values.length === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  const at = (part: number) => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!;
  return [at(0), at(0.25), at(0.5), at(0.75), at(1)];
}
