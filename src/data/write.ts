/** A data set in one of the three formats, as texts and as a list of the pictures that belong to them. */
import { BackdropError } from '../errors.ts';
import { type Dataset, type ImageRecord, type Split, splitNames } from './dataset.ts';
import { stemOf } from './file-index.ts';
import { writeCoco } from './write-coco.ts';
import { writeVoc } from './write-voc.ts';
import { writeYolo } from './write-yolo.ts';

export interface WrittenFile {
  readonly path: string;
  readonly text: string;
}

export interface WrittenDataset {
  /** Made one at a time: there may be one for each picture. */
  readonly files: Iterable<WrittenFile>;
  /** Pictures to be copied or linked: from the old set, to the new one. */
  readonly images: readonly { readonly from: string; readonly to: string }[];
  /** What the format cannot hold, in sentences. */
  readonly losses: readonly string[];
}

/** A record and what its files are called: `stem` + `extension` is unique in the split, or in the whole set where that was asked for. */
export interface NamedRecord {
  readonly record: ImageRecord;
  readonly stem: string;
  readonly extension: string;
}

export type NamedSplits = readonly (readonly [Split, readonly NamedRecord[]])[];

/**
 * Names stay as they are where they can be. Layouts: COCO `annotations/instances_SPLIT.json` and `SPLIT/`; YOLO `data.yaml`,
 * `images/SPLIT/`, `labels/SPLIT/`; VOC `Annotations/`, `ImageSets/Main/`, `JPEGImages/`, and `classes.txt`, which keeps the order of
 * the classes. @throws BackdropError E_DATA for class names that the format cannot hold
 */
export function writeDataset(dataset: Dataset, format: Dataset['format']): WrittenDataset {
  const splits = splitNames.flatMap((split) => {
    const records = dataset.splits.get(split);
    return records ? [[split, records] as const] : [];
  });
  if (splits.length === 0) throw new BackdropError('E_DATA', 'the data set has no images: there is nothing to write');
  // VOC has one folder of pictures for all splits.
  const shared = new Set<string>();
  const named: NamedSplits = splits.map(
    ([split, records]) => [split, nameRecords(records, format === 'voc' ? shared : new Set())] as const,
  );
  return { coco: writeCoco, yolo: writeYolo, voc: writeVoc }[format](dataset, named);
}

/** Stems without what file systems and lists of names cannot hold or hide; a second one of a name gets a number. Case does not tell them apart. */
function nameRecords(records: readonly ImageRecord[], taken: Set<string>): NamedRecord[] {
  return records.map((record) => {
    const stem =
      stemOf(record.file)
        .replace(/[\p{Cc}<>:"|?*\\]|^\s*\./gu, '_')
        .trim() || 'image';
    let free = stem;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${stem}-${i}`;
    taken.add(free.toLowerCase());
    return { record, stem: free, extension: record.file.match(/\.[^./]*$/)?.[0] ?? '' };
  });
}
