/** Public data sets: where their publishers offer them, and what is taken out of the archives. */
import type { RemoteFile } from './download.ts';

export interface PublicArchive extends RemoteFile {
  /** Its name on the disk. */
  readonly file: string;
  /** Where a member goes; undefined leaves it out. */
  readonly place: (name: string) => string | undefined;
  readonly maxBytes: number;
}

export interface PublicSet {
  readonly name: string;
  readonly summary: string;
  readonly licence: string;
  /** To be fetched, for people. */
  readonly bytes: number;
  readonly archives: readonly PublicArchive[];
}

const coco = 'http://images.cocodataset.org';
const GB = 1e9;

const cocoImages = (split: string, size: number, md5: string): PublicArchive => ({
  url: `${coco}/zips/${split}2017.zip`,
  file: `${split}2017.zip`,
  size,
  md5,
  place: (name) => (name.startsWith(`${split}2017/`) ? name : undefined),
  maxBytes: 1.2 * size,
});
const cocoLabels = (splits: readonly string[]): PublicArchive => ({
  url: `${coco}/annotations/annotations_trainval2017.zip`,
  file: 'annotations_trainval2017.zip',
  size: 252_907_541,
  md5: 'f4bbac642086de4f52a3fdda2de5fa2c',
  place: (name) => (splits.some((split) => name === `annotations/instances_${split}2017.json`) ? name : undefined),
  maxBytes: GB,
});
const cocoVal = cocoImages('val', 815_585_330, '442b8da7639aecaf257c1dceb8ba8c80');
const cocoTrain = cocoImages('train', 19_336_861_798, 'cced6f7f71b7629ddf16f17bbcfab6b2');
const cocoLicence = 'annotations CC BY 4.0; the pictures are of Flickr, each under the licence that the JSON names';

/** Sizes and sums of COCO as published. GitHub packs its archive anew for each request, so BCCD has none; its members have their CRC. */
export const publicSets: readonly PublicSet[] = [
  {
    name: 'bccd',
    summary: 'blood cells: 364 pictures, 3 classes (Pascal VOC)',
    licence: 'MIT, Shenggan/BCCD_Dataset',
    bytes: 8e6,
    archives: [
      {
        url: 'https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip',
        file: 'BCCD_Dataset-master.zip',
        place: (name) =>
          name
            .match(/^[^/]+\/(?:BCCD\/(.+)|(LICENSE))$/)
            ?.slice(1)
            .find(Boolean),
        maxBytes: 0.5 * GB,
      },
    ],
  },
  {
    name: 'coco-val',
    summary: 'COCO 2017 val: 5,000 pictures, 80 classes',
    licence: cocoLicence,
    bytes: 815_585_330 + 252_907_541,
    archives: [cocoLabels(['val']), cocoVal],
  },
  {
    name: 'coco',
    summary: 'COCO 2017 train and val: 123,287 pictures, 80 classes',
    licence: cocoLicence,
    bytes: 19_336_861_798 + 815_585_330 + 252_907_541,
    archives: [cocoLabels(['train', 'val']), cocoVal, cocoTrain],
  },
];
