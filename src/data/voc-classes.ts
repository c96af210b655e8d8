/** The classes of a VOC set: those of classes.txt, else the names that its objects have. */
import { didYouMean } from '../spelling.ts';
import type { Category } from './dataset.ts';
import { readText } from './directory.ts';
import type { ReadContext } from './raw.ts';
import type { VocObject } from './voc-file.ts';

/** What two spellings of one name have in common. */
const folded = (name: string): string => name.toLowerCase().replace(/[\s_-]+/g, '');

interface Classes {
  readonly categories: readonly Category[];
  labelOf(name: string): number | undefined;
}

/**
 * Names in alphabetical order, unless a classes.txt at the top or beside Annotations/ lists them. A name that is not in the list, and
 * two names that differ in case or blanks alone, are errors with a suggestion.
 */
export async function vocClasses(objects: readonly VocObject[], context: ReadContext): Promise<Classes> {
  const { directory, files, problems } = context;
  const first = new Map<string, { object: VocObject; count: number }>();
  for (const object of objects) {
    const known = first.get(object.name);
    if (known) known.count++;
    else first.set(object.name, { object, count: 1 });
  }
  const file = files.paths.find((path) => /^(?:[^/]+\/){0,2}classes\.txt$/.test(path));
  let names: string[];
  if (file === undefined) {
    names = [...first.keys()].sort();
    const spellings = new Map<string, string>();
    for (const name of [...names].sort((a, b) => first.get(b)!.count - first.get(a)!.count)) {
      const usual = spellings.get(folded(name));
      if (usual === undefined) spellings.set(folded(name), name);
      else {
        const { object, count } = first.get(name)!;
        const says = `class "${name}" (${count} objects) differs from "${usual}" (${first.get(usual)!.count}) in case or blanks alone; is it "${usual}"?`;
        problems.add('error', 'class-name', says, { file: object.file, line: object.line });
      }
    }
  } else {
    const lines = (await readText(directory, file)).split('\n').map((line) => line.trim());
    names = [...new Set(lines.filter(Boolean))];
    for (const [name, { object, count }] of first) {
      if (names.includes(name)) continue;
      const near = names.find((known) => folded(known) === folded(name)) ?? didYouMean(name, names);
      const says = `class "${name}" (${count} objects) is not in ${file}${near === undefined ? '' : `; is it "${near}"?`}`;
      problems.add('error', 'class-name', says, { file: object.file, line: object.line });
    }
  }
  const labels = new Map(names.map((name, label) => [name, label]));
  return { categories: names.map((name, label) => ({ id: label + 1, name })), labelOf: (name) => labels.get(name) };
}
