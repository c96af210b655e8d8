/** One JSON file of COCO's: its three lists checked row by row. */
import { type DataProblemCode, describeValue, type ProblemList } from './problems.ts';

export interface CocoCategory {
  readonly id: number;
  readonly name: string;
  readonly supercategory: string | undefined;
}

export interface CocoImage {
  readonly id: number;
  readonly name: string;
  readonly width: number | undefined;
  readonly height: number | undefined;
}

export interface CocoAnnotation {
  readonly id: number;
  readonly image: number;
  readonly category: number;
  readonly box: readonly [number, number, number, number];
  readonly area: number | undefined;
  readonly crowd: boolean;
}

export interface CocoFile {
  readonly path: string;
  readonly images: readonly CocoImage[];
  readonly categories: readonly CocoCategory[];
  readonly annotations: readonly CocoAnnotation[];
}

type Row = Readonly<Record<string, unknown>>;

const isRow = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);
const isId = (value: unknown): value is number => Number.isSafeInteger(value);
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Undefined where one of the lists is missing; everything wrong is reported, and rows that cannot be used are left out. */
export function parseCocoFile(value: unknown, path: string, problems: ProblemList): CocoFile | undefined {
  const wrong = (code: DataProblemCode, says: string, id?: number) => problems.add('error', code, says, { file: path, id });
  if (!isRow(value)) {
    wrong('shape', `expected an object with "images", "annotations" and "categories", found ${describeValue(value)}`);
    return undefined;
  }
  const list = (key: string): readonly unknown[] | undefined => {
    const found = value[key];
    if (Array.isArray(found)) return found;
    wrong('shape', `"${key}": expected a list, found ${describeValue(found)}`);
    return undefined;
  };
  const [images, annotations, categories] = [list('images'), list('annotations'), list('categories')];
  if (!images || !annotations || !categories) return undefined;

  const categoryRows = unique(categories, 'category', 'duplicate-category', wrong, (row, id, at) => {
    if (typeof row.name !== 'string' || row.name.trim() === '') {
      wrong('shape', `${at}: "name": expected text, found ${describeValue(row.name)}`, id);
      return undefined;
    }
    return { id, name: row.name, supercategory: typeof row.supercategory === 'string' ? row.supercategory : undefined };
  });
  const imageRows = unique(images, 'image', 'duplicate-image', wrong, (row, id, at) => {
    if (typeof row.file_name !== 'string' || row.file_name === '') {
      wrong('shape', `${at}: "file_name": expected text, found ${describeValue(row.file_name)}`, id);
      return undefined;
    }
    const { width, height } = row;
    if (isSize(width) && isSize(height)) return { id, name: row.file_name, width, height };
    if (width !== undefined || height !== undefined) {
      problems.add(
        'warning',
        'image-size',
        `${at}: width ${describeValue(width)}, height ${describeValue(height)}: read from the picture instead`,
        {
          file: path,
          id,
        },
      );
    }
    return { id, name: row.file_name, width: undefined, height: undefined };
  });
  return {
    path,
    images: imageRows,
    categories: categoryRows,
    annotations: annotationRows(annotations, imageRows, categoryRows, path, problems),
  };
}

/** Rows with an id of their own, the first of each id. */
function unique<T>(
  rows: readonly unknown[],
  what: string,
  code: DataProblemCode,
  wrong: (code: DataProblemCode, says: string, id?: number) => void,
  read: (row: Row, id: number, at: string) => T | undefined,
): T[] {
  const seen = new Set<number>();
  return rows.flatMap((row, i) => {
    if (!isRow(row) || !isId(row.id)) {
      wrong('shape', `${what} at position ${i}: "id": expected a whole number, found ${describeValue(isRow(row) ? row.id : row)}`);
      return [];
    }
    if (seen.has(row.id)) {
      wrong(code, `${what} ${row.id} is there twice`, row.id);
      return [];
    }
    seen.add(row.id);
    return read(row, row.id, `${what} ${row.id}`) ?? [];
  });
}

function annotationRows(
  rows: readonly unknown[],
  images: readonly CocoImage[],
  categories: readonly CocoCategory[],
  file: string,
  problems: ProblemList,
): CocoAnnotation[] {
  const imageIds = new Set(images.map(({ id }) => id));
  const categoryIds = new Set(categories.map(({ id }) => id));
  const seen = new Set<number>();
  let [zero, twice, none] = [0, 0, 0];
  const read: CocoAnnotation[] = [];
  for (const [i, row] of rows.entries()) {
    const id = isRow(row) && isId(row.id) ? row.id : undefined;
    const wrong = ([code, says]: readonly [DataProblemCode, string]) =>
      problems.add('error', code, `annotation ${id ?? `at position ${i}`}: ${says}`, { file, id });
    if (!isRow(row)) {
      wrong(['shape', `expected an object, found ${describeValue(row)}`]);
      continue;
    }
    if (id === undefined) none++;
    else if (seen.has(id)) twice++;
    else if (id === 0) zero++;
    if (id !== undefined) seen.add(id);
    const found = annotation(row, id ?? 0, imageIds, categoryIds);
    if ('box' in found) read.push(found);
    else wrong(found);
  }
  if (zero + twice + none === 0) return read;
  const found = [
    zero > 0 ? 'an id 0 (pycocotools scores it as unmatched)' : '',
    twice > 0 ? `${twice} ids that are there twice` : '',
    none > 0 ? `${none} without an id` : '',
  ];
  problems.add('warning', 'annotation-ids', `annotations with ${found.filter(Boolean).join(', ')}: all renumbered from 1`, { file });
  return read.map((row, i) => ({ ...row, id: i + 1 }));
}

function annotation(
  { image_id: image, category_id: category, bbox, area, iscrowd }: Row,
  id: number,
  images: ReadonlySet<number>,
  categories: ReadonlySet<number>,
): CocoAnnotation | readonly [DataProblemCode, string] {
  if (!isId(image) || !images.has(image)) return ['unknown-image', `there is no image ${describeValue(image)}`];
  if (!isId(category) || !categories.has(category)) return ['unknown-category', `there is no category ${describeValue(category)}`];
  // Numbers that were NaN have become null; such a box is dropped later, with its place.
  const numbers = Array.isArray(bbox) && bbox.length === 4 && bbox.every((number) => typeof number === 'number' || number === null);
  if (!numbers) return ['shape', `"bbox": expected [x, y, width, height], found ${describeValue(bbox)}`];
  const [x, y, width, height] = (bbox as (number | null)[]).map((number) => number ?? Number.NaN) as [number, number, number, number];
  const own = typeof area === 'number' && area >= 0 ? area : undefined;
  return { id, image, category, box: [x, y, width, height], area: own, crowd: iscrowd === 1 || iscrowd === true };
}
