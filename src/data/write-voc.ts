/** Pascal VOC: Annotations/, ImageSets/Main/, JPEGImages/, and classes.txt, so that the order of the classes is kept. */
import { BackdropError } from '../errors.ts';
import type { Annotation, Dataset } from './dataset.ts';
import type { NamedRecord, NamedSplits, WrittenDataset } from './write.ts';

const escaped: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escapeXml = (text: string): string => text.replace(/[&<>]/g, (char) => escaped[char]!);

export function writeVoc({ categories }: Dataset, splits: NamedSplits): WrittenDataset {
  const names = categories.map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    const problem =
      names.indexOf(name) < i ? 'is there twice' : name !== name.trim() || /\p{Cc}/u.test(name) ? 'has line breaks or outer blanks' : '';
    if (problem) throw new BackdropError('E_DATA', `class ${JSON.stringify(name)} ${problem}: VOC tells classes by their names`);
  }
  function* files() {
    yield { path: 'classes.txt', text: names.map((name) => `${name}\n`).join('') };
    for (const [split, named] of splits) {
      yield { path: `ImageSets/Main/${split}.txt`, text: named.map(({ stem }) => `${stem}\n`).join('') };
      for (const one of named) yield { path: `Annotations/${one.stem}.xml`, text: annotationFile(one, names) };
    }
  }
  const images = splits.flatMap(([, named]) =>
    named.map(({ record, stem, extension }) => ({ from: record.file, to: `JPEGImages/${stem}${extension}` })),
  );
  const crowds = splits.reduce(
    (sum, [, named]) => sum + named.reduce((all, { record }) => all + record.annotations.filter(({ crowd }) => crowd).length, 0),
    0,
  );
  const losses = [
    ...(crowds > 0 ? [`${crowds} crowd boxes are marked as difficult`] : []),
    ...(categories.every(({ id }, label) => id === label || id === label + 1)
      ? []
      : ['the ids of the categories are not kept: VOC has names alone']),
  ];
  return { files: files(), images, losses };
}

function annotationFile({ record: { width, height, annotations }, stem, extension }: NamedRecord, names: readonly string[]): string {
  return [
    '<annotation>',
    '\t<folder>JPEGImages</folder>',
    `\t<filename>${escapeXml(stem + extension)}</filename>`,
    `\t<size><width>${width}</width><height>${height}</height><depth>3</depth></size>`,
    '\t<segmented>0</segmented>',
    ...annotations.map((annotation) => objectElement(annotation, names[annotation.label]!)),
    '</annotation>',
    '',
  ].join('\n');
}

function objectElement({ box: [x, y, width, height], area, crowd }: Annotation, name: string): string {
  const [right, bottom] = [x + width, y + height];
  // Not VOC's: kept where the corners do not give the area again.
  const own = (right - x) * (bottom - y) === area ? '' : `\t\t<area>${area}</area>\n`;
  return (
    `\t<object>\n\t\t<name>${escapeXml(name)}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n` +
    `\t\t<difficult>${crowd ? 1 : 0}</difficult>\n${own}` +
    `\t\t<bndbox><xmin>${x}</xmin><ymin>${y}</ymin><xmax>${right}</xmax><ymax>${bottom}</ymax></bndbox>\n\t</object>`
  );
}
