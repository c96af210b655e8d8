/** A run's history: one small chart a loss, one for the metrics of a kind, one for the learning rates. */
import { type Domain, domainOf, frame, niceTicks, shortNumber } from './axes.ts';
import { colors, document, dot, line, polyline, text, textWidth } from './svg.ts';

/** One epoch as results.csv has it: columns such as 'train/loss_vfl', 'metrics/AP', 'lr/group0', and which epoch it is. */
export type ResultsRow = Readonly<Record<string, number>> & { readonly epoch: number };

interface Panel {
  readonly title: string;
  readonly series: { readonly name: string; readonly points: (readonly [epoch: number, value: number])[] }[];
}

const COLUMNS = 3;
const [WIDTH, HEIGHT] = [250, 150];
const [LEFT, RIGHT, BELOW] = [54, 22, 56];

/** Columns without a '/' (epoch, time) are no charts. Left out: values that are not finite, and metrics of -1 (nothing labelled). */
export function resultsPlot(rows: readonly ResultsRow[]): string {
  const panels = panelsOf(rows);
  const legends = panels.map((panel) => legendOf(panel));
  const above = 34 + 16 * Math.max(1, ...legends.map(({ lines }) => lines));
  const columns = Math.max(1, Math.min(COLUMNS, panels.length));
  const [pitchX, pitchY] = [LEFT + WIDTH + RIGHT, above + HEIGHT + BELOW];
  const epochs = rows.length === 1 ? { low: rows[0].epoch - 1, high: rows[0].epoch + 1 } : domainOf(rows.map(({ epoch }) => epoch));
  const parts = panels.map((panel, i) => {
    const [x, y] = [(i % columns) * pitchX + LEFT + 8, Math.floor(i / columns) * pitchY + 40];
    return drawPanel(panel, legends[i], x, y, above, epochs);
  });
  const empty = panels.length === 0 ? [text(24, 70, 'no epoch has ended yet', { color: colors.muted })] : [];
  const height = panels.length === 0 ? 100 : Math.ceil(panels.length / columns) * pitchY + 44;
  return document(columns * pitchX + 16, height, 'Results of the run', [
    text(24, 30, 'Results', { size: 15, bold: true }),
    text(96, 30, rows.length === 1 ? '1 epoch' : `${rows.length} epochs`, { size: 12, color: colors.muted }),
    ...empty,
    ...parts,
  ]);
}

/** train/x and val/x share a chart, so do metrics/AP..., metrics/AR..., other metrics, and all lr/. */
function panelsOf(rows: readonly ResultsRow[]): Panel[] {
  const panels = new Map<string, Panel>();
  const names = new Set(rows.flatMap((row) => Object.keys(row)));
  for (const column of names) {
    const slash = column.indexOf('/');
    if (slash < 0) continue;
    const [kind, name] = [column.slice(0, slash), column.slice(slash + 1)];
    const known = (value: number) => Number.isFinite(value) && !(kind === 'metrics' && value < 0);
    const points = rows.flatMap((row) => (known(row[column]) ? [[row.epoch, row[column]] as const] : []));
    if (points.length === 0) continue;
    const [title, series] = placeOf(kind, name);
    const panel = panels.get(title) ?? { title, series: [] };
    panel.series.push({ name: series, points });
    panels.set(title, panel);
  }
  return [...panels.values()];
}

function placeOf(kind: string, name: string): [title: string, series: string] {
  if (kind === 'lr') return ['learning rate', name];
  if (kind === 'metrics') return [/^AP/.test(name) ? 'average precision' : /^AR/.test(name) ? 'average recall' : 'metrics', name];
  return kind === 'train' || kind === 'val' ? [name, kind] : [kind, name];
}

interface Legend {
  readonly lines: number;
  readonly entries: readonly { readonly name: string; readonly x: number; readonly line: number; readonly width: number }[];
}

function legendOf({ series }: Panel): Legend {
  let [x, row] = [0, 0];
  const entries = series.map(({ name, points }) => {
    const label = `${name} ${shortNumber(points[points.length - 1][1])}`;
    const width = Math.min(textWidth(label, 10), WIDTH - 18);
    if (x > 0 && x + width + 18 > WIDTH) [x, row] = [0, row + 1];
    const entry = { name: label, x, line: row, width };
    x += width + 30;
    return entry;
  });
  return { lines: row + 1, entries };
}

function drawPanel({ title, series }: Panel, legend: Legend, x: number, y: number, above: number, epochs: Domain): string {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value));
  // From zero where that is near: a loss that went from 14 to 12 would be a flat line below much nothing.
  const whole = domainOf(values);
  const yTicks = niceTicks(whole.low >= 0 && whole.low < whole.high / 2 ? { low: 0, high: whole.high } : whole, 4);
  const xTicks = niceTicks(epochs, 5).filter((tick) => Number.isInteger(tick) && tick >= epochs.low && tick <= epochs.high);
  const { svg, ...scale } = frame({
    left: x,
    top: y + above,
    width: WIDTH,
    height: HEIGHT,
    xTicks,
    xEnds: epochs,
    yTicks,
    xLabel: 'epoch',
  });
  const lines = series.map(({ points }, i) =>
    polyline(
      points.map(([epoch, value]) => [scale.x(epoch), scale.y(value)] as const),
      colors.series[i % colors.series.length],
      1.8,
    ),
  );
  const names = legend.entries.map((entry, i) => {
    const base = y + 38 + 16 * entry.line;
    const color = colors.series[i % colors.series.length];
    const mark = line(x + entry.x, base - 3.5, x + entry.x + 12, base - 3.5, color, 2.5);
    return mark + text(x + entry.x + 17, base, entry.name, { size: 10, width: entry.width });
  });
  const parts = [text(x, y + 18, title, { size: 13, bold: true, width: WIDTH }), ...names, svg, ...lines];
  const ap = series.find(({ name }) => name === 'AP');
  if (title === 'average precision' && ap) {
    // The epoch that the best weights come from.
    const [epoch, value] = ap.points.reduce((a, b) => (b[1] > a[1] ? b : a));
    parts.push(dot(scale.x(epoch), scale.y(value), colors.series[series.indexOf(ap) % colors.series.length]));
    parts.push(text(x + WIDTH, y + 18, `best ${value.toFixed(3)} at ${epoch}`, { size: 11, anchor: 'end', color: colors.muted }));
  }
  return parts.join('\n');
}
