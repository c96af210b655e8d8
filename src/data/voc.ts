/** Pascal VOC (host.robots.ox.ac.uk/pascal/VOC): one XML an image, ImageSets/Main/*.txt name the splits. Roboflow's folders of splits too. */
import type { Split } from './dataset.ts';
import { readPart, readText } from './directory.ts';
import { type FileIndex, folderOf, imageExtensions, stemOf } from './file-index.ts';
import { inParallel } from './parallel.ts';
import { type RawDataset, type RawImage, type ReadContext, splitOfPath } from './raw.ts';
import { vocClasses } from './voc-classes.ts';
import { parseVocFile, type VocFile } from './voc-file.ts';

/** The XML files that look like annotations; empty where the set is none of VOC's. */
function vocAnnotations(files: FileIndex): string[] {
  const xml = files.paths.filter((path) => path.toLowerCase().endsWith('.xml'));
  const annotations = xml.filter((path) => /(?:^|\/)annotations\//i.test(path));
  return annotations.length > 0 ? annotations : xml;
}

const mainList = /(?:^|\/)ImageSets\/Main\/[^/]*\.txt$/;

/** Are there XML files, and lists of splits beside them, or an annotation in the first? `sure`: they are meant to be annotations. */
export async function isVoc({ directory, files }: ReadContext, sure: boolean): Promise<boolean> {
  const [first] = vocAnnotations(files);
  if (first === undefined || sure || files.paths.some((path) => mainList.test(path))) return first !== undefined;
  return /<annotation[\s>]/.test(new TextDecoder().decode((await readPart(directory, first, 0, 4096)).bytes));
}

/** An image of a split: its picture and its XML, as far as they are there. */
interface Listed {
  readonly name: string;
  readonly xml: string | undefined;
  readonly image: string | undefined;
  readonly list: string;
}

export async function readVoc(context: ReadContext): Promise<RawDataset> {
  const { directory, files, problems, signal } = context;
  const listed = await listSplits(context);
  const wanted = [...new Set([...listed.values()].flatMap((images) => images.flatMap(({ xml }) => xml ?? [])))];
  const parsed = new Map<string, VocFile>();
  await inParallel(
    wanted,
    async (path) => {
      try {
        const file = parseVocFile(await readText(directory, path), path, problems);
        if (file) parsed.set(path, file);
      } catch (error) {
        problems.caught(error, 'syntax', path);
      }
    },
    signal,
  );
  // In the order of the lists, whatever order they were read in.
  const objects = wanted.flatMap((path) => parsed.get(path)?.objects ?? []);
  const { categories, labelOf } = await vocClasses(objects, context);
  let [images, boxes] = [0, 0];
  const splits = new Map<Split, RawImage[]>();
  for (const [split, list] of listed) {
    const without = list.filter(({ xml }) => xml === undefined);
    if (without.length > 0) {
      const says = `${without.length} of ${list.length} images of ${split} have no XML, first ${without[0]!.name}`;
      const all = without.length === list.length;
      problems.add(all ? 'error' : 'warning', 'label-missing', all ? says : `${says}; they count as background`, {
        file: without[0]!.list,
      });
    }
    const raw = list.flatMap(({ name, xml, image, list: from }): RawImage[] => {
      const file = xml === undefined ? undefined : parsed.get(xml);
      if (xml !== undefined && !file) return [];
      const size = file?.width === undefined || file.height === undefined ? {} : { width: file.width, height: file.height };
      const annotations = (file?.objects ?? []).flatMap(({ name: className, box, crowd, line, area }) => {
        const label = labelOf(className);
        return label === undefined ? [] : [{ id: ++boxes, label, box, crowd, line, ...(area === undefined ? {} : { area }) }];
      });
      const picture = image ?? (file?.filename === undefined ? undefined : files.resolve(file.filename, xml ?? from, [split]));
      return [{ id: ++images, name: file?.filename ?? name, file: picture, ...size, relative: false, annotations, labels: xml ?? from }];
    });
    splits.set(split, raw);
  }
  return { format: 'voc', categories, splits };
}

const lists: readonly (readonly [Split, string])[] = [
  ['train', 'train.txt'],
  ['val', 'val.txt'],
  ['test', 'test.txt'],
];

/** By ImageSets/Main where it is there (of several years together), else by the folders the XML files lie in. */
async function listSplits(context: ReadContext): Promise<Map<Split, Listed[]>> {
  const { directory, files, problems } = context;
  const splits = new Map<Split, Listed[]>();
  const add = (split: Split, image: Listed) => {
    const all = splits.get(split);
    if (all) all.push(image);
    else splits.set(split, [image]);
  };
  const xmlFiles = vocAnnotations(files);
  const pictures = new Map(files.paths.filter((path) => imageExtensions.test(path)).map((path) => [path.replace(/\.[^./]*$/, ''), path]));
  const main = [...new Set(files.paths.filter((path) => mainList.test(path)).map(folderOf))];
  for (const folder of main) {
    const root = folder.slice(0, -'ImageSets/Main/'.length);
    const both = files.has(`${folder}trainval.txt`) && !files.has(`${folder}train.txt`);
    for (const [split, name] of lists) {
      const list = folder + (split === 'train' && both ? 'trainval.txt' : name);
      if (!files.has(list)) continue;
      splits.set(split, splits.get(split) ?? []);
      for (const line of (await readText(directory, list)).split('\n')) {
        const stem = stemInList(
          line,
          (wanted) => files.has(`${root}Annotations/${wanted}.xml`) || pictures.has(`${root}JPEGImages/${wanted}`),
        );
        if (stem === '') continue;
        const xml = `${root}Annotations/${stem}.xml`;
        add(split, { name: stem, xml: files.has(xml) ? xml : undefined, image: pictures.get(`${root}JPEGImages/${stem}`), list });
      }
    }
  }
  if (main.length > 0) return splits;
  let guessed = 0;
  for (const xml of xmlFiles) {
    const split = splitOfPath(folderOf(xml));
    if (!split) guessed++;
    const beside = xml.replace(/\.[^./]*$/, '');
    const image = pictures.get(beside) ?? pictures.get(beside.replace(/((?:^|\/))annotations\//i, '$1JPEGImages/'));
    add(split ?? 'train', { name: stemOf(xml), xml, image, list: xml });
  }
  if (guessed > 0) {
    const says = `${guessed} XML files tell no split (no ImageSets/Main, no folder train, val or test): they count as train`;
    problems.add('info', 'split-guessed', says);
  }
  return splits;
}

/** A line names an image, with or without an extension, perhaps followed by the -1, 0 or 1 of a list of one class. */
function stemInList(line: string, known: (stem: string) => boolean): string {
  const whole = line.trim();
  const candidates = [whole, whole.replace(/\s+-?[01]$/, ''), whole.replace(/\.(?:jpe?g|png|webp|avif|gif|bmp|xml)$/i, '')];
  return candidates.find(known) ?? candidates[1]!;
}
