/** What was found as files: JSON, COCO results, YOLO lines, CSV. */
import { cocoCategoryIds, cocoClasses } from '../src/detector/coco.ts';
import type { Detection } from '../src/index.ts';
import { toXywh } from './boxes.ts';

export interface Looked {
  readonly name: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly detections: readonly Detection[];
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** One picture as an object, several as a list. */
export function asJson(all: readonly Looked[]): string {
  const plain = all.map(({ name, width, height, detections }) => ({
    ...{ image: name, width, height },
    detections: detections.map(({ score, label, box }) => ({ score, label, box })),
  }));
  return `${JSON.stringify(plain.length === 1 ? plain[0] : plain, null, 2)}\n`;
}

/**
 * COCO's results format. Ids of images are their file names' numbers, as COCO's are, where each has one of its own, else their
 * order from 1; categories from 1, or COCO's own.
 */
export function asCoco(all: readonly Looked[], classes: readonly string[]): string {
  const coco = classes.length === cocoClasses.length && classes.every((label, i) => label === cocoClasses[i]);
  const numbers = all.map(({ name }) => Number(/(\d+)\D*$/.exec(name.replace(/\.[^.]*$/, ''))?.[1] ?? Number.NaN));
  const own = new Set(numbers).size === numbers.length && !numbers.some(Number.isNaN);
  const results = all.flatMap(({ detections }, i) =>
    detections.map(({ score, labelId, box }) => ({
      image_id: own ? numbers[i] : i + 1,
      category_id: coco ? cocoCategoryIds[labelId] : labelId + 1,
      bbox: toXywh(box).map((value) => rounded(value, 2)),
      score: rounded(score, 5),
    })),
  );
  return `${JSON.stringify(results)}\n`;
}

/** A line a box: class cx cy w h score, in 0..1 of the picture, as Ultralytics saves them. */
export function asYolo({ width, height, detections }: Looked): string {
  return detections
    .map(({ labelId, score, box: { xmin, ymin, xmax, ymax } }) => {
      const numbers = [(xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height, (xmax - xmin) / width, (ymax - ymin) / height, score];
      return `${labelId} ${numbers.map((value) => value.toFixed(6)).join(' ')}\n`;
    })
    .join('');
}

/** RFC 4180: quotes where they are needed. A leading = + - @ is no formula. */
export function asCsv(all: readonly Looked[]): string {
  const field = (text: string) => (/[",\r\n]|^[=+\-@]/.test(text) ? `"${text.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"` : text);
  const rows = all.flatMap(({ name, detections }) =>
    detections.map(({ label, score, box: { xmin, ymin, xmax, ymax } }) =>
      [field(name), field(label), rounded(score, 5), ...[xmin, ymin, xmax, ymax].map((value) => rounded(value, 2))].join(','),
    ),
  );
  return `${['image,label,score,xmin,ymin,xmax,ymax', ...rows].join('\r\n')}\r\n`;
}
