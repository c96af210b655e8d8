import { describe, expect, it } from 'vitest';
import { cocoClasses } from '../../src/detector/coco.ts';
import { evaluateDetections } from '../../src/evaluation/coco.ts';
import { confusionMatrix } from '../../src/evaluation/confusion.ts';
import { labelStatistics } from '../../src/evaluation/label-statistics.ts';
import { niceTicks, shortNumber, thousands } from '../../src/evaluation/plots/axes.ts';
import { confusionPlot } from '../../src/evaluation/plots/confusion.ts';
import { labelsPlot } from '../../src/evaluation/plots/labels.ts';
import { prCurvePlot } from '../../src/evaluation/plots/pr-curve.ts';
import { type ResultsRow, resultsPlot } from '../../src/evaluation/plots/results.ts';
import { colors, shade, text } from '../../src/evaluation/plots/svg.ts';
import { precisionCurve } from '../../src/evaluation/summarize.ts';
import { page } from '../setup/gpu.ts';
import { random as seeded } from '../setup/random.ts';
import type { Drawing } from './plots.page.ts';

const draw = (svg: string) => page.call<Drawing>('draw svg', svg);

/** Whether two convex shapes overlap by more than `slack` pixels along every axis: by their sides' normals. */
function overlap(a: [number, number][], b: [number, number][], slack: number): boolean {
  return [a, b].every((shape) =>
    [0, 1].every((side) => {
      const [dx, dy] = [shape[side + 1][0] - shape[side][0], shape[side + 1][1] - shape[side][1]];
      const length = Math.hypot(dx, dy);
      const along = (corners: [number, number][]) => corners.map(([x, y]) => (x * dx + y * dy) / length);
      const [p, q] = [along(a), along(b)];
      return Math.min(Math.max(...p), Math.max(...q)) - Math.max(Math.min(...p), Math.min(...q)) > slack;
    }),
  );
}

/** Text over text, and text beyond the edge. Boxes of text are a line high, more than its letters: 3 pixels are allowed. */
function collisions({ texts, size: [width, height] }: Drawing): string[] {
  const found = texts
    .filter(({ corners }) => corners.some(([x, y]) => x < 1 || y < 1 || x > width - 1 || y > height - 1))
    .map(({ text }) => `outside: ${text}`);
  texts.forEach((a, i) => {
    for (const b of texts.slice(0, i)) if (overlap(a.corners, b.corners, 3)) found.push(`${a.text} over ${b.text}`);
  });
  return found;
}

async function drawn(svg: string): Promise<Drawing> {
  const drawing = await draw(svg);
  expect(drawing.error).toBe('');
  expect(collisions(drawing)).toEqual([]);
  // A light card of its own under all of it.
  expect(drawing.rects[0].fill).toBe(colors.background);
  return drawing;
}

/** A made-up set: class i is found with a chance that falls with i. */
function madeUp(names: readonly string[], count: number) {
  const { uniform: random } = seeded(names.length);
  const categories = names.map((name, id) => ({ id, name }));
  let id = 1;
  const images = Array.from({ length: count }, (_, i) => ({
    id: i,
    file: '',
    width: 640,
    height: 480,
    annotations: Array.from({ length: Math.floor(random() * 12) }, () => {
      const [w, h] = [4 + 300 * random() ** 3, 4 + 200 * random() ** 3];
      const box: [number, number, number, number] = [random() * (640 - w), random() * (480 - h), w, h];
      return { id: id++, label: Math.floor(random() * names.length), box, area: w * h, crowd: false };
    }),
  }));
  const detections = images.flatMap((image) =>
    image.annotations.map(({ label, box }) => ({
      imageId: image.id,
      label: random() < 1 - label / names.length / 2 ? label : Math.floor(random() * names.length),
      score: random(),
      box: box.map((value) => value * (1 + 0.1 * random())) as [number, number, number, number],
    })),
  );
  return { images, categories, detections };
}

const sets = {
  'one class with a name that is none': madeUp([`<b> & "x" ${'long '.repeat(30)}\u0007`], 6),
  '3 classes': madeUp(['RBC', 'WBC', 'Platelets'], 40),
  '17 classes': madeUp([...cocoClasses.slice(0, 16), '自転車と歩行者の標識'], 80),
  '80 classes': madeUp(cocoClasses, 600),
  '150 classes': madeUp(
    Array.from({ length: 150 }, (_, i) => `species number ${i}`),
    300,
  ),
  nothing: { images: [], categories: [], detections: [] },
};

describe('plots', () => {
  it('the check sees text over text and beyond the edge', async () => {
    const bad = `<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100">${[text(20, 50, 'one'), text(30, 52, 'two'), text(190, 90, 'three')].join('')}${text(60, 20, 'four', { rotate: 60 })}</svg>`;
    expect(collisions(await draw(bad))).toEqual(['outside: three', 'two over one']);
  });

  for (const [name, { images, categories, detections }] of Object.entries(sets)) {
    it(`${name}: no text over text, none beyond the edge`, async () => {
      await drawn(labelsPlot(labelStatistics(images, categories)));
      await drawn(prCurvePlot(evaluateDetections(images, categories, detections)));
      await drawn(confusionPlot(confusionMatrix(images, categories, detections)));
    });
  }

  it('a name with signs of XML is text', async () => {
    const { images, categories } = sets['one class with a name that is none'];
    const { texts, rects } = await drawn(labelsPlot(labelStatistics(images, categories)));
    expect(texts.some((entry) => entry.text.startsWith('<b> & "x" long'))).toBe(true);
    // Whole when pointed at, but for the control character, which XML cannot hold.
    expect(rects.some(({ title }) => title.startsWith(`<b> & "x" ${'long '.repeat(30)}: `))).toBe(true);
  });

  it('the precision-recall curve goes through the evaluation’s numbers', async () => {
    const { images, categories, detections } = sets['3 classes'];
    const evaluation = evaluateDetections(images, categories, detections);
    const { lines, texts } = await drawn(prCurvePlot(evaluation));
    expect(lines).toHaveLength(4);
    const best = [0, 1, 2].sort((a, b) => evaluation.rows[b].ap50 - evaluation.rows[a].ap50);
    [...best, undefined].forEach((label, i) => {
      const curve = precisionCurve(evaluation, label);
      const found = lines[i].points.map(([x, y]) => [(x - 64) / 460, (52 + 460 - y) / 460]);
      expect(found).toHaveLength(101);
      found.forEach(([recall, precision], r) => {
        expect(Math.abs(recall - r / 100)).toBeLessThan(0.05 / 460 + 1e-9);
        expect(Math.abs(precision - curve[r])).toBeLessThan(0.05 / 460 + 1e-9);
      });
    });
    const written = texts.map((entry) => entry.text);
    for (const row of evaluation.rows) expect(written).toContain(row.ap50.toFixed(3));
    expect(written).toContain(evaluation.stats[1].toFixed(3));
  });

  it('the confusion matrix shows each column’s shares', async () => {
    const { images, categories, detections } = sets['3 classes'];
    const matrix = confusionMatrix(images, categories, detections);
    const { rects, texts } = await drawn(confusionPlot(matrix));
    const cells = rects.filter(({ title }) => title.startsWith('predicted'));
    expect(cells).toHaveLength([...matrix.counts].filter((count) => count > 0).length);
    const column = [0, 1, 2, 3].map((row) => matrix.counts[row * 4 + 1]);
    const share = column[1] / column.reduce((a, b) => a + b);
    const cell = cells.find(({ title }) => title.startsWith('predicted WBC, true WBC'))!;
    expect(cell.title).toContain(`: ${column[1]} (${(share * 100).toFixed(1)} %)`);
    expect(cell.fill).toBe(shade(share));
    expect(texts.map((entry) => entry.text)).toContain(share.toFixed(2));
    expect([shade(0), shade(1)]).toEqual(['#eff6ff', '#08306b']);
  });

  it('the label sheet’s bars are as long as the counts', async () => {
    const { images, categories } = sets['17 classes'];
    const statistics = labelStatistics(images, categories);
    const { rects } = await drawn(labelsPlot(statistics));
    const bars = rects.filter(({ title }) => title.includes(': ') && title.includes(' in '));
    const sorted = [...statistics.classes].sort((a, b) => b.boxes - a.boxes);
    expect(bars.map(({ title }) => title)).toEqual(
      sorted.map(({ category, boxes, images }) => `${category.name}: ${boxes} boxes in ${images} images`),
    );
    for (const [i, { box }] of bars.entries())
      expect(Math.abs(box[2] / bars[0].box[2] - sorted[i].boxes / sorted[0].boxes)).toBeLessThan(0.001);
    const large = labelsPlot(labelStatistics(sets['150 classes'].images, sets['150 classes'].categories));
    expect(large).toContain('31 other classes');
  });

  it('results: a chart a loss, AP with its best epoch, gaps where nothing was measured', async () => {
    const rows: ResultsRow[] = Array.from({ length: 40 }, (_, i) => ({
      epoch: i + 1,
      time: i * 60,
      'train/loss': 50 / (i + 1),
      'val/loss': 55 / (i + 1),
      'train/loss_vfl': 1,
      'metrics/AP': i % 2 ? 0.5 - Math.abs(i - 29) / 100 : Number.NaN,
      'metrics/AP50': 0.6,
      'metrics/APs': -1,
      'metrics/AR100': 0,
      'lr/group0': 1e-4,
      'lr/group1': 1e-5,
    }));
    const { lines, texts, circles } = await drawn(resultsPlot(rows));
    const written = texts.map((entry) => entry.text);
    for (const title of ['loss', 'loss_vfl', 'average precision', 'average recall', 'learning rate', '40 epochs'])
      expect(written).toContain(title);
    expect(written).toContain('best 0.500 at 30');
    expect(written.some((entry) => /APs|time/.test(entry))).toBe(false);
    expect(lines.map(({ points }) => points.length)).toEqual([40, 40, 40, 20, 40, 40, 40, 40]);
    // The dot lies on the highest point of AP's line (y grows downwards).
    const highest = lines[3].points.reduce((a, b) => (b[1] < a[1] ? b : a));
    expect(circles).toEqual([highest]);
    for (const { points } of lines) for (const [x, y] of points) expect(x > 0 && y > 0).toBe(true);

    await drawn(resultsPlot([]));
    await drawn(resultsPlot(rows.slice(1, 2)));
    await drawn(resultsPlot([{ epoch: 1, 'train/loss': Number.NaN, 'metrics/AP': -1 }]));
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`lr/a parameter group with a long name ${i}`, 1e-4 * i]));
    await drawn(
      resultsPlot([
        { epoch: 1, ...many },
        { epoch: 2, ...many },
      ]),
    );
  });
});

describe('numbers on axes', () => {
  it('are round, span the values and are as short as can be', () => {
    expect(niceTicks({ low: 0, high: 1 }, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(niceTicks({ low: 0.13, high: 0.31 }, 4)).toEqual([0.1, 0.15, 0.2, 0.25, 0.3, 0.35]);
    expect(niceTicks({ low: -3, high: 52 }, 4)).toEqual([-20, 0, 20, 40, 60]);
    expect(niceTicks({ low: 1e-5, high: 1e-4 }, 4)).toEqual([0, 5e-5, 1e-4]);
    expect([0, 0.25, 52.718, 9999, 12000, 3.5e6, 2e9, 1e20, 0.00005, -0.5].map(shortNumber)).toEqual([
      '0',
      '0.25',
      '52.72',
      '9999',
      '12k',
      '3.5M',
      '2G',
      '1e20',
      '5e-5',
      '-0.5',
    ]);
    expect([0, 999, 1000, 1234567].map(thousands)).toEqual(['0', '999', '1,000', '1,234,567']);
  });
});
