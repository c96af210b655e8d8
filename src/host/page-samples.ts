/** The first pictures of the validation as one picture: with their labels, and with what was found in them. */
import type { Category, DataDirectory, ImageRecord } from '../data/dataset.ts';
import type { DetectedBox } from '../training/validator.ts';
import { type DrawnBox, decodeImage, drawBoxes } from './image.ts';

/** Pictures, in rows of so many, each fitted into a square of so many pixels. */
const [COUNT, COLUMNS, CELL] = [8, 4, 320];

export const samplesOf = (records: readonly ImageRecord[]): readonly ImageRecord[] => records.slice(0, COUNT);

type XYWH = readonly [number, number, number, number];
const box = (label: string, [x, y, width, height]: XYWH, score?: number): DrawnBox => ({
  label,
  ...(score === undefined ? {} : { score }),
  box: { xmin: x, ymin: y, xmax: x + width, ymax: y + height },
});

export const labelBoxes = ({ annotations }: ImageRecord, categories: readonly Category[]): DrawnBox[] =>
  annotations.map(({ label, box: at }) => box(categories[label].name, at));

/** Those of an image from a score on. */
export const foundBoxes = (
  { id }: ImageRecord,
  detections: readonly DetectedBox[],
  categories: readonly Category[],
  threshold: number,
): DrawnBox[] =>
  detections
    .filter(({ imageId, score }) => imageId === id && score >= threshold)
    .map(({ label, box: at, score }) => box(categories[label].name, at, score));

/** A PNG. @throws BackdropError E_DATA, E_IMAGE for a picture that cannot be read */
export async function samplesPng(
  directory: DataDirectory,
  records: readonly ImageRecord[],
  boxesOf: (record: ImageRecord) => readonly DrawnBox[],
): Promise<Uint8Array<ArrayBuffer>> {
  const columns = Math.min(COLUMNS, records.length);
  const canvas = new OffscreenCanvas(columns * CELL, Math.ceil(records.length / columns) * CELL);
  const context = canvas.getContext('2d')!;
  for (const [i, record] of records.entries()) {
    const bitmap = await decodeImage(await directory.read(record.file), record.file);
    const scale = CELL / Math.max(bitmap.width, bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    context.save();
    context.translate((i % columns) * CELL + (CELL - width) / 2, Math.floor(i / columns) * CELL + (CELL - height) / 2);
    context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    const scaled = boxesOf(record).map(({ box: b, ...rest }) => ({
      ...rest,
      box: { xmin: b.xmin * scale, ymin: b.ymin * scale, xmax: b.xmax * scale, ymax: b.ymax * scale },
    }));
    drawBoxes(context, scaled, width, height);
    context.restore();
  }
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
}
