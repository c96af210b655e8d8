/** Evaluation vectors: COCO ground truth, results, and what pycocotools makes of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Category, ImageRecord } from '../../src/data/dataset.ts';
import type { EvaluatedDetection } from '../../src/evaluation/coco.ts';

export interface Vector {
  name: string;
  gt: {
    images: { id: number; width: number; height: number; file_name: string }[];
    categories: Category[];
    annotations: {
      id: number;
      image_id: number;
      category_id: number;
      bbox: [number, number, number, number];
      area: number;
      iscrowd: number;
    }[];
  };
  dt: { image_id: number; category_id: number; bbox: [number, number, number, number]; score: number }[];
  expected: {
    stats: number[];
    summary: string[];
    iouThrs: number[];
    perCategory: { category_id: number; AP: number; AP50: number; AP75: number; AR100: number }[];
    recall_TKAM: number[];
    precision_shape: number[];
    precision_mean_TKAM: number[];
    precision_TRKAM?: number[];
    scores_TRKAM?: number[];
    evalImgs?: (EvalImage | null)[];
  };
}

export interface EvalImage {
  image_id: number;
  category_id: number;
  aRng: [number, number];
  dtIds: number[];
  gtIds: number[];
  dtMatches: number[][];
  gtMatches: number[][];
  gtIgnore: number[];
  dtIgnore: number[][];
}

/** Every vector of a folder, plain or gzipped. */
export function readVectors(folder: string): Vector[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /(^|[\\/])\d\d-[^\\/]*\.json(\.gz)?$/.test(file))
    .sort()
    .map((file) => {
      const bytes = readFileSync(join(folder, file));
      return JSON.parse((file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()) as Vector;
    });
}

/** A vector in our own form. */
export function records({ gt, dt }: Vector): { images: ImageRecord[]; categories: Category[]; detections: EvaluatedDetection[] } {
  const categories = gt.categories.map(({ id, name }) => ({ id, name })).sort((a, b) => a.id - b.id);
  const label = new Map(categories.map(({ id }, i) => [id, i]));
  const images = gt.images.map(({ id, width, height, file_name }) => ({
    id,
    file: file_name,
    width,
    height,
    annotations: gt.annotations
      .filter((annotation) => annotation.image_id === id)
      .map(({ id, category_id, bbox, area, iscrowd }) => ({ id, label: label.get(category_id)!, box: bbox, area, crowd: iscrowd === 1 })),
  }));
  const detections = dt.map(({ image_id, category_id, bbox, score }) => ({
    imageId: image_id,
    label: label.get(category_id)!,
    score,
    box: bbox,
  }));
  return { images, categories, detections };
}
