/**
 * COCO's detection metric, to the last bit of pycocotools 2.0.11 (bounding boxes): tests hold every array to equality.
 *
 * Images are taken by ascending id, equal scores in the order given: pycocotools sorts stably, so that order is part of the result.
 */
import type { Category, ImageRecord } from '../data/dataset.ts';
import { type Accumulated, accumulate, type ClassDetections, emptyArrays, IGNORED, RIGHT, WRONG } from './accumulate.ts';
import { checkDetections, checkLabels } from './check.ts';
import { classRows, type OperatingPoint } from './class-rows.ts';
import { type ClassGroup, groupByClass } from './group.ts';
import { matchDetections, outsideRange, pairwiseIou, type XYWH } from './match.ts';
import { areaRanges, iouThresholds, maxDetections } from './protocol.ts';
import { type Summary, summarize } from './summarize.ts';

export interface EvaluatedDetection {
  readonly imageId: number;
  /** Position in the categories. */
  readonly label: number;
  readonly score: number;
  /** x, y, width, height in pixels of the upright image, from its upper left corner. */
  readonly box: XYWH;
}

/** The twelve numbers and their lines, the table of classes, and the arrays behind them. */
export interface CocoEvaluation extends Summary, OperatingPoint, Accumulated {}

/**
 * @param images with their labelled boxes, in any order
 * @param categories by ascending id, as `Dataset` has them
 * @param detections of these images, in any order; the best 100 of an image and class count
 * @throws BackdropError E_INPUT for images, labels and numbers that make no sense
 */
export function evaluateDetections(
  images: readonly ImageRecord[],
  categories: readonly Category[],
  detections: readonly EvaluatedDetection[],
): CocoEvaluation {
  checkLabels(images, categories);
  const sorted = [...images].sort((a, b) => a.id - b.id);
  const imageOf = checkDetections(sorted, categories, detections);
  const arrays = emptyArrays(categories.length);
  const classes = groupByClass(sorted, categories.length, detections, imageOf).map((group, label) => {
    const outcomes = classOutcomes(group, detections);
    accumulate(arrays, label, outcomes);
    return outcomes;
  });
  return { ...arrays, ...summarize(arrays), ...classRows(images, categories, arrays, classes) };
}

/** What becomes of each detection of a class in each range of sizes, at each threshold. */
function classOutcomes({ order, rank, cells }: ClassGroup, detections: readonly EvaluatedDetection[]): ClassDetections {
  const count = order.length;
  const outcome = new Uint8Array(areaRanges.length * iouThresholds.length * count);
  const boxes = areaRanges.map(() => 0);
  const cut = maxDetections[maxDetections.length - 1];
  const areas = Float64Array.from(order, (index) => detections[index].box[2] * detections[index].box[3]);
  for (let a = 0; a < areaRanges.length; a++) {
    const first = a * iouThresholds.length * count;
    // Where nothing is labelled there is nothing to match.
    for (let place = 0; place < count; place++) outcome[first + place] = outsideRange(areas[place], a) ? IGNORED : WRONG;
    for (let t = 1; t < iouThresholds.length; t++) outcome.copyWithin(first + t * count, first, first + count);
  }
  for (const { objects, places } of cells) {
    const kept = places.subarray(0, cut);
    const found = Array.from(kept, (place) => detections[order[place]].box);
    const ious = pairwiseIou(found, objects);
    for (let a = 0; a < areaRanges.length; a++) {
      const { counted, detectionMatch, detectionIgnored } = matchDetections(found, objects, ious, a);
      boxes[a] += counted;
      for (let t = 0, at = 0; t < iouThresholds.length; t++) {
        const first = (a * iouThresholds.length + t) * count;
        for (let d = 0; d < kept.length; d++, at++)
          outcome[first + kept[d]] = detectionIgnored[at] === 1 ? IGNORED : detectionMatch[at] === 0 ? WRONG : RIGHT;
      }
    }
  }
  return { score: Float64Array.from(order, (index) => detections[index].score), rank, outcome, boxes };
}
