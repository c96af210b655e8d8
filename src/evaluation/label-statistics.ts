/** What a labelled set holds: how often each class, how large, where. Crowds are counted apart. */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { areaRanges } from './protocol.ts';

/** Cells along each side of `centres`. */
export const centreCells = 32;
/** Cells of `sizes` an octave, and octaves: sides from 1 to 4096 pixels. */
export const sizeCellsPerOctave = 3;
export const sizeOctaves = 12;

export interface LabelStatistics {
  readonly images: number;
  readonly emptyImages: number;
  readonly boxes: number;
  readonly crowds: number;
  /** One a category: boxes, and images with at least one. */
  readonly classes: readonly { readonly category: Category; readonly boxes: number; readonly images: number }[];
  /** Boxes by COCO's ranges of area; one on a border (32², 96²) counts as the smaller. */
  readonly areas: { readonly small: number; readonly medium: number; readonly large: number };
  /** Images with so many boxes: the position is the number of boxes. */
  readonly perImage: Uint32Array;
  /** [row, column] of `centreCells`: boxes by where their centres lie in the image. */
  readonly centres: Uint32Array;
  /** [height, width] of `sizeCellsPerOctave * sizeOctaves`: boxes by the logarithm of their sides in pixels. */
  readonly sizes: Uint32Array;
}

export function labelStatistics(images: readonly ImageRecord[], categories: readonly Category[]): LabelStatistics {
  const boxes = categories.map(() => 0);
  const imagesWith = categories.map(() => 0);
  const [smallest, middle] = [areaRanges[1][1], areaRanges[2][1]];
  const areas = { small: 0, medium: 0, large: 0 };
  const counted = images.map(({ annotations }) => annotations.filter(({ crowd }) => !crowd));
  const perImage = new Uint32Array(counted.reduce((most, { length }) => Math.max(most, length), 0) + 1);
  const centres = new Uint32Array(centreCells ** 2);
  const side = sizeCellsPerOctave * sizeOctaves;
  const sizes = new Uint32Array(side ** 2);
  counted.forEach((annotations, i) => {
    perImage[annotations.length]++;
    for (const label of new Set(annotations.map((annotation) => annotation.label))) imagesWith[label]++;
    for (const { label, area, box } of annotations) {
      const [x, y, width, height] = box;
      boxes[label]++;
      areas[area <= smallest ? 'small' : area <= middle ? 'medium' : 'large']++;
      const column = cell(((x + width / 2) / images[i].width) * centreCells, centreCells);
      const row = cell(((y + height / 2) / images[i].height) * centreCells, centreCells);
      centres[row * centreCells + column]++;
      sizes[sizeCell(height) * side + sizeCell(width)]++;
    }
  });
  return {
    images: images.length,
    emptyImages: images.length === 0 ? 0 : perImage[0],
    boxes: boxes.reduce((sum, count) => sum + count, 0),
    crowds: images.reduce((sum, { annotations }) => sum + annotations.filter(({ crowd }) => crowd).length, 0),
    classes: categories.map((category, label) => ({ category, boxes: boxes[label], images: imagesWith[label] })),
    areas,
    perImage,
    centres,
    sizes,
  };
}

const cell = (position: number, cells: number) => Math.min(Math.max(Math.floor(position), 0), cells - 1);
const sizeCell = (pixels: number) => cell(Math.log2(Math.max(pixels, 1)) * sizeCellsPerOctave, sizeCellsPerOctave * sizeOctaves);
