/** What the evaluation refuses: a wrong id or a NaN would change the metric without a word. */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { BackdropError } from '../errors.ts';
import type { EvaluatedDetection } from './coco.ts';

/** @throws BackdropError E_INPUT */
export function checkLabels(images: readonly ImageRecord[], categories: readonly Category[]): void {
  categories.forEach(({ id }, i) => {
    if (i > 0 && !(id > categories[i - 1].id))
      throw new BackdropError('E_INPUT', `category id ${id} follows ${categories[i - 1].id}; categories stand by ascending id`);
  });
  for (const image of images)
    for (const { id, label, box, area } of image.annotations) {
      const where = `annotation ${id} of image ${image.id}`;
      checkLabel(label, categories, where);
      checkBox(box, where);
      if (!Number.isFinite(area)) throw new BackdropError('E_INPUT', `${where}: area is ${area}`);
    }
}

/**
 * Position of each detection's image in `images`.
 * @throws BackdropError E_INPUT
 */
export function checkDetections(
  images: readonly ImageRecord[],
  categories: readonly Category[],
  detections: readonly EvaluatedDetection[],
): Uint32Array {
  const position = new Map<number, number>();
  images.forEach(({ id }, i) => {
    if (position.has(id)) throw new BackdropError('E_INPUT', `image id ${id} occurs twice`);
    position.set(id, i);
  });
  return Uint32Array.from(detections, ({ imageId, label, score, box }, i) => {
    const image = position.get(imageId);
    if (image === undefined)
      throw new BackdropError('E_INPUT', `detection ${i} is of image ${imageId}, which is not among the ${images.length} images`, {
        hint: 'Evaluate against the split that the detections were made on.',
      });
    const where = `detection ${i} of image ${imageId}`;
    checkLabel(label, categories, where);
    checkBox(box, where);
    if (!Number.isFinite(score)) throw new BackdropError('E_INPUT', `${where}: score is ${score}`);
    return image;
  });
}

function checkLabel(label: number, categories: readonly Category[], where: string): void {
  if (!Number.isInteger(label) || label < 0 || label >= categories.length)
    throw new BackdropError('E_INPUT', `${where}: label is ${label}, but there are ${categories.length} categories`);
}

function checkBox(box: readonly number[], where: string): void {
  if (box.length !== 4 || !box.every(Number.isFinite) || box[2] < 0 || box[3] < 0)
    throw new BackdropError('E_INPUT', `${where}: box is [${box.join(', ')}]; expected x, y, width, height, no size below 0`);
}
