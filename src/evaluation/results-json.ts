/** COCO's results file: what `pycocotools`' loadRes and the evaluation servers read. */
import type { Category } from '../data/dataset.ts';
import { BackdropError } from '../errors.ts';
import type { EvaluatedDetection } from './coco.ts';

/** A JSON array, one detection a line, with the data set's own category ids. Numbers keep every digit: evaluating the file gives the same AP. */
export function writeResults(detections: readonly EvaluatedDetection[], categories: readonly Category[]): string {
  const lines = detections.map(({ imageId, label, score, box }) =>
    JSON.stringify({ image_id: imageId, category_id: categories[label].id, bbox: box, score }),
  );
  return lines.length === 0 ? '[]\n' : `[${lines.join(',\n')}]\n`;
}

/** @throws BackdropError E_INPUT naming the entry and the field */
export function readResults(text: string, categories: readonly Category[]): EvaluatedDetection[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (cause) {
    throw new BackdropError('E_INPUT', `COCO results: not JSON (${(cause as Error).message})`, { cause });
  }
  if (!Array.isArray(entries))
    throw new BackdropError(
      'E_INPUT',
      `COCO results: found ${entries === null ? 'null' : typeof entries}, expected an array of detections`,
      {
        hint: 'A results file holds [{"image_id", "category_id", "bbox", "score"}, ...]; a data set (with "images" and "annotations") is another file.',
      },
    );
  const labelOf = new Map(categories.map(({ id }, label) => [id, label]));
  return entries.map((entry: unknown, i): EvaluatedDetection => {
    const wrong = (field: string, value: unknown, expected: string) =>
      new BackdropError('E_INPUT', `COCO results, entry ${i}: ${field} is ${JSON.stringify(value)}, expected ${expected}`);
    if (typeof entry !== 'object' || entry === null) throw wrong('it', entry, 'a detection');
    const { image_id: imageId, category_id: category, bbox, score } = entry as Record<string, unknown>;
    if (typeof imageId !== 'number') throw wrong('image_id', imageId, 'a number');
    if (typeof score !== 'number') throw wrong('score', score, 'a number');
    if (!isBox(bbox)) throw wrong('bbox', bbox, '[x, y, width, height]');
    const label = typeof category === 'number' ? labelOf.get(category) : undefined;
    if (label === undefined) throw wrong('category_id', category, `one of ${listed([...labelOf.keys()])}`);
    return { imageId, label, score, box: bbox };
  });
}

function isBox(value: unknown): value is [number, number, number, number] {
  return Array.isArray(value) && value.length === 4 && value.every((number) => typeof number === 'number');
}

function listed(ids: readonly number[]): string {
  return ids.length <= 8 ? ids.join(', ') : `${ids.slice(0, 8).join(', ')} ... (${ids.length} categories)`;
}
