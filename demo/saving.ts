/** Saving what was found: the picture with its boxes, JSON, COCO results, YOLO lines, CSV. What is shown is what is saved. */

import { cocoCategoryIds, cocoClasses } from '../src/detector/coco.ts';
import { annotatedPng } from '../src/host/image.ts';
import type { Detection } from '../src/index.ts';
import type { App } from './app.ts';
import { download, element } from './dom.ts';

export interface Looked {
  readonly name: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly detections: readonly Detection[];
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

export function asJson({ name, width, height, detections }: Looked): string {
  return `${JSON.stringify({ image: name, width, height, detections: detections.map(({ score, label, box }) => ({ score, label, box })) }, null, 2)}\n`;
}

/** COCO's results format. Ids of images are their file name's number, as COCO's are, else 1; categories from 1, or COCO's own. */
export function asCoco({ name, detections }: Looked, classes: readonly string[]): string {
  const coco = classes.length === cocoClasses.length && classes.every((label, i) => label === cocoClasses[i]);
  const digits = /(\d+)\D*$/.exec(name.replace(/\.[^.]*$/, ''))?.[1];
  const results = detections.map(({ score, labelId, box }) => ({
    image_id: digits ? Number(digits) : 1,
    category_id: coco ? cocoCategoryIds[labelId] : labelId + 1,
    bbox: [box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin].map((value) => rounded(value, 2)),
    score: rounded(score, 5),
  }));
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
export function asCsv({ name, detections }: Looked): string {
  const field = (text: string) => (/[",\r\n]|^[=+\-@]/.test(text) ? `"${text.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"` : text);
  const rows = detections.map(({ label, score, box: { xmin, ymin, xmax, ymax } }) =>
    [field(name), field(label), rounded(score, 5), ...[xmin, ymin, xmax, ymax].map((value) => rounded(value, 2))].join(','),
  );
  return `${['image,label,score,xmin,ymin,xmax,ymax', ...rows].join('\r\n')}\r\n`;
}

export function saving(app: App): void {
  const text = (content: string, type: string) => new Blob([content], { type });
  const formats: Record<string, (looked: Looked) => [suffix: string, content: Blob]> = {
    json: (looked) => ['json', text(asJson(looked), 'application/json')],
    coco: (looked) => ['coco.json', text(asCoco(looked, app.model?.classes ?? []), 'application/json')],
    yolo: (looked) => ['txt', text(asYolo(looked), 'text/plain')],
    csv: (looked) => ['csv', text(asCsv(looked), 'text/csv')],
  };
  const stem = (name: string) => name.replace(/\.[^.]*$/, '') || 'picture';
  const buttons = element('saving').querySelectorAll('button');
  const enable = () => {
    for (const button of buttons) button.disabled = !app.found;
  };
  app.on('found', enable);
  app.on('picture', enable);
  enable();
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const { picture, found } = app;
      if (!picture || !found) return;
      const detections = app.visible();
      const kind = button.value;
      if (kind === 'png') {
        void app.run('Drawing the picture', async () => {
          const file = await annotatedPng(picture.bitmap, detections);
          download(`${stem(picture.name)}-boxes.png`, new Blob([file], { type: 'image/png' }));
        });
        return;
      }
      const { width, height } = picture.bitmap;
      const [suffix, content] = formats[kind]({ name: picture.name, width, height, detections });
      download(`${stem(picture.name)}.${suffix}`, content);
    });
  }
}
