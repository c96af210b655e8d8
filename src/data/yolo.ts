/** YOLO's folders (docs.ultralytics.com/datasets/detect): data.yaml names classes and splits, images/ has labels/ beside it. */
import { BackdropError } from '../errors.ts';
import { type Category, type Split, splitNames } from './dataset.ts';
import { readText } from './directory.ts';
import { baseName, cleanPath, type FileIndex, folderOf, imageExtensions, joinPath } from './file-index.ts';
import { inParallel } from './parallel.ts';
import { describeValue } from './problems.ts';
import type { RawAnnotation, RawDataset, RawImage, ReadContext } from './raw.ts';
import { parseYaml, type YamlDocument, type YamlMap, type YamlValue } from './yaml.ts';
import { parseYoloRows } from './yolo-rows.ts';

interface Description {
  readonly path: string;
  readonly map: YamlMap;
  readonly document: YamlDocument;
}

const isMap = (value: YamlValue): value is YamlMap => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The file that describes the set: the one named, or the one among the YAML files nearest the top that speaks of classes and splits.
 * Undefined when there is none. @throws BackdropError E_DATA when there are several, or the named one is none
 */
export async function yoloDescription({ directory, files }: ReadContext, file: string | undefined): Promise<Description | undefined> {
  const read = async (path: string): Promise<Description | undefined> => {
    const document = parseYaml(await readText(directory, path), path);
    const { value } = document;
    return isMap(value) && ('names' in value || 'nc' in value) && ('train' in value || 'val' in value || 'test' in value)
      ? { path, map: value, document }
      : undefined;
  };
  if (file !== undefined) {
    const found = await read(file);
    if (found) return found;
    throw new BackdropError('E_DATA', `${file}: this YAML describes no data set: "names" and "train" or "val" are expected`);
  }
  const yaml = files.paths.filter((path) => /\.ya?ml$/i.test(path));
  const depth = (path: string) => path.split('/').length;
  const least = Math.min(...yaml.map(depth));
  const found: Description[] = [];
  for (const path of yaml.filter((one) => depth(one) === least)) {
    // A YAML file that is not ours may use what we do not read; data.yaml is meant to be ours.
    const description = await read(path).catch((error) => {
      if (baseName(path) === 'data.yaml' || !(error instanceof BackdropError)) throw error;
      return undefined;
    });
    if (description) found.push(description);
  }
  if (found.length > 1) {
    throw new BackdropError('E_DATA', `${found.map(({ path }) => path).join(' and ')} both describe a data set`, {
      hint: 'Name one of the files instead of the folder.',
    });
  }
  return found[0];
}

export async function readYolo(context: ReadContext, description: Description): Promise<RawDataset> {
  const { files, problems } = context;
  const { path: yaml, map, document } = description;
  const categories = readNames(description, context);
  const splits = new Map<Split, RawImage[]>();
  const root = typeof map.path === 'string' ? map.path : '';
  let images = 0;
  let boxes = 0;
  for (const split of splitNames) {
    const key = split === 'val' && !('val' in map) ? ['valid', 'validation'].find((name) => name in map) : split;
    const value = key === undefined ? undefined : map[key];
    if (key === undefined || value === undefined || value === null || value === '') continue;
    const sources = Array.isArray(value) ? value : [value];
    const found: RawImage[] = [];
    const line = document.lineOf([key]);
    for (const source of sources) {
      if (typeof source !== 'string') {
        problems.add('error', 'shape', `"${key}": expected a path or a list of paths, found ${describeValue(source)}`, {
          file: yaml,
          line,
        });
        continue;
      }
      const place = findSource(files, folderOf(yaml), root, source);
      if (!place) {
        problems.add('error', 'split-empty', `"${key}": there is no folder with pictures, and no list, ${source}`, { file: yaml, line });
        continue;
      }
      if (place.guessed)
        problems.add('info', 'path-guessed', `"${key}": ${source} is taken for ${place.path || 'the folder itself'}`, { file: yaml, line });
      for (const image of await listImages(place, joinPath(folderOf(yaml), root), context)) found.push({ ...image, id: ++images });
    }
    const labelled = await readLabels(found, split, categories.length, context);
    splits.set(
      split,
      labelled.map((image) => ({ ...image, annotations: image.annotations.map((one) => ({ ...one, id: ++boxes })) })),
    );
  }
  return { format: 'yolo', categories, splits };
}

/** `names` as a list, or as a map from 0 on; class_0, class_1, … where only `nc` tells how many. */
function readNames({ path: file, map, document }: Description, { problems }: ReadContext): Category[] {
  const { names, nc } = map;
  const line = document.lineOf(['names']);
  const wrong = (says: string) => problems.add('error', 'shape', says, { file, line });
  let list: string[] = [];
  const nameOf = (value: YamlValue | undefined, id: number): string => {
    if (typeof value === 'object' || value === '') wrong(`"names": expected the name of class ${id}, found ${describeValue(value)}`);
    return value === undefined || typeof value === 'object' || value === '' ? `class_${id}` : String(value);
  };
  if (Array.isArray(names)) list = names.map(nameOf);
  else if (names !== undefined && isMap(names)) {
    const keys = Object.keys(names);
    list = keys.map((_, i) => nameOf(names[i], i));
    const missing = keys.findIndex((_, i) => !(String(i) in names));
    if (missing >= 0) wrong(`"names": the classes are counted from 0 to ${keys.length - 1}, and there is no ${missing}`);
  } else if (names === undefined && Number.isSafeInteger(nc) && (nc as number) > 0 && (nc as number) <= 100_000) {
    list = Array.from({ length: nc as number }, (_, i) => `class_${i}`);
    problems.add('warning', 'category-names', `"names" is missing: the ${list.length} classes are called class_0, class_1, …`, { file });
  } else wrong(`"names": expected the list of class names, found ${describeValue(names)}`);
  if (names !== undefined && nc !== undefined && nc !== null && nc !== list.length) {
    problems.add('error', 'shape', `"nc" says ${describeValue(nc)} classes, "names" has ${list.length}`, {
      file,
      line: document.lineOf(['nc']),
    });
  }
  const first = new Map<string, number>();
  list.forEach((name, id) => {
    const same = first.get(name);
    if (same !== undefined)
      problems.add('warning', 'category-names', `classes ${same} and ${id} are both called "${name}"`, { file, line });
    else first.set(name, id);
  });
  return list.map((name, id) => ({ id, name }));
}

interface Source {
  /** A folder ("" is the top), or a list. */
  readonly path: string;
  readonly list: boolean;
  readonly guessed: boolean;
}

/**
 * What a path of data.yaml means: relative to `path` and the file's own folder as Ultralytics reads it, where ".." stops at the top
 * (Roboflow writes "../train/images" for the folder beside data.yaml); else the longest end of the path that is there, for absolute
 * paths and those of another machine.
 */
function findSource(files: FileIndex, folder: string, root: string, source: string): Source | undefined {
  const at = (path: string): Omit<Source, 'guessed'> | undefined => {
    if (path.toLowerCase().endsWith('.txt')) return files.has(path) ? { path, list: true } : undefined;
    return files.below(path).some((file) => imageExtensions.test(file)) ? { path, list: false } : undefined;
  };
  const absolute = /^(?:\/|[A-Za-z]:)/;
  if (!absolute.test(source) && !absolute.test(root)) {
    const found = at(joinPath(folder, `${root}/${source}`)) ?? at(joinPath(folder, source));
    if (found) return { ...found, guessed: false };
  }
  const parts = cleanPath(absolute.test(source) ? source : `${root}/${source}`)
    .split('/')
    .filter((part) => part !== '..');
  for (let from = 0; from < parts.length; from++) {
    const found = at(folder + parts.slice(from).join('/'));
    if (found) return { ...found, guessed: true };
  }
  return undefined;
}

type ListedImage = Omit<RawImage, 'id'>;

async function listImages({ path, list }: Source, root: string, { directory, files }: ReadContext): Promise<ListedImage[]> {
  const image = (file: string | undefined, name: string): ListedImage => ({
    file,
    name,
    relative: true,
    annotations: [],
    labels: file === undefined ? path : labelPath(files, file),
  });
  if (!list) {
    return files
      .below(path)
      .filter((file) => imageExtensions.test(file))
      .map((file) => image(file, file));
  }
  const lines = (await readText(directory, path)).split(/\r?\n/).map((line) => line.trim());
  return lines.filter(Boolean).map((line) => {
    const near = line.startsWith('./') ? [folderOf(path)] : [folderOf(path), `${root}/`];
    const exact = near.map((folder) => joinPath(folder, line)).find((file) => files.has(file));
    return image(exact ?? longestEnd(files, line), line);
  });
}

/** The file with the most of the path's last components; lists made on other machines have absolute paths. */
function longestEnd(files: FileIndex, path: string): string | undefined {
  const parts = cleanPath(path).split('/');
  for (let from = 0; from < parts.length; from++) {
    const [only, second] = files.endingWith(parts.slice(from).join('/'));
    if (only !== undefined) return second === undefined ? only : undefined;
  }
  return undefined;
}

/** images/a/b.jpg has its boxes in labels/a/b.txt; without an images folder they lie beside the picture. */
function labelPath(files: FileIndex, image: string): string {
  const beside = image.replace(/\.[^./]*$/, '.txt');
  const at = `/${beside}`.lastIndexOf('/images/');
  const standard = at < 0 ? beside : `${beside.slice(0, at)}labels/${beside.slice(at + 'images/'.length)}`;
  return files.has(standard) || !files.has(beside) ? standard : beside;
}

async function readLabels(images: readonly RawImage[], split: Split, classes: number, context: ReadContext): Promise<RawImage[]> {
  const { directory, files, problems, signal } = context;
  const without = images.filter(({ file, labels }) => file !== undefined && !files.has(labels));
  const [first] = without;
  if (first) {
    const all = without.length === images.length;
    const says = `${without.length} of ${images.length} images of ${split} have no label file, first ${first.file}: expected ${first.labels}`;
    problems.add(all ? 'error' : 'warning', 'label-missing', all ? says : `${says}; they count as background`);
  }
  const polygons = { rows: 0 };
  const read = await inParallel(
    images,
    async (image): Promise<{ image: RawImage; text: string | undefined }> => {
      if (image.file === undefined || !files.has(image.labels)) return { image, text: undefined };
      try {
        return { image, text: await readText(directory, image.labels) };
      } catch (error) {
        problems.caught(error, 'syntax', image.labels);
        return { image, text: undefined };
      }
    },
    signal,
  );
  const labelled = read.map(({ image, text }): RawImage => {
    if (text === undefined) return image;
    const annotations: RawAnnotation[] = parseYoloRows(text, image.labels, classes, problems, polygons);
    return { ...image, annotations };
  });
  if (polygons.rows > 0) problems.add('info', 'polygon-rows', `${polygons.rows} rows of ${split} are polygons: their boxes are taken`);
  return labelled;
}
