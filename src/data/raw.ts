/** What the readers hand over: annotations as the files have them, before images are looked at and boxes checked. */
import type { Category, DataDirectory, Dataset, Split } from './dataset.ts';
import type { FileIndex } from './file-index.ts';
import type { ProblemList } from './problems.ts';

export interface RawAnnotation {
  readonly id: number;
  readonly label: number;
  /** x, y, width, height: in pixels, or in parts of the image where the image says `relative`. */
  readonly box: readonly [number, number, number, number];
  /** Absent: the area of the box. */
  readonly area?: number;
  readonly crowd: boolean;
  readonly line?: number;
}

export interface RawImage {
  readonly id: number;
  /** The file in the data set; undefined where there is none. */
  readonly file: string | undefined;
  /** What the label file calls it. */
  readonly name: string;
  /** As the label file says; absent where it does not. */
  readonly width?: number;
  readonly height?: number;
  readonly relative: boolean;
  readonly annotations: readonly RawAnnotation[];
  /** The label file, for messages. */
  readonly labels: string;
}

export interface RawDataset {
  readonly format: Dataset['format'];
  readonly categories: readonly Category[];
  readonly splits: ReadonlyMap<Split, readonly RawImage[]>;
}

/** What a reader works with. */
export interface ReadContext {
  readonly directory: DataDirectory;
  readonly files: FileIndex;
  readonly problems: ProblemList;
  readonly signal: AbortSignal | undefined;
}

const splitWords: Readonly<Record<string, Split>> = {
  train: 'train',
  training: 'train',
  val: 'val',
  valid: 'val',
  validation: 'val',
  dev: 'val',
  test: 'test',
  testing: 'test',
};

/** The split that a path speaks of: "instances_val2017.json", "valid/_annotations.coco.json". The file's own name counts first. */
export function splitOfPath(path: string): Split | undefined {
  for (const part of path.split('/').reverse()) {
    for (const word of part.toLowerCase().split(/[^a-z]+/)) {
      if (Object.hasOwn(splitWords, word)) return splitWords[word];
    }
  }
  return undefined;
}
