/** YOLO: data.yaml, images/SPLIT, labels/SPLIT. */
import type { Dataset, ImageRecord } from './dataset.ts';
import type { NamedSplits, WrittenDataset } from './write.ts';

export function writeYolo({ categories }: Dataset, splits: NamedSplits): WrittenDataset {
  const annotations = splits.flatMap(([, named]) => named.flatMap(({ record }) => record.annotations));
  const crowds = annotations.filter(({ crowd }) => crowd).length;
  const masks = annotations.filter(({ crowd, area, box }) => !crowd && Math.abs(area - box[2] * box[3]) > 1e-6 * area).length;
  function* files() {
    const lines = [
      // Without "path" the splits are looked for beside this file.
      ...splits.map(([split]) => `${split}: images/${split}`),
      // Ultralytics wants both.
      ...(['train', 'val'] as const).filter((wanted) => !splits.some(([split]) => split === wanted)).map((split) => `${split}:`),
      'names:',
      ...categories.map(({ name }, label) => `  ${label}: ${JSON.stringify(name)}`),
    ];
    yield { path: 'data.yaml', text: `${lines.join('\n')}\n` };
    for (const [split, named] of splits) {
      for (const { record, stem } of named) {
        const { width: imageWidth, height: imageHeight } = record;
        const rows = record.annotations
          .filter(({ crowd }) => !crowd)
          .map(({ label, box: [x, y, width, height] }) =>
            [label, (x + width / 2) / imageWidth, (y + height / 2) / imageHeight, width / imageWidth, height / imageHeight].join(' '),
          );
        // Readers of YOLO take the second of two equal rows for a slip.
        yield { path: `labels/${split}/${stem}.txt`, text: [...new Set(rows)].map((row) => `${row}\n`).join('') };
      }
    }
  }
  const images = splits.flatMap(([split, named]) =>
    named.map(({ record, stem, extension }) => ({ from: record.file, to: `images/${split}/${stem}${extension}` })),
  );
  const twins = splits.reduce((sum, [, named]) => sum + named.reduce((all, { record }) => all + twinsIn(record), 0), 0);
  const losses = [
    ...(twins > 0 ? [`${twins} boxes that are there twice are written once`] : []),
    ...(crowds > 0 ? [`${crowds} crowd boxes are left out: YOLO has none`] : []),
    ...(masks > 0 ? [`the areas of ${masks} masks are not kept: YOLO knows boxes alone`] : []),
    ...(categories.every(({ id }, label) => id === label || id === label + 1)
      ? []
      : ['the ids of the categories are not kept: YOLO counts from 0']),
  ];
  return { files: files(), images, losses };
}

/** Boxes of the same class at the same place as one before. */
function twinsIn({ annotations }: ImageRecord): number {
  const boxes = annotations.filter(({ crowd }) => !crowd).map(({ label, box }) => [label, ...box].join(' '));
  return boxes.length - new Set(boxes).size;
}
