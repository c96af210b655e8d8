/** The confusion matrix as a picture: each column is what became of one true class. */
import type { ConfusionMatrix } from '../confusion.ts';
import { thousands } from './axes.ts';
import { colors, document, line, rect, shade, text, textWidth } from './svg.ts';

/** Shares are written into cells while this many names fit. */
const WRITTEN = 30;

export function confusionPlot({ names, counts }: ConfusionMatrix): string {
  const n = names.length;
  const cell = Math.min(Math.max(640 / n, 11), 84);
  const size = Math.min(12, cell * 0.78);
  const label = Math.min(Math.max(...names.map((name) => textWidth(name, size))) + 2, 150);
  const slanted = cell >= 24;
  const horizontal = label <= cell - 6;
  const [left, top] = [label + 50, 58];
  const below = horizontal ? size : slanted ? label * 0.72 + 8 : label;
  const columns = names.map((_, column) => names.reduce((sum, _name, row) => sum + counts[row * n + column], 0));

  const cells: string[] = [];
  for (let row = 0; row < n; row++)
    for (let column = 0; column < n; column++) {
      const count = counts[row * n + column];
      if (count === 0) continue;
      const share = count / columns[column];
      const [x, y] = [left + column * cell, top + row * cell];
      const gap = cell > 20 ? 1 : 0.5;
      const what = `predicted ${names[row]}, true ${names[column]}: ${thousands(count)} (${(share * 100).toFixed(1)} %)`;
      cells.push(rect(x, y, cell - gap, cell - gap, shade(share), what));
      if (n > WRITTEN || share < 0.005) continue;
      const color = share > 0.5 ? '#ffffff' : colors.text;
      const both = cell >= 40;
      const middle = y + cell / 2;
      cells.push(
        text(x + cell / 2, middle + (both ? -1 : 3), share.toFixed(2), { size: Math.min(13, cell * 0.4), anchor: 'middle', color }),
      );
      if (both) cells.push(text(x + cell / 2, middle + 13, thousands(count), { size: 10, anchor: 'middle', color, width: cell - 4 }));
    }
  const side = n * cell;
  const rows = names.map((name, i) => text(left - 8, top + (i + 0.5) * cell + size * 0.35, name, { size, anchor: 'end', width: label }));
  const heads = names.map((name, i) => {
    const x = left + (i + 0.5) * cell;
    if (horizontal) return text(x, top + side + 6 + size, name, { size, anchor: 'middle', width: label });
    if (slanted) return text(x + size * 0.3, top + side + 8 + size * 0.6, name, { size, anchor: 'end', rotate: -45, width: label });
    return text(x + size * 0.35, top + side + 8, name, { size, anchor: 'end', rotate: -90, width: label });
  });
  const edge = left + side - cell;
  const lower = top + side - cell;
  const barLeft = left + side + 24;
  const barHeight = Math.min(side, 240);
  const bar = Array.from({ length: 60 }, (_, i) =>
    rect(barLeft, top + (i * barHeight) / 60, 14, barHeight / 60 + 1, shade(1 - (i + 0.5) / 60)),
  );
  const marks = [1, 0.5, 0].map((share) =>
    text(barLeft + 20, top + (1 - share) * barHeight + 4, share.toFixed(1), { size: 10, color: colors.muted }),
  );

  const width = Math.max(barLeft + 60, 420);

  return document(width, top + side + below + 44, 'Confusion matrix', [
    text(24, 30, 'Confusion matrix', { size: 15, bold: true }),
    text(24, 46, 'share of each true class (column); score above 0.25, IoU above 0.45', {
      size: 11,
      color: colors.muted,
      width: left + side,
    }),
    rect(left, top, side, side, '#f6f8fa'),
    ...cells,
    line(edge - 0.5, top, edge - 0.5, top + side, colors.quiet),
    line(left, lower - 0.5, left + side, lower - 0.5, colors.quiet),
    ...rows,
    ...heads,
    text(left + side / 2, top + side + below + 30, 'true', { size: 12, anchor: 'middle', color: colors.muted }),
    text(26, top + side / 2, 'predicted', { size: 12, anchor: 'middle', color: colors.muted, rotate: -90 }),
    ...bar,
    ...marks,
  ]);
}
