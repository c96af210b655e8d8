/** Tables of the benchmarks, as Markdown that also reads well in a terminal. */
import type { Ceiling } from '../../bench/ceiling.ts';
import {
  geometricMean,
  type ModelComparison,
  type OpComparison,
  type SubjectTiming,
  type TrainingComparison,
  verdictOf,
} from '../../bench/comparison.ts';
import type { CostReport, ModelReport } from '../../bench/run-model.ts';
import type { OpResult } from '../../bench/run-ops.ts';
import type { TrainReport } from '../../bench/run-training.ts';
import type { StepMemory } from '../../training/memory.ts';

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

/** Milliseconds of one subject, or why it does not count. */
function cell(timing: SubjectTiming | undefined, flops: number): string {
  if (!timing) return '–';
  if (timing.samples.length === 0) return timing.problem ?? 'failed';
  const text = `${digits(timing.median)} (${digits(flops / timing.median / 1e6)})`;
  return timing.problem ? `${timing.problem}: ${text}` : text;
}

export function comparisonTable(subjects: readonly string[], comparisons: readonly OpComparison[]): string[] {
  const rows = comparisons.map((comparison) => {
    const verdict = verdictOf(comparison);
    const errors = comparison.timings.flatMap(({ problem, error }) => (problem === null && error !== null ? [error] : []));
    return [
      comparison.name,
      ...subjects.map((name) =>
        cell(
          comparison.timings.find(({ subject }) => subject === name),
          comparison.flops,
        ),
      ),
      verdict?.best ?? '–',
      verdict ? `${verdict.ratio.toFixed(2)}x` : '–',
      errors.length > 0 ? Math.max(...errors).toExponential(0) : '–',
    ];
  });
  return table(['ms (GFLOP/s)', ...subjects, 'best peer', 'ours faster', 'largest error'], rows);
}

/** Geometric mean and worst of the ratios. */
export function comparisonSummary(comparisons: readonly OpComparison[]): string {
  const verdicts = comparisons.flatMap((comparison) => {
    const verdict = verdictOf(comparison);
    return verdict ? [{ name: comparison.name, ...verdict }] : [];
  });
  if (verdicts.length === 0) return 'no case has both ours and a correct peer';
  const worst = verdicts.reduce((least, verdict) => (verdict.ratio < least.ratio ? verdict : least));
  const mean = geometricMean(verdicts.map(({ ratio }) => ratio));
  return `over the best correct peer of each case: geometric mean ${mean.toFixed(2)}x, worst ${worst.ratio.toFixed(2)}x (${worst.name})`;
}

/** The whole model on ours and the peers' ONNX loaders. */
export function modelComparisonTable({ name, size, timings, firsts, flops }: ModelComparison): string[] {
  const ours = timings.find(({ subject }) => subject === 'backdrop');
  const exponent = (value: number | null) => (value === null ? '–' : value.toExponential(0));
  const rows = timings.map(({ subject, median, samples, error, difference, problem }) => [
    subject,
    samples.length > 0 ? digits(median) : '–',
    samples.length > 0 ? `${digits(samples[0])}–${digits(samples[samples.length - 1])}` : '–',
    samples.length > 0 ? digits(flops / median / 1e6) : '–',
    subject in firsts ? digits(firsts[subject]) : '–',
    exponent(error),
    exponent(difference),
    problem ?? (subject === 'backdrop' || !ours ? '–' : `${(median / ours.median).toFixed(2)}x`),
  ]);
  return table(
    [`${name} @${size}`, 'forward ms', 'min–max', 'GFLOP/s', 'first run ms', 'scores differ', 'queries differ', 'ours faster'],
    rows,
  );
}

/** A training step on ours and the peers. */
export function trainingComparisonTable({ name, timings, uses, flops }: TrainingComparison): string[] {
  const ours = timings.find(({ subject }) => subject === 'backdrop');
  const rows = timings.map(({ subject, median, samples, problem }) => {
    const use = uses[subject];
    if (!use || samples.length === 0) return [subject, ...Array<string>(8).fill('–'), problem ?? '–'];
    return [
      subject,
      digits(median),
      `${digits(samples[0])}–${digits(samples[samples.length - 1])}`,
      digits(flops / median / 1e6),
      String(use.dispatches),
      String(use.submits),
      mebibytes(use.peakBytes),
      digits(use.first),
      use.losses.map((loss) => loss.toFixed(5)).join(', '),
      problem ?? (subject === 'backdrop' || !ours ? '–' : `${(median / ours.median).toFixed(2)}x`),
    ];
  });
  const head = ['step ms', 'min–max', 'GFLOP/s', 'dispatches', 'submits', 'buffers MiB', 'first step ms', 'first losses', 'ours faster'];
  return table([name, ...head], rows);
}

export function modelTable(reports: readonly ModelReport[]): string[] {
  const head = [
    'model',
    'forward ms',
    'min–max',
    'GFLOP/s',
    'cold: compile',
    '+ first',
    'dispatches',
    'pipelines',
    'activations',
    'weights',
    'JS µs/dispatch',
    'created',
  ];
  const rows = reports.map(({ model, size, forward, statistics: s, cold, javascript, created }) => [
    `${model} @${size}`,
    digits(forward.median),
    `${digits(forward.min)}–${digits(forward.max)}`,
    digits(s.flops / forward.median / 1e6),
    digits(cold.build),
    digits(cold.first),
    String(s.dispatches),
    String(s.pipelines),
    `${mebibytes(s.activationBytes)} MiB`,
    `${mebibytes(s.parameterBytes)} MiB`,
    digits(javascript),
    String(created),
  ]);
  return table(head, rows);
}

/** Where one model's time goes. */
export function modelDetails({ model, size, kernels, slowest }: Pick<ModelReport, 'model' | 'size' | 'kernels' | 'slowest'>): string[] {
  const byKernel = table(
    [`${model} @${size}: kernel`, 'dispatches', 'ms', 'share', 'GFLOP/s', 'GB/s'],
    kernels.map((k) => [k.kernel, String(k.dispatches), ms(k.microseconds), percent(k.share), digits(k.gflops), digits(k.gbps)]),
  );
  const byStep = table(
    ['slowest dispatches', 'kernel', 'ms', 'GFLOP/s', 'GB/s'],
    slowest.map((s) => [s.label, s.kernel, ms(s.microseconds), digits(s.gflops), digits(s.gbps)]),
  );
  return [...byKernel, '', ...byStep, ''];
}

export function trainTable(reports: readonly TrainReport[]): string[] {
  const head = ['model', 'step ms', 'forward ms', 'ratio', 'dispatches', 'pipelines', 'planned memory', 'created', 'read-backs'];
  const middle = (times: readonly number[]) => digits([...times].sort((a, b) => a - b)[times.length >> 1]);
  const rows = reports.map((r) => [
    `${r.model} @${r.size} x ${r.batch}`,
    middle(r.steps),
    middle(r.forwards),
    digits(r.ratio),
    `${r.dispatches} (forward ${r.forwardDispatches})`,
    String(r.statistics.pipelines),
    `${mebibytes(r.memory.total)} MiB`,
    String(r.created),
    String(r.readbacks),
  ]);
  return table(head, rows);
}

/** What a step takes with and without recomputation. */
export function memoryTable({ model, size, batch, recompute, memory, keptMemory }: TrainReport): string[] {
  const parts = ['total', 'activations', 'optimizer', 'constants', 'inputs'] as const;
  const row = (name: string, planned: StepMemory) => [name, ...parts.map((part) => mebibytes(planned[part]))];
  const name = Array.isArray(recompute) ? recompute.join(',') : String(recompute);
  return table(
    [
      `${model} @${size} x ${batch}: planned MiB, recompute`,
      'total',
      'activations and scratch',
      'parameters and optimizer',
      ...parts.slice(3),
    ],
    [row('none', keptMemory), ...(recompute === 'none' ? [] : [row(name, memory)])],
  );
}

export function costTable(costs: readonly CostReport[]): string[] {
  if (costs.length === 0) return [];
  const middle = (times: readonly number[]) => digits([...times].sort((a, b) => a - b)[times.length >> 1]);
  const rows = costs.map(({ model, base, modelTimes, baseTimes, cost }) => [
    `${model} over ${base}`,
    middle(modelTimes),
    middle(baseTimes),
    `${cost >= 0 ? '+' : ''}${(cost * 100).toFixed(1)} %`,
  ]);
  return table(['in turn, ms', 'with', 'without', 'cost'], rows);
}
