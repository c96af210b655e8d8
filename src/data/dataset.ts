/** A labelled set of images in the one form that everything after the readers knows: absolute boxes, labels counted from 0. */

export const splitNames = ['train', 'val', 'test'] as const;
export type Split = (typeof splitNames)[number];

export interface Category {
  /** As the files have it; kept for export. */
  readonly id: number;
  readonly name: string;
}

export interface Annotation {
  readonly id: number;
  /** Position in the data set's categories. */
  readonly label: number;
  /** x, y, width, height in pixels of the upright image, from its upper left corner. */
  readonly box: readonly [number, number, number, number];
  /** Square pixels: of the mask where the files tell, else of the box. */
  readonly area: number;
  readonly crowd: boolean;
}

export interface ImageRecord {
  readonly id: number;
  /** Path below the data set's directory, with forward slashes. */
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly annotations: readonly Annotation[];
}

export interface Dataset {
  readonly format: 'coco' | 'yolo' | 'voc';
  /** By ascending id. */
  readonly categories: readonly Category[];
  readonly splits: ReadonlyMap<Split, readonly ImageRecord[]>;
}

/** The directory a data set lies in: on disk, picked in a page, or served. */
export interface DataDirectory {
  /** Paths of all files below it, with forward slashes, sorted. */
  list(): Promise<readonly string[]>;
  /** @throws BackdropError E_DATA when there is no such file */
  read(path: string): Promise<Blob>;
  /** Bytes [begin, end) as far as the file reaches, and the size of the whole: where reading all of it would be waste (over HTTP). */
  part?(path: string, begin: number, end: number): Promise<{ bytes: Uint8Array; size: number }>;
}
