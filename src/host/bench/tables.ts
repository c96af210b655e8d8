/** Tables of the benchmarks, as Markdown that also reads well in a terminal. */
import type { Ceiling } from '../../bench/ceiling.ts';
import type { OpResult } from '../../bench/run-ops.ts';

/** Columns as wide as their widest cell; the first is aligned left, the others right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)];
}

/** Three significant digits. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}

export const ms = (microseconds: number): string => digits(microseconds / 1000);
export const percent = (share: number): string => `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)}`;

export function ceilingLine({ gflops, gbps, scalarGflops, vectorGflops }: Ceiling): string {
  return `ceiling: ${digits(gflops)} GFLOP/s (scalar ${digits(scalarGflops)}, vec4 ${digits(vectorGflops)}), copying ${digits(gbps)} GB/s`;
}

export function opsTable(results: readonly OpResult[]): string[] {
  const head = ['case', 'ms', 'min–max', 'GFLOP/s', 'GB/s', 'of ceiling', 'error', 'kernel'];
  return table(
    head,
    results.map((r) => [
      r.name,
      ms(r.median),
      `${ms(r.min)}–${ms(r.max)}`,
      digits(r.gflops),
      digits(r.gbps),
      `${percent(r.share)} ${r.bound === 'memory' ? 'memory' : 'FLOPs '}`,
      r.error.toExponential(0),
      r.kernels.join(' + ') + (r.dispatches > r.kernels.length ? ` (${r.dispatches})` : ''),
    ]),
  );
}
