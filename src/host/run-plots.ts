/** The pictures of a run, and its numbers for TensorBoard. */
import { hostname } from 'node:os';
import type { Category, ImageRecord } from '../data/dataset.ts';
import type { CocoEvaluation, EvaluatedDetection } from '../evaluation/coco.ts';
import { confusionCsv, confusionMatrix } from '../evaluation/confusion.ts';
import { labelStatistics } from '../evaluation/label-statistics.ts';
import { confusionPlot } from '../evaluation/plots/confusion.ts';
import { labelsPlot } from '../evaluation/plots/labels.ts';
import { prCurvePlot } from '../evaluation/plots/pr-curve.ts';
import { type ResultsRow, resultsPlot } from '../evaluation/plots/results.ts';
import { eventFileName, eventFileStart, scalarEvent } from '../evaluation/tensorboard.ts';
import type { RunDirectory } from './run-directory.ts';

export class RunPlots {
  readonly #run: RunDirectory;
  readonly #categories: readonly Category[];
  readonly #validation: readonly ImageRecord[];
  /** Every session of a run has a file of its own; TensorBoard joins them. */
  #events: string | null = null;

  constructor(run: RunDirectory, categories: readonly Category[], validation: readonly ImageRecord[]) {
    this.#run = run;
    this.#categories = categories;
    this.#validation = validation;
  }

  labels(train: readonly ImageRecord[]): void {
    this.#run.write('labels.svg', labelsPlot(labelStatistics(train, this.#categories)));
  }

  validation(evaluation: CocoEvaluation, detections: readonly EvaluatedDetection[]): void {
    this.#run.write('pr_curve.svg', prCurvePlot(evaluation));
    const matrix = confusionMatrix(this.#validation, this.#categories, detections);
    this.#run.write('confusion_matrix.svg', confusionPlot(matrix));
    this.#run.write('confusion_matrix.csv', confusionCsv(matrix));
  }

  /** From the text of results.csv. */
  results(csv: string): void {
    const [header, ...lines] = csv.trim().split('\n');
    const names = header.split(',');
    const rows = lines.map((line) => {
      const values = line.split(',');
      return Object.fromEntries(names.flatMap((name, i) => (values[i] === '' ? [] : [[name, Number(values[i])]])));
    });
    this.#run.write('results.svg', resultsPlot(rows as unknown as ResultsRow[]));
  }

  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const now = Date.now() / 1000;
    if (this.#events === null) {
      this.#events = eventFileName(now, hostname());
      this.#run.append(this.#events, eventFileStart(now));
    }
    this.#run.append(this.#events, scalarEvent(now, step, values));
  }
}
