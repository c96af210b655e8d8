/** What a data set holds, on one sheet: sizes of boxes, their places, boxes in an image, and how often each class occurs. */
import { centreCells, type LabelStatistics, sizeCellsPerOctave, sizeOctaves } from '../label-statistics.ts';
import { frame, niceTicks, thousands } from './axes.ts';
import { colors, document, line, rect, shade, text, textWidth } from './svg.ts';

const SIDE = 250;
const [LEFT, TOP, PITCH] = [64, 96, 344];
const ROW = 17;
/** Classes shown; longer lists end with what is left over. */
const SHOWN = 120;
const ROWS = 40;

export function labelsPlot(statistics: LabelStatistics): string {
  const { images, emptyImages, boxes, crowds, areas } = statistics;
  const width = LEFT + 2 * PITCH + SIDE + 40;
  const bars = classBars(statistics, TOP + SIDE + 84, width - 48);
  const share = (count: number) => `${boxes === 0 ? 0 : Math.round((100 * count) / boxes)} %`;
  const totals =
    `${thousands(images)} images (${thousands(emptyImages)} without boxes), ${thousands(boxes)} boxes, ${thousands(crowds)} crowds; ` +
    `${share(areas.small)} small (to 32²), ${share(areas.medium)} medium, ${share(areas.large)} large (from 96² pixels)`;
  return document(width, bars.bottom + 20, 'Labels', [
    text(24, 30, 'Labels', { size: 15, bold: true }),
    text(24, 50, totals, { color: colors.muted, width: width - 48 }),
    sizes(statistics, LEFT),
    centres(statistics, LEFT + PITCH),
    perImage(statistics, LEFT + 2 * PITCH),
    bars.svg,
  ]);
}

const heading = (x: number, y: number, content: string) => text(x, y, content, { size: 13, bold: true });

/** Few and many boxes are both seen: by the logarithm. */
const heat = (count: number, most: number) => Math.log1p(count) / Math.log1p(most);

/** Width against height; the broken lines are areas of 32² and 96² pixels. */
function sizes({ sizes: counts }: LabelStatistics, x: number): string {
  const side = sizeCellsPerOctave * sizeOctaves;
  const cells = [...counts.entries()]
    .filter(([, count]) => count > 0)
    .map(([i, count]) => ({ column: i % side, row: Math.floor(i / side), count }));
  const octaves = cells.flatMap(({ column, row }) => [Math.floor(column / sizeCellsPerOctave), Math.floor(row / sizeCellsPerOctave)]);
  const [first, end] = cells.length === 0 ? [0, sizeOctaves] : [Math.min(...octaves), Math.max(...octaves) + 1];
  const every = end - first > 8 ? 2 : 1;
  const last = first + Math.ceil((end - first) / every) * every;
  const ticks = Array.from({ length: (last - first) / every + 1 }, (_, i) => first + i * every);
  const labels = { xLabel: 'width, pixels', yLabel: 'height, pixels', format: (tick: number) => String(2 ** tick) };
  const axes = frame({ left: x, top: TOP, width: SIDE, height: SIDE, xTicks: ticks, yTicks: ticks, ...labels });
  const most = Math.max(1, ...cells.map(({ count }) => count));
  const step = SIDE / (last - first) / sizeCellsPerOctave;
  const drawn = cells.map(({ column, row, count }) => {
    const top = axes.y((row + 1) / sizeCellsPerOctave);
    return rect(axes.x(column / sizeCellsPerOctave), top, step, step, shade(heat(count, most)), boxesOf(count));
  });
  const borders = [32, 96].map((pixels) => {
    const sum = 2 * Math.log2(pixels);
    const [from, to] = [Math.max(first, sum - last), Math.min(last, sum - first)];
    return from < to ? line(axes.x(from), axes.y(sum - from), axes.x(to), axes.y(sum - to), colors.muted, 1, '4 3') : '';
  });
  return [heading(x, TOP - 12, 'sizes of boxes'), axes.svg, ...drawn, ...borders].join('\n');
}

function centres({ centres: counts }: LabelStatistics, x: number): string {
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const labels = { xLabel: 'x / image width', yLabel: 'y / image height', format: String };
  // y grows downwards, as in the image.
  const axes = frame({ left: x, top: TOP, width: SIDE, height: SIDE, xTicks: ticks, yTicks: ticks.toReversed(), ...labels });
  const step = SIDE / centreCells;
  const drawn = [...counts.entries()]
    .filter(([, count]) => count > 0)
    .map(([i, count]) => {
      const [column, row] = [i % centreCells, Math.floor(i / centreCells)];
      return rect(x + column * step, TOP + row * step, step, step, shade(heat(count, most)), boxesOf(count));
    });
  return [heading(x, TOP - 12, 'centres of boxes'), axes.svg, ...drawn].join('\n');
}

function perImage({ perImage: counts }: LabelStatistics, x: number): string {
  const bin = Math.ceil(counts.length / 40);
  const bars = Array.from({ length: Math.ceil(counts.length / bin) }, (_, i) =>
    counts.slice(i * bin, (i + 1) * bin).reduce((a, b) => a + b, 0),
  );
  const xTicks = niceTicks({ low: 0, high: Math.max(2, bars.length * bin) }, 5).filter(Number.isInteger);
  const yTicks = niceTicks({ low: 0, high: Math.max(2, ...bars) }, 5).filter(Number.isInteger);
  const labels = { xLabel: 'boxes in an image', yLabel: 'images' };
  const axes = frame({ left: x, top: TOP, width: SIDE, height: SIDE, xTicks, yTicks, ...labels });
  const drawn = bars.map((count, i) => {
    const [left, right] = [axes.x(i * bin), axes.x((i + 1) * bin)];
    const range = bin === 1 ? String(i) : `${i * bin} to ${(i + 1) * bin - 1}`;
    const gap = right - left > 3 ? 1 : 0;
    return count === 0
      ? ''
      : rect(
          left,
          axes.y(count),
          right - left - gap,
          TOP + SIDE - axes.y(count),
          colors.accent,
          `${range} boxes: ${thousands(count)} images`,
        );
  });
  return [heading(x, TOP - 12, 'boxes per image'), axes.svg, ...drawn].join('\n');
}

/** A bar a class, most frequent first, in as many columns as keep the sheet readable. */
function classBars({ classes }: LabelStatistics, top: number, width: number): { svg: string; bottom: number } {
  const sorted = [...classes].sort((a, b) => b.boxes - a.boxes);
  const shown = sorted.length > SHOWN ? sorted.slice(0, SHOWN - 1) : sorted;
  const rest = sorted.slice(shown.length);
  const entries = shown.map(({ category, boxes, images }) => ({ name: category.name, boxes, note: `in ${thousands(images)} images` }));
  if (rest.length > 0) {
    const boxes = rest.reduce((sum, each) => sum + each.boxes, 0);
    entries.push({ name: `${thousands(rest.length)} other classes`, boxes, note: 'together' });
  }
  const columns = Math.max(1, Math.ceil(entries.length / ROWS), entries.length > 12 ? 2 : 1);
  const rows = Math.ceil(entries.length / columns);
  const pitch = width / columns;
  const names = Math.min(Math.max(...entries.map(({ name }) => textWidth(name, 11)), 20) + 4, pitch * 0.36);
  const numbers = Math.max(...entries.map(({ boxes }) => textWidth(thousands(boxes), 11)), 10) + 14;
  const most = Math.max(1, ...entries.map(({ boxes }) => boxes));
  const length = pitch - names - numbers - 24;
  const drawn = entries.map(({ name, boxes, note }, i) => {
    const [x, y] = [24 + Math.floor(i / rows) * pitch + names, top + 16 + (i % rows) * ROW];
    const bar = (length * boxes) / most;
    return [
      text(x - 6, y + 9, name, { size: 11, anchor: 'end', width: names - 4 }),
      rect(x, y, Math.max(bar, boxes > 0 ? 1 : 0), ROW - 5, boxes > 0 ? colors.accent : colors.quiet, `${name}: ${boxesOf(boxes)} ${note}`),
      text(x + bar + 6, y + 9, thousands(boxes), { size: 11, color: boxes > 0 ? colors.muted : '#b42318' }),
    ].join('');
  });
  return { svg: [heading(24, top, 'boxes per class'), ...drawn].join('\n'), bottom: top + 16 + rows * ROW };
}

const boxesOf = (count: number) => (count === 1 ? '1 box' : `${thousands(count)} boxes`);
