/** The function behind `backdrop inspect`: what is in a file, and which model it fits. */
import { type ExpectedTensors, elementCount, isConvertible, shapeText, type TensorSource } from '../src/checkpoints/tensors.ts';
import { BackdropError } from '../src/errors.ts';
import { type FitReport, fitCheckpoint } from './fit.ts';
import { type Architecture, recognise } from './recognise.ts';
import { selectStateDict } from './select.ts';
import { type Statistics, statisticsOf } from './statistics.ts';

export interface InspectedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Absent where values were not asked for, or the type has no conversion. */
  readonly statistics?: Statistics;
}

export interface Inspection {
  /** All tensors of the file, under the file's own names. */
  readonly tensors: readonly InspectedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly parameters: number;
  /** Where the weights lie: 'ema.module', 'model', 'state_dict', ''. */
  readonly path: string;
  readonly architecture: Architecture;
  /** Names of tensors with NaN or infinities. */
  readonly nonFinite: readonly string[];
  /** How the file fits the model it was compared with. */
  readonly fit?: FitReport;
}

export interface InspectOptions {
  /** Read the values for min, mean, max (default true). */
  values?: boolean;
  /** Compare with this model; usually the preset that `architecture.model` names. */
  expected?: (architecture: Architecture) => ExpectedTensors | undefined;
  onProgress?: (progress: { done: number; total: number }) => void;
}

/** Reads a file through. Throws the reader's errors for a damaged tensor. */
export async function inspectCheckpoint(file: TensorSource, options: InspectOptions = {}): Promise<Inspection> {
  const { source: weights, path } = selectStateDict(file);
  const architecture = recognise(weights.tensors);
  const tensors: InspectedTensor[] = [];
  const nonFinite: string[] = [];
  let done = 0;
  for (const { name, dtype, shape } of file.tensors.values()) {
    const statistics = options.values !== false && isConvertible(dtype) ? statisticsOf(await file.readFloat32(name)) : undefined;
    tensors.push({ name, dtype, shape, ...(statistics ? { statistics } : {}) });
    if (statistics && statistics.nonFinite > 0) nonFinite.push(name);
    options.onProgress?.({ done: ++done, total: file.tensors.size });
  }
  const expected = options.expected?.(architecture);
  let fit: FitReport | undefined;
  try {
    if (expected) fit = fitCheckpoint(file, expected, { partial: true }).report;
  } catch (error) {
    // Another family than asked for: the architecture line says so already.
    if (!(error instanceof BackdropError)) throw error;
  }
  const parameters = [...weights.tensors.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { tensors, metadata: file.metadata, parameters, path, architecture, nonFinite, ...(fit ? { fit } : {}) };
}

const short = (value: number): string =>
  value === 0 ? '0' : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? value.toFixed(4) : value.toExponential(2);

/** The inspection as text: a table of tensors, then what the file is. */
export function formatInspection(inspection: Inspection): string {
  const rows = inspection.tensors.map(({ name, dtype, shape, statistics }) => {
    const numbers = statistics ? [short(statistics.min), short(statistics.mean), short(statistics.max)] : ['', '', ''];
    return [name, dtype, shapeText(shape), ...numbers, statistics && statistics.nonFinite > 0 ? `${statistics.nonFinite} non-finite` : ''];
  });
  const table = [['tensor', 'dtype', 'shape', 'min', 'mean', 'max', ''], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row
      .map((cell, i) => (i >= 3 && i <= 5 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
  const { architecture, path, parameters, nonFinite, metadata, fit } = inspection;
  lines.push(
    '',
    `${inspection.tensors.length} tensors; ${parameters.toLocaleString('en')} values in ${path === '' ? 'the state dictionary' : `"${path}"`}`,
  );
  for (const [key, value] of metadata) lines.push(`${key}: ${value}`);
  const facts = [architecture.classes && `${architecture.classes} classes`, architecture.hidden && `${architecture.hidden} channels`];
  lines.push(
    `architecture: ${[architecture.title, ...facts.filter(Boolean)].join(', ')}${architecture.model ? ` → model ${architecture.model}` : ''}`,
  );
  if (fit) for (const message of fit.messages) lines.push(`  ${message}`);
  if (nonFinite.length > 0)
    lines.push(
      `warning: NaN or infinite values in ${nonFinite.slice(0, 5).join(', ')}${nonFinite.length > 5 ? ` and ${nonFinite.length - 5} more` : ''}`,
    );
  return `${lines.join('\n')}\n`;
}
