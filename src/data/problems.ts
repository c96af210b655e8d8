/** What is wrong with a data set, or worth knowing about it: one object a finding, grouped only where it is printed. */
import { BackdropError } from '../errors.ts';

export type Severity = 'error' | 'warning' | 'info';

/** Stable names, to be searched for and counted by. src/data/README.md says what each means. */
export type DataProblemCode =
  | 'annotation-ids'
  | 'box-clipped'
  | 'box-dropped'
  | 'category-ids'
  | 'category-names'
  | 'class-name'
  | 'class-range'
  | 'crowded-image'
  | 'duplicate-category'
  | 'duplicate-image'
  | 'duplicate-row'
  | 'file-ignored'
  | 'image-broken'
  | 'image-missing'
  | 'image-repeated'
  | 'image-rotated'
  | 'image-size'
  | 'json-nan'
  | 'label-missing'
  | 'leak'
  | 'no-boxes'
  | 'path-guessed'
  | 'placeholder-category'
  | 'polygon-rows'
  | 'row'
  | 'row-range'
  | 'shape'
  | 'split-clash'
  | 'split-empty'
  | 'split-guessed'
  | 'syntax'
  | 'unknown-category'
  | 'unknown-image';

export interface DataProblem {
  readonly severity: Severity;
  readonly code: DataProblemCode;
  /** The complete sentence, the file and place included. */
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  /** Of the annotation, image or category. */
  readonly id?: number;
}

export interface Place {
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly id?: number | undefined;
}

/** Collects findings; the message begins with the place. */
export class ProblemList {
  readonly all: DataProblem[] = [];

  add(severity: Severity, code: DataProblemCode, text: string, { file, line, id }: Place = {}): void {
    const where = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
    this.all.push({
      severity,
      code,
      message: where + text,
      ...(file === undefined ? {} : { file }),
      ...(line === undefined ? {} : { line }),
      ...(id === undefined ? {} : { id }),
    });
  }

  /** A file that cannot be read: an error of the set, not of the program. Anything but E_DATA goes on. */
  caught(error: unknown, code: DataProblemCode, file: string): void {
    if (!(error instanceof BackdropError) || error.code !== 'E_DATA') throw error;
    const { line } = error.details;
    this.all.push({ severity: 'error', code, message: error.message, file, ...(typeof line === 'number' ? { line } : {}) });
  }
}

/** What a value is, for messages: `the text "12"`, `null`, `a list of 3`. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'string' ? `the text ${JSON.stringify(value.slice(0, 40))}` : String(value);
}

/** The findings of one code and severity: the first five, and how many there are. */
export interface ProblemGroup {
  readonly severity: Severity;
  readonly code: DataProblemCode;
  readonly count: number;
  readonly first: readonly DataProblem[];
}

const order: readonly Severity[] = ['error', 'warning', 'info'];

/** Errors first, then warnings, then remarks; within these as they were met. */
export function groupProblems(problems: readonly DataProblem[]): ProblemGroup[] {
  const groups = new Map<string, { severity: Severity; code: DataProblemCode; count: number; first: DataProblem[] }>();
  for (const problem of problems) {
    const { severity, code } = problem;
    const key = `${severity} ${code}`;
    const group = groups.get(key) ?? { severity, code, count: 0, first: [] };
    groups.set(key, group);
    group.count++;
    if (group.first.length < 5) group.first.push(problem);
  }
  return [...groups.values()].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

/** @throws BackdropError E_DATA naming the first errors, when there are any */
export function refuseErrors(problems: readonly DataProblem[]): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  const rest = errors.length - 5;
  const lines = errors.slice(0, 5).map(({ message }) => message);
  throw new BackdropError('E_DATA', [...lines, ...(rest > 0 ? [`… and ${rest} more errors`] : [])].join('\n'), {
    hint: '"backdrop data check DATA" lists everything that is wrong with the data set.',
    details: { errors: errors.length },
  });
}
