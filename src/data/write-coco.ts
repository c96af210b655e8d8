/** COCO JSON. */
import type { Dataset } from './dataset.ts';
import type { NamedSplits, WrittenDataset } from './write.ts';

export function writeCoco({ format, categories }: Dataset, splits: NamedSplits): WrittenDataset {
  // COCO counts from 1; the ids of a COCO set stay as they are.
  const categoryIds = categories.map(({ id }, label) => (format === 'coco' ? id : label + 1));
  function* files() {
    for (const [split, named] of splits) {
      const imageIds = distinct(named.map(({ record }) => record.id));
      const rows = named.flatMap(({ record }, i) => record.annotations.map((annotation) => ({ annotation, image: imageIds[i] })));
      const ids = distinct(rows.map(({ annotation }) => annotation.id));
      const value = {
        images: named.map(({ record: { width, height }, stem, extension }, i) => ({
          id: imageIds[i],
          file_name: stem + extension,
          width,
          height,
        })),
        annotations: rows.map(({ annotation: { label, box, area, crowd }, image }, i) => ({
          id: ids[i],
          image_id: image,
          category_id: categoryIds[label],
          bbox: box,
          area,
          iscrowd: crowd ? 1 : 0,
        })),
        categories: categories.map(({ name }, label) => ({ id: categoryIds[label], name })),
      };
      yield { path: `annotations/instances_${split}.json`, text: `${JSON.stringify(value)}\n` };
    }
  }
  const images = splits.flatMap(([split, named]) =>
    named.map(({ record, stem, extension }) => ({ from: record.file, to: `${split}/${stem}${extension}` })),
  );
  return { files: files(), images, losses: [] };
}

/** The ids as they are, or 1, 2, … where two are the same (splits joined from several files). */
function distinct(ids: readonly number[]): number[] {
  const sound = new Set(ids).size === ids.length;
  return sound ? [...ids] : ids.map((_, i) => i + 1);
}
