/** Opens a data set of any known format: finds out which it is, reads its labels, and says what is wrong with it. */
import { BackdropError } from '../errors.ts';
import { assemble } from './assemble.ts';
import { cocoCandidates, readCoco } from './coco.ts';
import type { DataDirectory, Dataset } from './dataset.ts';
import { FileIndex, imageExtensions } from './file-index.ts';
import { type DataProblem, ProblemList, refuseErrors } from './problems.ts';
import type { RawDataset, ReadContext } from './raw.ts';
import { isVoc, readVoc } from './voc.ts';
import { readYolo, yoloDescription } from './yolo.ts';

export interface OpenOptions {
  /** Default: found out. */
  readonly format?: Dataset['format'];
  /** The file that describes the set, where it is not to be searched for: data.yaml, or one JSON file. */
  readonly file?: string;
  /**
   * Look into every picture: size, orientation, completeness. Else the sizes that the labels state are believed, and only pictures
   * without one are looked at.
   */
  readonly checkImages?: boolean;
  /** Pictures looked at so far, and how many there are. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface OpenedDataset {
  readonly dataset: Dataset;
  readonly problems: readonly DataProblem[];
}

/**
 * The data set, with warnings and remarks.
 * @throws BackdropError E_DATA when there is none, or when something in it is an error (the first five are named)
 */
export async function openDataset(directory: DataDirectory, options: OpenOptions = {}): Promise<OpenedDataset> {
  const opened = await readDataset(directory, options);
  refuseErrors(opened.problems);
  return opened;
}

/** As `openDataset`, but errors within the set are among the problems, and what could be read is there. */
export async function readDataset(directory: DataDirectory, options: OpenOptions = {}): Promise<OpenedDataset> {
  const { signal, checkImages = false, onProgress } = options;
  const files = new FileIndex(await directory.list());
  const problems = new ProblemList();
  const context: ReadContext = { directory, files, problems, signal };
  const raw = await readLabels(context, options);
  return { dataset: await assemble(raw, context, { checkImages, onProgress }), problems: problems.all };
}

/** Reads the labels in the format named, or that of the file named, or the only one that is there. */
async function readLabels(context: ReadContext, { format: wanted, file }: OpenOptions): Promise<RawDataset> {
  const { files } = context;
  if (file !== undefined && !files.has(file)) throw new BackdropError('E_DATA', `${file}: there is no such file in the data set`);
  const format = file === undefined ? wanted : formatOfFile(file, wanted);
  const readers = {
    yolo: async () => {
      const description = await yoloDescription(context, file);
      return description && readYolo(context, description);
    },
    coco: () => readCoco(context, file === undefined ? cocoCandidates(files) : [file], format !== undefined),
    voc: async () => ((await isVoc(context, format !== undefined)) ? readVoc(context) : undefined),
  };
  const found: RawDataset[] = [];
  for (const [name, read] of Object.entries(readers)) {
    if (format !== undefined && format !== name) continue;
    const raw = await read();
    if (raw) found.push(raw);
  }
  const [first, second] = found;
  if (first && second) {
    throw new BackdropError('E_DATA', `labels in two formats lie here: ${first.format} and ${second.format}`, {
      hint: 'Say which one is meant (--from), or name its file (data.yaml, the JSON file) instead of the folder.',
    });
  }
  return first ?? nothingFound(files, format);
}

function formatOfFile(file: string, wanted: Dataset['format'] | undefined): Dataset['format'] {
  const format = /\.json$/i.test(file) ? 'coco' : /\.ya?ml$/i.test(file) ? 'yolo' : undefined;
  if (format === undefined || (wanted !== undefined && wanted !== format)) {
    const expected = wanted === 'coco' ? 'a JSON file' : wanted === 'yolo' ? 'a YAML file' : 'a JSON file (COCO) or a YAML file (YOLO)';
    throw new BackdropError(
      'E_DATA',
      `${file}: expected ${wanted === 'voc' ? "the folder of VOC's files" : expected}, or the folder of the set`,
    );
  }
  return format;
}

function nothingFound(files: FileIndex, format: Dataset['format'] | undefined): never {
  const images = files.paths.filter((path) => imageExtensions.test(path)).length;
  const labels = files.paths.filter((path) => /(?:^|\/)labels\/.*\.txt$/.test(path)).length;
  const what = format === undefined ? 'no labels of a known format' : `no labels in the format ${format}`;
  throw new BackdropError('E_DATA', `${what} among ${files.paths.length} files (${images} pictures)`, {
    hint:
      labels > 0
        ? `The ${labels} files in labels/ look like YOLO's, but data.yaml is missing: it names the classes and the folders of the splits.`
        : 'Known are COCO (JSON with "images", "annotations", "categories"), YOLO (data.yaml) and Pascal VOC (Annotations/*.xml).',
  });
}
