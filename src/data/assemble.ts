/** From what the label files say to the data set: pictures looked up and measured, boxes in pixels and inside their picture. */
import { type Annotation, type Dataset, type ImageRecord, type Split, splitNames } from './dataset.ts';
import { checkImage, type ImageFacts } from './image-check.ts';
import { inParallel } from './parallel.ts';
import type { RawAnnotation, RawDataset, RawImage, ReadContext } from './raw.ts';

export interface AssembleOptions {
  /** Look into every picture, not only those whose size no label file tells. */
  readonly checkImages: boolean;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}

/** A box may reach out so far without a word: tools differ in whether a pixel's index names its edge or its middle. */
const overhang = 1;
/** The detector's queries: more objects in one image cannot be found. */
const maxBoxes = 300;

export async function assemble(raw: RawDataset, context: ReadContext, options: AssembleOptions): Promise<Dataset> {
  const { problems } = context;
  const facts = await lookAtImages(raw, context, options);
  const splits = new Map<Split, readonly ImageRecord[]>();
  for (const split of splitNames) {
    const images = raw.splits.get(split);
    if (!images) continue;
    const records: ImageRecord[] = [];
    const used = new Set<string>();
    for (const image of images) {
      const { file, labels, id } = image;
      if (file === undefined) continue;
      const broken = facts.has(file) && !facts.get(file);
      const size = broken ? undefined : sizeOf(image, facts.get(file), context);
      if (!size) continue;
      if (used.has(file)) problems.add('warning', 'image-repeated', `${file} is there twice in ${split}`, { file: labels, id });
      used.add(file);
      const annotations = image.annotations.flatMap((annotation) => toAnnotation(annotation, image, size, context) ?? []);
      if (annotations.length > maxBoxes) {
        const says = `${file} has ${annotations.length} boxes: only ${maxBoxes} can be found`;
        problems.add('warning', 'crowded-image', says, { file: labels, id });
      }
      records.push({ id, file, ...size, annotations });
    }
    splits.set(split, records);
    reportSplit(split, images.length, records, context);
  }
  reportLeaks(splits, context);
  if (splits.size === 0) problems.add('error', 'split-empty', 'the data set has no images');
  return { format: raw.format, categories: raw.categories, splits };
}

function reportSplit(split: Split, listed: number, records: readonly ImageRecord[], { problems }: ReadContext): void {
  if (records.length === 0) {
    const says = listed === 0 ? `the split ${split} lists no image` : `none of the ${listed} images of the split ${split} can be used`;
    problems.add('error', 'split-empty', says);
    return;
  }
  const empty = records.filter(({ annotations }) => annotations.length === 0).length;
  if (empty === records.length) problems.add('warning', 'no-boxes', `none of the ${empty} images of ${split} has a box`);
  else if (empty > 0)
    problems.add('info', 'no-boxes', `${empty} of ${records.length} images of ${split} have no box: they count as background`);
}

/** One file in two splits: what is measured on it has been learnt by heart. */
function reportLeaks(splits: ReadonlyMap<Split, readonly ImageRecord[]>, { problems }: ReadContext): void {
  const owner = new Map<string, Split>();
  for (const [split, records] of splits) {
    const shared = records.filter(({ file }) => owner.has(file));
    if (shared.length === records.length && shared.length > 0) {
      problems.add(
        'warning',
        'leak',
        `all ${shared.length} images of ${split} are those of ${owner.get(shared[0]!.file)}: its results mean nothing`,
      );
    } else {
      for (const { file, id } of shared) problems.add('warning', 'leak', `${file} is in ${owner.get(file)} and in ${split}`, { file, id });
    }
    for (const { file } of records) if (!owner.has(file)) owner.set(file, split);
  }
}

/** Facts of the files that had to be looked at; broken ones are missing from the result and reported. */
async function lookAtImages(
  raw: RawDataset,
  { directory, problems, signal }: ReadContext,
  { checkImages, onProgress }: AssembleOptions,
): Promise<Map<string, ImageFacts | undefined>> {
  const wanted = new Map<string, RawImage>();
  for (const image of [...raw.splits.values()].flat()) {
    const { file, name, labels, id } = image;
    if (file === undefined) problems.add('warning', 'image-missing', `there is no picture ${name}: left out`, { file: labels, id });
    else if (checkImages || image.width === undefined) wanted.set(file, image);
  }
  const facts = new Map<string, ImageFacts | undefined>();
  let done = 0;
  const look = async (file: string): Promise<void> => {
    const found = await checkImage(directory, file);
    facts.set(file, 'broken' in found ? undefined : found);
    if ('broken' in found) problems.add('warning', 'image-broken', `${found.broken}: left out`, { file });
    onProgress?.(++done, wanted.size);
  };
  await inParallel([...wanted.keys()], look, signal);
  return facts;
}

/** The size of the upright picture; what the file says counts, where it was looked at. */
function sizeOf(
  { file, width, height, labels, id }: RawImage,
  facts: ImageFacts | undefined,
  { problems }: ReadContext,
): { width: number; height: number } | undefined {
  if (!facts) return width === undefined || height === undefined ? undefined : { width, height };
  const same = width === facts.width && height === facts.height;
  const turned = facts.orientation >= 5;
  if (width === undefined) {
    if (facts.orientation > 1) {
      const says = `${file} is turned by EXIF; its boxes are taken as made on the upright picture (${facts.width} × ${facts.height})`;
      problems.add('warning', 'image-rotated', says, { file: labels, id });
    }
  } else if (turned && !same && width === facts.height && height === facts.width) {
    const says =
      `${file} is turned by EXIF: ${facts.width} × ${facts.height} upright, but the labels say ${width} × ${height}. ` +
      'Its boxes are probably those of the unturned picture';
    problems.add('warning', 'image-rotated', says, { file: labels, id });
  } else if (!same) {
    const says = `${file} has ${facts.width} × ${facts.height} pixels, the labels say ${width} × ${height}; the file counts`;
    problems.add('warning', 'image-size', says, { file: labels, id });
  } else if (facts.orientation > 1) {
    const says = `${file} is turned by EXIF (orientation ${facts.orientation}); browsers show it upright, as the labels do`;
    problems.add(turned ? 'info' : 'warning', 'image-rotated', says, { file: labels, id });
  }
  return { width: facts.width, height: facts.height };
}

function toAnnotation(
  { id, label, box, area, crowd, line }: RawAnnotation,
  image: RawImage,
  size: { width: number; height: number },
  { problems }: ReadContext,
): Annotation | undefined {
  const [scaleX, scaleY] = image.relative ? [size.width, size.height] : [1, 1];
  const [x, y, width, height] = [box[0] * scaleX, box[1] * scaleY, box[2] * scaleX, box[3] * scaleY];
  const place = { file: image.labels, line, id };
  const name = line === undefined ? `annotation ${id} of ${image.file}` : `${image.file}`;
  const shown = `[${[x, y, width, height].map((value) => Number(value.toFixed(2))).join(', ')}]`;
  if (![x, y, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
    problems.add('warning', 'box-dropped', `${name}: the box ${shown} (x, y, width, height) has no area: left out`, place);
    return undefined;
  }
  const inside = x >= -overhang && y >= -overhang && x + width <= size.width + overhang && y + height <= size.height + overhang;
  if (inside) return { id, label, box: [x, y, width, height], area: area ?? width * height, crowd };
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  const [right, bottom] = [Math.min(size.width, x + width), Math.min(size.height, y + height)];
  const outside = `${name}: the box ${shown} (x, y, width, height)`;
  if (right <= left || bottom <= top) {
    problems.add('warning', 'box-dropped', `${outside} lies outside of ${size.width} × ${size.height}: left out`, place);
    return undefined;
  }
  problems.add('warning', 'box-clipped', `${outside} reaches out of ${size.width} × ${size.height}: cut at the edge`, place);
  const clipped = [left, top, right - left, bottom - top] as const;
  return { id, label, box: clipped, area: area ?? clipped[2] * clipped[3], crowd };
}
