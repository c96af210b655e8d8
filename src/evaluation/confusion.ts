/**
 * What was taken for what: Ultralytics' confusion matrix of a detector.
 *
 * Detections with a score above 0.25 and boxes are paired whatever their classes: of all pairs with an IoU above 0.45 each detection
 * keeps its best box, then each box the best of these detections. Boxes left over are counted as predicted to be background,
 * detections left over as background that was predicted to be something. Crowds, which Ultralytics does not have, are no boxes to find; a
 * detection left over that lies on a crowd of its class is not counted, as in COCO's metric.
 */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { checkDetections, checkLabels } from './check.ts';
import type { EvaluatedDetection } from './coco.ts';
import { boxIou } from './match.ts';

export const confusionScore = 0.25;
export const confusionIou = 0.45;

export interface ConfusionMatrix {
  /** The categories' names, then 'background'. */
  readonly names: readonly string[];
  /** [predicted, true], square with one row a name. */
  readonly counts: Uint32Array;
}

/** @throws BackdropError E_INPUT as `evaluateDetections` */
export function confusionMatrix(
  images: readonly ImageRecord[],
  categories: readonly Category[],
  detections: readonly EvaluatedDetection[],
): ConfusionMatrix {
  checkLabels(images, categories);
  const imageOf = checkDetections(images, categories, detections);
  const found = images.map((): EvaluatedDetection[] => []);
  detections.forEach((detection, i) => {
    if (detection.score > confusionScore) found[imageOf[i]].push(detection);
  });
  const background = categories.length;
  const counts = new Uint32Array((background + 1) ** 2);
  images.forEach((image, i) => {
    const objects = image.annotations.filter(({ crowd }) => !crowd);
    const crowds = image.annotations.filter(({ crowd }) => crowd);
    const { finder, matched } = pair(found[i], objects);
    objects.forEach(({ label }, o) => {
      const predicted = finder[o] < 0 ? background : found[i][finder[o]].label;
      counts[predicted * (background + 1) + label]++;
    });
    found[i].forEach(({ label, box }, d) => {
      if (matched[d]) return;
      const onCrowd = crowds.some((crowd) => crowd.label === label && boxIou(box, crowd.box, true) > confusionIou);
      if (!onCrowd) counts[label * (background + 1) + background]++;
    });
  });
  return { names: [...categories.map(({ name }) => name), 'background'], counts };
}

/** Which detection found each object (-1: none), and which detections found one. Of equal IoUs the earlier counts. */
function pair(found: readonly EvaluatedDetection[], objects: ImageRecord['annotations']): { finder: number[]; matched: boolean[] } {
  const finder = objects.map(() => -1);
  const best = objects.map(() => 0);
  found.forEach(({ box }, d) => {
    let object = -1;
    let iou = confusionIou;
    objects.forEach((candidate, o) => {
      const value = boxIou(box, candidate.box, false);
      if (value > iou) [object, iou] = [o, value];
    });
    if (object >= 0 && iou > best[object]) [finder[object], best[object]] = [d, iou];
  });
  const matched = found.map(() => false);
  for (const d of finder) if (d >= 0) matched[d] = true;
  return { finder, matched };
}

/** Rows are predictions, columns the truth; one line a row, names quoted where needed (RFC 4180). */
export function confusionCsv({ names, counts }: ConfusionMatrix): string {
  const quote = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = names.map((name, i) => [quote(name), ...counts.subarray(i * names.length, (i + 1) * names.length)].join(','));
  return `${[['predicted/true', ...names.map(quote)].join(','), ...rows].join('\n')}\n`;
}
