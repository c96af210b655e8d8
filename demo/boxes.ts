/** Boxes as the library gives them and as COCO writes them. */
import { boxIou, type XYWH } from '../src/evaluation/match.ts';
import type { Detection } from '../src/index.ts';

export const toXywh = ({ xmin, ymin, xmax, ymax }: Detection['box']): XYWH => [xmin, ymin, xmax - xmin, ymax - ymin];

/** Intersection over union. */
export const overlap = (a: XYWH, b: XYWH): number => boxIou(a, b, false);
