/** Precision over recall at IoU 0.5: a line a class, and their mean. */
import type { CocoEvaluation } from '../coco.ts';
import { recallThresholds } from '../protocol.ts';
import { precisionCurve } from '../summarize.ts';
import { frame } from './axes.ts';
import { colors, document, line, polyline, text } from './svg.ts';

/** Classes that get a colour; with more, the best and the worst of them do. */
const NAMED = colors.series.length;

const tenths = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

export function prCurvePlot(evaluation: CocoEvaluation): string {
  const labelled = [...evaluation.rows.keys()]
    .filter((label) => evaluation.rows[label].boxes > 0)
    .sort((a, b) => evaluation.rows[b].ap50 - evaluation.rows[a].ap50);
  const [left, top, size, legend] = [64, 52, 460, 250];
  const axes = frame({ left, top, width: size, height: size, xTicks: tenths, yTicks: tenths, xLabel: 'recall', yLabel: 'precision' });
  const draw = (label: number | undefined, color: string, width: number, opacity = 1) =>
    polyline(
      Array.from(precisionCurve(evaluation, label), (value, r) => [axes.x(recallThresholds[r]), axes.y(value)] as const),
      color,
      width,
      opacity,
    );

  const few = labelled.length <= NAMED;
  const named = few ? labelled : [...labelled.slice(0, NAMED / 2), ...labelled.slice(-NAMED / 2)];
  const others = labelled.filter((label) => !named.includes(label));
  const entries: string[] = [];
  const x = left + size + 28;
  let y = top + 10;
  const entry = (name: string, value: string, color: string, width: number) => {
    entries.push(line(x, y - 4, x + 22, y - 4, color, width), text(x + 30, y, name, { width: legend - 84, bold: width > 2 }));
    if (value) entries.push(text(x + legend - 12, y, value, { anchor: 'end', bold: width > 2 }));
    y += 20;
  };
  const heading = (title: string) => {
    y += 8;
    entries.push(text(x, y, title, { size: 11, color: colors.muted }));
    y += 20;
  };
  if (labelled.length > 0) entry('all classes', digits(evaluation.all.ap50), colors.text, 3);
  named.forEach((label, i) => {
    if (!few && i === 0) heading(`highest of ${labelled.length} classes`);
    if (!few && i === NAMED / 2) heading('lowest');
    const { category, ap50 } = evaluation.rows[label];
    entry(category.name, digits(ap50), colors.series[i], 2);
  });
  if (others.length > 0) {
    y += 8;
    entry(`${others.length} other classes`, '', colors.quiet, 2);
  }
  if (labelled.length === 0) entries.push(text(x, y, 'no labelled boxes', { color: colors.muted }));

  return document(left + size + 28 + legend, Math.max(top + size + 46, y + 10), 'Precision-recall curve', [
    text(left, 30, 'Precision and recall at IoU 0.5', { size: 15, bold: true }),
    text(x + legend - 12, 30, 'AP50', { size: 11, anchor: 'end', color: colors.muted }),
    axes.svg,
    ...others.map((label) => draw(label, colors.quiet, 1, 0.7)),
    ...named.map((label, i) => draw(label, colors.series[i], 1.6)),
    labelled.length > 0 ? draw(undefined, colors.text, 3) : '',
    ...entries,
  ]);
}

const digits = (value: number) => value.toFixed(3);
