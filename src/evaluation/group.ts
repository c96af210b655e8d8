/** Detections and labelled boxes by class and image, in the order that pycocotools takes them. */
import type { Annotation, ImageRecord } from '../data/dataset.ts';
import type { EvaluatedDetection } from './coco.ts';

export interface ClassGroup {
  /** Positions of the class's detections in the list given: best score first; of equal scores lower image, then the order given. */
  readonly order: Uint32Array;
  /** For each of `order`: how many of its image are better. */
  readonly rank: Uint32Array;
  /** Images that have boxes of the class, with the detections there as positions in `order`, best first. */
  readonly cells: readonly { readonly objects: readonly Annotation[]; readonly places: Uint32Array }[];
}

/**
 * @param images by ascending id
 * @param imageOf position of each detection's image
 */
export function groupByClass(
  images: readonly ImageRecord[],
  classes: number,
  detections: readonly EvaluatedDetection[],
  imageOf: Uint32Array,
): ClassGroup[] {
  const labelOf = Uint32Array.from(detections, ({ label }) => label);
  const score = Float64Array.from(detections, (detection) => detection.score);
  const given = Uint32Array.from(detections.keys());
  const best = stableCounting(given, imageOf, images.length).sort((a, b) => score[b] - score[a]);
  const byClass = stableCounting(best, labelOf, classes);
  const byImage = stableCounting(stableCounting(best, imageOf, images.length), labelOf, classes);
  const place = new Uint32Array(detections.length);
  const objects = objectsByClass(images, classes);

  let start = 0;
  return objects.map((boxes, label) => {
    let end = start;
    while (end < byClass.length && labelOf[byClass[end]] === label) {
      place[byClass[end]] = end - start;
      end++;
    }
    const order = byClass.subarray(start, end);
    const places = Uint32Array.from(byImage.subarray(start, end), (index) => place[index]);
    const rank = new Uint32Array(order.length);
    const cells: { objects: Annotation[]; places: Uint32Array }[] = [];
    const cellOf = new Map(boxes.map(([image, list]) => [image, list]));
    for (let from = 0; from < places.length; ) {
      const image = imageOf[order[places[from]]];
      let to = from;
      while (to < places.length && imageOf[order[places[to]]] === image) {
        rank[places[to]] = to - from;
        to++;
      }
      const list = cellOf.get(image);
      if (list) cells.push({ objects: list, places: places.subarray(from, to) });
      cellOf.delete(image);
      from = to;
    }
    for (const list of cellOf.values()) cells.push({ objects: list, places: places.subarray(0, 0) });
    start = end;
    return { order, rank, cells };
  });
}

/** For each class the images (by position) that have boxes of it, and these boxes in the file's order. */
function objectsByClass(images: readonly ImageRecord[], classes: number): [number, Annotation[]][][] {
  const result: [number, Annotation[]][][] = Array.from({ length: classes }, () => []);
  images.forEach(({ annotations }, image) => {
    for (const annotation of annotations) {
      const cells = result[annotation.label];
      const last = cells.at(-1);
      if (last?.[0] === image) last[1].push(annotation);
      else cells.push([image, [annotation]]);
    }
  });
  return result;
}

/** `items` by ascending `key[item]`, equal ones in the order they had. */
function stableCounting(items: Uint32Array, key: Uint32Array, keys: number): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(keys + 1);
  for (const item of items) next[key[item] + 1]++;
  for (let i = 0; i < keys; i++) next[i + 1] += next[i];
  const result = new Uint32Array(items.length);
  for (const item of items) result[next[key[item]]++] = item;
  return result;
}
