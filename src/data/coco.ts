/** COCO's instance annotations (cocodataset.org/#format-data), and Roboflow's flavour of them: one JSON file a split. */
import { type CocoCategory, type CocoFile, parseCocoFile } from './coco-file.ts';
import type { Category, Split } from './dataset.ts';
import { readText } from './directory.ts';
import { baseName, type FileIndex, folderOf, stemOf } from './file-index.ts';
import { parseJson } from './json.ts';
import { type RawDataset, type RawImage, type ReadContext, splitOfPath } from './raw.ts';

/** More JSON files than this in one folder are no splits: they are labels of single images in some other format. */
const maxCandidates = 32;

/**
 * The JSON files that may be COCO's, by their names: Roboflow's, else instances_*.json, else those of an annotations folder, else
 * those nearest the top. Which of them are, only their content tells.
 */
export function cocoCandidates(files: FileIndex): string[] {
  const json = files.paths.filter((path) => path.toLowerCase().endsWith('.json'));
  const roboflow = json.filter((path) => baseName(path) === '_annotations.coco.json');
  if (roboflow.length > 0) return roboflow;
  const instances = json.filter((path) => baseName(path).startsWith('instances_'));
  if (instances.length > 0) return instances;
  const other = /^(?:captions|person_keypoints|panoptic|stuff|image_info)_/;
  const annotations = json.filter((path) => /(?:^|\/)annotations\/[^/]*$/i.test(path) && !other.test(baseName(path)));
  if (annotations.length > 0 && annotations.length <= maxCandidates) return annotations;
  const depth = (path: string) => path.split('/').length;
  const least = Math.min(...json.map(depth));
  const top = json.filter((path) => depth(path) === least);
  return top.length <= maxCandidates ? top : [];
}

/** Names that nothing else has: such a file is broken where it is not COCO's. */
const meantAsCoco = /^(?:instances_.*|_annotations\.coco|train|val|valid|test)\.json$/;
const looksLikeCoco = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && ['images', 'annotations', 'categories'].filter((key) => key in value).length >= 2;

/**
 * Reads the given JSON files as COCO's; undefined when none of them is. `sure`: they are meant to be, so that one which is not is
 * an error of the data set. Broken ones are reported, the others read.
 */
export async function readCoco(context: ReadContext, paths: readonly string[], sure: boolean): Promise<RawDataset | undefined> {
  const { directory, problems, signal } = context;
  const parsed: CocoFile[] = [];
  let broken = 0;
  for (const path of paths) {
    signal?.throwIfAborted();
    let value: unknown;
    try {
      const json = parseJson(await readText(directory, path), path);
      value = json.value;
      if (json.mended) {
        const { count, line } = json.mended;
        problems.add('warning', 'json-nan', `${count} NaN or Infinity, which JSON does not have; read as no number`, { file: path, line });
      }
    } catch (error) {
      problems.caught(error, 'syntax', path);
      broken++;
      continue;
    }
    if (!sure && !meantAsCoco.test(baseName(path)) && !looksLikeCoco(value)) {
      if (splitOfPath(baseName(path)))
        problems.add('info', 'file-ignored', 'this JSON has no images and annotations: passed over', { file: path });
      continue;
    }
    const file = parseCocoFile(value, path, problems);
    if (file) parsed.push(file);
    else broken++;
  }
  if (parsed.length === 0 && broken === 0) return undefined;

  const categories = mergeCategories(parsed, context);
  const labels = new Map(categories.map(({ id }, label) => [id, label]));
  const splits = new Map<Split, RawImage[]>();
  const owner = new Map<Split, string>();
  for (const file of parsed) {
    let split = splitOfPath(file.path);
    if (split === undefined) {
      split = 'train';
      const says = 'the name tells no split (train, val, test), so the images count as train; "backdrop data split" makes the others';
      problems.add(parsed.length > 1 ? 'error' : 'info', 'split-guessed', says, { file: file.path });
    }
    const first = owner.get(split);
    if (first !== undefined) {
      problems.add('error', 'split-clash', `${first} is the split ${split} already; name one of the files instead of the folder`, {
        file: file.path,
      });
      continue;
    }
    owner.set(split, file.path);
    splits.set(split, resolveImages(file, labels, split, context));
  }
  return { format: 'coco', categories, splits };
}

/** Categories of all files by ascending id. An id stands for one name everywhere. */
function mergeCategories(files: readonly CocoFile[], { problems }: ReadContext): Category[] {
  const found = new Map<number, CocoCategory & { file: string }>();
  for (const { path, categories } of files) {
    for (const category of categories) {
      const known = found.get(category.id);
      if (!known) found.set(category.id, { ...category, file: path });
      else if (known.name !== category.name) {
        const says = `category ${category.id} is "${category.name}" here and "${known.name}" in ${known.file}`;
        problems.add('error', 'category-names', says, { file: path, id: category.id });
      }
    }
  }
  const sorted = [...found.values()].sort((a, b) => a.id - b.id);
  const kept = withoutPlaceholder(sorted, files, problems);
  const names = new Map<string, number>();
  for (const { id, name, file } of kept) {
    const same = names.get(name);
    if (same !== undefined)
      problems.add('warning', 'category-names', `categories ${same} and ${id} are both called "${name}"`, { file, id });
    names.set(name, id);
  }
  reportIds(kept, problems);
  return kept.map(({ id, name }) => ({ id, name }));
}

/** Roboflow's exports begin with a category 0 that only names the group of the others. It is no class. */
function withoutPlaceholder<C extends CocoCategory>(sorted: C[], files: readonly CocoFile[], problems: ReadContext['problems']): C[] {
  const [first, ...rest] = sorted;
  if (!first || rest.length === 0 || first.supercategory !== 'none' || !rest.every(({ supercategory }) => supercategory === first.name))
    return sorted;
  if (files.some(({ annotations }) => annotations.some(({ category }) => category === first.id))) return sorted;
  problems.add(
    'info',
    'placeholder-category',
    `category ${first.id} "${first.name}" only names the group of the others and has no box: left out`,
    {
      id: first.id,
    },
  );
  return rest;
}

function reportIds(categories: readonly Category[], problems: ReadContext['problems']): void {
  if (categories.every(({ id }, label) => id === label + 1)) return;
  const last = categories.at(-1);
  const coco = categories.length === 80 && categories[0]?.name === 'person' && last?.name === 'toothbrush' && last.id === 90;
  const table = categories.map(({ id, name }, label) => `${id} → ${label} ${name}`).join(', ');
  const says = coco
    ? "the ids are COCO's 91, of which 80 are used: labels 0 to 79 by ascending id"
    : `category ids are mapped to labels by ascending id: ${table}`;
  problems.add('info', 'category-ids', says);
}

function resolveImages(file: CocoFile, labels: ReadonlyMap<number, number>, split: Split, { files }: ReadContext): RawImage[] {
  const stem = stemOf(file.path);
  const words = [stem.replace(/^instances_/, ''), stem, split, ...(split === 'val' ? ['valid'] : [])];
  const folder = folderOf(file.path);
  // annotations/instances_train2017.json speaks of train2017/; its own folder has the labels alone.
  const from = /(?:^|\/)annotations\/$/i.test(folder) ? folder.replace(/annotations\/$/i, 'images/x') : file.path;
  const images = new Map(
    file.images.map(({ id, name, width, height }) => [
      id,
      {
        id,
        name,
        file: files.resolve(name, from, words),
        ...(width === undefined || height === undefined ? {} : { width, height }),
        relative: false,
        annotations: [] as RawImage['annotations'][number][],
        labels: file.path,
      },
    ]),
  );
  for (const { id, image, category, box, area, crowd } of file.annotations) {
    const label = labels.get(category);
    if (label !== undefined) images.get(image)?.annotations.push({ id, label, box, crowd, ...(area === undefined ? {} : { area }) });
  }
  return [...images.values()];
}
