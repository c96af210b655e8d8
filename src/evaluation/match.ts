/**
 * Which detection found which object: COCO's greedy matching in one image and class.
 *
 * Detections come best score first. Each takes the free object with the largest IoU at or above the threshold (the later one of
 * equals); one that counts goes before one that is ignored (a crowd, or of another size than the range). A crowd can be taken many times.
 * Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py (evaluateImg) and common/maskApi.c (bbIou).
 */
import type { Annotation } from '../data/dataset.ts';
import { areaRanges, iouThresholds } from './protocol.ts';

/** x, y, width, height in pixels. */
export type XYWH = readonly [number, number, number, number];

/** Intersection over union; over the detection's own area where the object is a crowd. 0 where the boxes do not overlap. */
export function boxIou(detection: XYWH, object: XYWH, crowd: boolean): number {
  const width = Math.min(detection[2] + detection[0], object[2] + object[0]) - Math.max(detection[0], object[0]);
  if (width <= 0) return 0;
  const height = Math.min(detection[3] + detection[1], object[3] + object[1]) - Math.max(detection[1], object[1]);
  if (height <= 0) return 0;
  const intersection = width * height;
  const area = detection[2] * detection[3];
  return intersection / (crowd ? area : area + object[2] * object[3] - intersection);
}

/** IoU of every detection (rows) with every object (columns). */
export function pairwiseIou(detections: readonly XYWH[], objects: readonly Annotation[]): Float64Array {
  const ious = new Float64Array(detections.length * objects.length);
  let at = 0;
  for (const box of detections) for (const object of objects) ious[at++] = boxIou(box, object.box, object.crowd);
  return ious;
}

/** Whether a size lies outside a range (position in `areaRanges`). */
export function outsideRange(area: number, range: number): boolean {
  return area < areaRanges[range][0] || area > areaRanges[range][1];
}

/** One image and class in one range of sizes, at T thresholds. */
export interface Matches {
  /** The objects' positions in the list given: those that count, then the ignored ones. Columns of `objectMatch`. */
  readonly order: readonly number[];
  /** How many objects count; the first of `order`. */
  readonly counted: number;
  /** [T, detections]: the object's id, 0 where there is none. */
  readonly detectionMatch: Float64Array;
  /** [T, detections]: 1 where the detection is neither right nor wrong. */
  readonly detectionIgnored: Uint8Array;
  /** [T, objects]: position of the detection plus 1, 0 where there is none. */
  readonly objectMatch: Uint32Array;
}

/**
 * @param detections boxes of one image and class, best score first, at most 100
 * @param objects labelled boxes of that image and class, in the file's order
 * @param ious of `pairwiseIou`
 * @param range position in `areaRanges`
 */
export function matchDetections(detections: readonly XYWH[], objects: readonly Annotation[], ious: Float64Array, range: number): Matches {
  const ignored = objects.map(({ crowd, area }) => crowd || outsideRange(area, range));
  const indices = [...objects.keys()];
  const order = [...indices.filter((i) => !ignored[i]), ...indices.filter((i) => ignored[i])];
  const counted = ignored.filter((isIgnored) => !isIgnored).length;
  const outside = detections.map(([, , width, height]) => outsideRange(width * height, range));

  const detectionMatch = new Float64Array(iouThresholds.length * detections.length);
  const detectionIgnored = new Uint8Array(iouThresholds.length * detections.length);
  const objectMatch = new Uint32Array(iouThresholds.length * objects.length);
  for (let t = 0; t < iouThresholds.length; t++) {
    for (let d = 0; d < detections.length; d++) {
      let best = iouThresholds[t];
      let found = -1;
      for (let o = 0; o < order.length; o++) {
        if (objectMatch[t * order.length + o] > 0 && !objects[order[o]].crowd) continue;
        if (found >= 0 && found < counted && o >= counted) break;
        const iou = ious[d * order.length + order[o]];
        if (iou < best) continue;
        best = iou;
        found = o;
      }
      const at = t * detections.length + d;
      if (found >= 0) {
        detectionIgnored[at] = found < counted ? 0 : 1;
        detectionMatch[at] = objects[order[found]].id;
        objectMatch[t * order.length + found] = d + 1;
      }
      // Asking for the id, as pycocotools does, takes an object with id 0 for none: the readers renumber such ids.
      if (detectionMatch[at] === 0 && outside[d]) detectionIgnored[at] = 1;
    }
  }
  return { order, counted, detectionMatch, detectionIgnored, objectMatch };
}
