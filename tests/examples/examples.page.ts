/** Page side of the README's examples: they are called as a reader would call them. */
import type { ModelConfig } from 'backdrop';
import type { TrainingBatch } from 'backdrop/training';
import { register } from '../../src/host/page-registry.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { FormulaSource } from '../../src/verification/formula.ts';
import { trainClassifier } from './train-anything.ts';
import { train } from './train-detector.ts';

export interface DetectorExample {
  model: ModelConfig;
  batches: TrainingBatch[];
}

register<DetectorExample>('example detector', ({ model, batches }) => {
  const shapes = new Map([...buildModel(model).parameters].map(([name, { shape }]) => [name, shape]));
  return train(model, new FormulaSource(shapes, 'example', { overrides: [] }), batches);
});

export interface ClassifierExample {
  images: Float32Array;
  labels: number[];
  steps: number;
}

register<ClassifierExample>('example classifier', ({ images, labels, steps }) => trainClassifier(images, labels, steps));
