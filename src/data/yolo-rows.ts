/** The rows of one YOLO label file: `class cx cy w h`, in parts of the image's sides. */
import type { DataProblemCode, ProblemList } from './problems.ts';
import type { RawAnnotation } from './raw.ts';

const number = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;
/** Parts of a side may lie so far outside of 0 to 1: rounding, and boxes that touch the edge. As Ultralytics. */
const slack = 0.01;

/** Ids are not set. Of each kind of mistake in a file the first row is reported, with the number of rows that have it. */
export function parseYoloRows(
  text: string,
  file: string,
  classes: number,
  problems: ProblemList,
  polygons: { rows: number },
): RawAnnotation[] {
  const rows: RawAnnotation[] = [];
  const mistakes = new Map<DataProblemCode, { says: string; line: number; count: number }>();
  const seen = new Set<string>();
  text.split('\n').forEach((content, i) => {
    const words = content.trim().split(/\s+/);
    if (words[0] === '') return;
    const line = i + 1;
    const read = parseRow(words, classes);
    if ('code' in read) {
      const known = mistakes.get(read.code);
      if (known) known.count++;
      else mistakes.set(read.code, { says: read.says, line, count: 1 });
      return;
    }
    const { label, box, polygon } = read;
    const key = words.join(' ');
    if (seen.has(key)) {
      problems.add('warning', 'duplicate-row', 'the same row is there before: left out', { file, line });
      return;
    }
    seen.add(key);
    if (polygon) polygons.rows++;
    rows.push({ id: 0, label, box, crowd: false, line });
  });
  for (const [code, { says, line, count }] of mistakes) {
    problems.add('error', code, count === 1 ? says : `${says} (${count} rows of this file)`, { file, line });
  }
  return rows;
}

interface Row {
  readonly label: number;
  readonly box: readonly [number, number, number, number];
  readonly polygon: boolean;
}

function parseRow(words: readonly string[], classes: number): Row | { code: DataProblemCode; says: string } {
  const values = words.map((word) => (number.test(word) ? Number(word) : /^[-+]?nan$/i.test(word) ? Number.NaN : undefined));
  const shown = JSON.stringify(words.join(' ').slice(0, 60));
  const bad = values.indexOf(undefined);
  if (bad >= 0) return { code: 'row', says: `expected numbers "class cx cy w h", found ${JSON.stringify(words[bad])} in ${shown}` };
  const [label, ...rest] = values as number[];
  if (rest.length < 4) return { code: 'row', says: `expected 5 numbers "class cx cy w h", found ${words.length}: ${shown}` };
  if (rest.length === 5)
    return { code: 'row', says: `6 numbers in ${shown}: is the last one the confidence of a prediction? Labels have 5` };
  if (rest.length > 4 && rest.length % 2 === 1)
    return { code: 'row', says: `${words.length} numbers in ${shown}: neither a box (5) nor a polygon (an odd number)` };
  if (!Number.isInteger(label) || label! < 0 || label! >= classes) {
    return { code: 'class-range', says: `class ${words[0]}, but "names" has ${classes}${classes > 0 ? `: 0 to ${classes - 1}` : ''}` };
  }
  if (rest.some((value) => value > 1 + slack || value < -slack)) {
    const above = rest.some((value) => value > 2);
    return {
      code: 'row-range',
      says: `values outside of 0 to 1 in ${shown}${above ? ': are these pixels? Parts of the image are expected' : ''}`,
    };
  }
  return { label: label!, box: rest.length === 4 ? centred(rest) : around(rest), polygon: rest.length > 4 };
}

const centred = ([cx, cy, width, height]: readonly number[]) => [cx! - width! / 2, cy! - height! / 2, width!, height!] as const;

function around(points: readonly number[]): readonly [number, number, number, number] {
  const x = points.filter((_, i) => i % 2 === 0);
  const y = points.filter((_, i) => i % 2 === 1);
  // One by one: a polygon may have more corners than a call takes arguments.
  const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b));
  return [least(x), least(y), most(x) - least(x), most(y) - least(y)];
}
