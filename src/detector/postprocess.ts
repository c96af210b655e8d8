/** From class logits and normalised boxes to detections in pixels of the original image (RT-DETR's post-processor). */
import { cocoCategoryIds } from './coco.ts';

export interface Box {
  xmin: number;
  ymin: number;
  xmax: number;
  ymax: number;
}

export interface Detection {
  /** 0 to 1. */
  score: number;
  label: string;
  /** Index of the class, or its COCO category id where that was asked for. */
  labelId: number;
  /** Which of the decoder's queries found it: its row in the outputs, and in an `Inspection`. */
  query: number;
  /** Pixels of the original image. Not clipped: a box may reach over the edge. */
  box: Box;
}

export interface PostprocessOptions {
  classes: number;
  labels: readonly string[];
  /** Size of the original image in pixels. */
  width: number;
  height: number;
  /** Scores below it are left out. */
  threshold: number;
  maxResults: number;
  /** Only these labels. */
  only?: ReadonlySet<number> | null;
  /** labelId becomes the COCO category id. */
  remap?: boolean;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * The best `maxResults` of all queries and classes together, strongest first, equal scores by lower query and class: a query
 * may appear with several classes.
 * @param logits [queries, classes]
 * @param boxes cx, cy, w, h in 0..1 [queries, 4]
 */
export function postprocess(logits: ArrayLike<number>, boxes: ArrayLike<number>, options: PostprocessOptions): Detection[] {
  const { classes, labels, width, height, threshold, maxResults, only, remap } = options;
  const kept: { index: number; score: number }[] = [];
  for (let index = 0; index < logits.length; index++) {
    const score = sigmoid(logits[index]);
    if (score >= threshold && (!only || only.has(index % classes))) kept.push({ index, score });
  }
  // By logit, which still tells scores apart that are 1 in floating point.
  kept.sort((a, b) => logits[b.index] - logits[a.index] || a.index - b.index);
  return kept.slice(0, maxResults).map(({ index, score }) => {
    const query = Math.floor(index / classes);
    const label = index % classes;
    const [cx, cy, w, h] = [0, 1, 2, 3].map((i) => boxes[4 * query + i]);
    return {
      score,
      label: labels[label] ?? `class ${label}`,
      labelId: remap ? (cocoCategoryIds[label] ?? label) : label,
      query,
      box: {
        xmin: (cx - w / 2) * width,
        ymin: (cy - h / 2) * height,
        xmax: (cx + w / 2) * width,
        ymax: (cy + h / 2) * height,
      },
    };
  });
}
