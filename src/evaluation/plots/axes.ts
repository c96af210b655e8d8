/** Scales, ticks and frames of the plots. */
import { colors, line, text } from './svg.ts';

export interface Domain {
  readonly low: number;
  readonly high: number;
}

/** Round numbers (1, 2 or 5 times a power of ten) that span the values with about `count` steps. */
export function niceTicks({ low, high }: Domain, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The smallest domain around the values; around a single one, from zero to it. */
export function domainOf(values: readonly number[]): Domain {
  const [low, high] = values.reduce(
    ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
  if (low < high) return { low, high };
  if (low > high || low === 0) return { low: 0, high: 1 };
  return { low: Math.min(low, 0), high: Math.max(high, 0) };
}

/** As short as it can be said: 12000 is 12k, 0.00005 is 5e-5. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (size >= 1e15 || size < 1e-3) return Number(value.toPrecision(3)).toExponential().replace('e+', 'e');
  for (const [unit, sign] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const)
    if (size >= unit) return `${Number((value / (sign === 'k' ? 1e3 : unit)).toPrecision(3))}${sign}`;
  return String(Number(value.toPrecision(4)));
}

/** 1234567 as 1,234,567. */
export const thousands = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

export interface Frame {
  readonly svg: string;
  /** Value to pixel. */
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

export interface FrameOptions {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** In the order from left to right, from bottom to top. */
  readonly xTicks: readonly number[];
  readonly yTicks: readonly number[];
  /** The ends of the x axis where they are not the first and last tick. */
  readonly xEnds?: Domain;
  readonly xLabel?: string;
  readonly yLabel?: string;
  /** How a tick is written. */
  readonly format?: (value: number) => string;
}

/** Grid lines with their numbers. */
export function frame(options: FrameOptions): Frame {
  const { left, top, width, height, xTicks, yTicks, xLabel = '', yLabel = '', format = shortNumber } = options;
  const ends = (ticks: readonly number[]): Domain => ({ low: ticks[0], high: ticks[ticks.length - 1] });
  const scale =
    ({ low, high }: Domain, start: number, length: number) =>
    (value: number) =>
      start + ((value - low) / (high - low)) * length;
  const x = scale(options.xEnds ?? ends(xTicks), left, width);
  const y = scale(ends(yTicks), top + height, -height);
  const parts = [
    ...yTicks.map((tick) => line(left, y(tick), left + width, y(tick))),
    ...xTicks.map((tick) => line(x(tick), top, x(tick), top + height)),
    ...yTicks.map((tick) => text(left - 6, y(tick) + 3.5, format(tick), { size: 10, anchor: 'end', color: colors.muted })),
    ...xTicks.map((tick) => text(x(tick), top + height + 14, format(tick), { size: 10, anchor: 'middle', color: colors.muted })),
    line(left, top + height, left + width, top + height, colors.quiet),
    xLabel && text(left + width / 2, top + height + 30, xLabel, { size: 11, anchor: 'middle', color: colors.muted }),
    yLabel && text(left - 40, top + height / 2, yLabel, { size: 11, anchor: 'middle', color: colors.muted, rotate: -90 }),
  ];
  return { svg: parts.join('\n'), x, y };
}
