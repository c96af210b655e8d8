/** How long COCO evaluation takes: a made-up set of the size of COCO's val2017, on one core. */
import type { ImageRecord } from '../../data/dataset.ts';
import { type EvaluatedDetection, evaluateDetections } from '../../evaluation/coco.ts';
import { RandomStream } from '../../random.ts';

const [IMAGES, CLASSES, DETECTIONS] = [5000, 80, 100];
/** Labelled boxes an image: 0 to this. */
const BOXES = 14;

export interface EvaluationReport {
  images: number;
  classes: number;
  boxes: number;
  detections: number;
  /** Of each round: processor time and time on the clock. */
  rounds: { cpuSeconds: number; wallSeconds: number }[];
}

export function timeEvaluation(rounds: number): EvaluationReport {
  const categories = Array.from({ length: CLASSES }, (_, i) => ({ id: i + 1, name: `class ${i + 1}` }));
  const images = Array.from({ length: IMAGES }, (_, id) => madeUpImage(id));
  const detections = images.flatMap(madeUpDetections);
  const times = Array.from({ length: rounds }, () => {
    const [cpu, wall] = [process.cpuUsage(), performance.now()];
    evaluateDetections(images, categories, detections);
    const { user, system } = process.cpuUsage(cpu);
    return { cpuSeconds: (user + system) / 1e6, wallSeconds: (performance.now() - wall) / 1e3 };
  });
  const boxes = images.reduce((sum, { annotations }) => sum + annotations.length, 0);
  return { images: IMAGES, classes: CLASSES, boxes, detections: detections.length, rounds: times };
}

type Box = readonly [number, number, number, number];

function boxOf(random: RandomStream, index: number): Box {
  const [width, height] = [8 + 250 * random.uniform(index) ** 2, 8 + 250 * random.uniform(index + 1) ** 2];
  return [random.uniform(index + 2) * (640 - width), random.uniform(index + 3) * (480 - height), width, height];
}

function madeUpImage(id: number): ImageRecord {
  const random = new RandomStream(1, id, 0);
  const annotations = Array.from({ length: random.integer(0, BOXES + 1) }, (_, i) => {
    const box = boxOf(random, 8 * i + 8);
    // Some classes are frequent, one box in a hundred is a crowd, masks are smaller than boxes.
    const label = Math.floor(CLASSES * random.uniform(8 * i + 12) ** 3);
    return { id: id * 100 + i + 1, label, box, area: 0.7 * box[2] * box[3], crowd: random.uniform(8 * i + 13) < 0.01 };
  });
  return { id, file: `${id}.jpg`, width: 640, height: 480, annotations };
}

/** Half of them near a labelled box and mostly of its class, the rest anywhere. */
function madeUpDetections({ id: imageId, annotations }: ImageRecord): EvaluatedDetection[] {
  const random = new RandomStream(1, imageId, 1);
  return Array.from({ length: DETECTIONS }, (_, i) => {
    const at = 16 * i;
    const anyLabel = random.integer(at + 8, CLASSES);
    if (annotations.length === 0 || random.uniform(at) < 0.5)
      return { imageId, label: anyLabel, score: random.uniform(at + 1) ** 2, box: boxOf(random, at + 2) };
    const { label, box } = annotations[random.integer(at + 1, annotations.length)];
    const shift = (index: number) => 0.3 * (random.uniform(at + index) - 0.5);
    const [x, y, w, h] = box;
    const near = [x + shift(2) * w, y + shift(3) * h, w * (1 + shift(4)), h * (1 + shift(5))] as const;
    return { imageId, label: random.uniform(at + 6) < 0.8 ? label : anyLabel, score: random.uniform(at + 7), box: near };
  });
}

export function evaluationLines({ images, classes, boxes, detections, rounds }: EvaluationReport): string[] {
  const median = (key: 'cpuSeconds' | 'wallSeconds') =>
    rounds.map((round) => round[key]).sort((a, b) => a - b)[Math.floor(rounds.length / 2)];
  return [
    `COCO evaluation of ${images} images, ${classes} classes, ${boxes} boxes, ${detections} detections`,
    `median of ${rounds.length} rounds: ${median('cpuSeconds').toFixed(2)} s of processor time, ${median('wallSeconds').toFixed(2)} s on the clock`,
  ];
}
