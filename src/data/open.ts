/** Opens a data set of any known format: finds out which it is, reads its labels, and says what is wrong with it. */
import { BackdropError } from '../errors.ts';
import { assemble } from './assemble.ts';
import { cocoCandidates, readCoco } from './coco.ts';
import type { DataDirectory, Dataset } from './dataset.ts';
import { FileIndex, imageExtensions } from './file-index.ts';
import { type DataProblem, ProblemList, refuseErrors } from './problems.ts';
import type { RawDataset, ReadContext } from './raw.ts';

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

async function readLabels(context: ReadContext, { format, file }: OpenOptions): Promise<RawDataset> {
  const { files } = context;
  if (file !== undefined && !files.has(file)) throw new BackdropError('E_DATA', `${file}: there is no such file in the data set`);
  if (format === undefined || format === 'coco') {
    const sure = file !== undefined || format === 'coco';
    const raw = await readCoco(context, file === undefined ? cocoCandidates(files) : [file], sure);
    if (raw) return raw;
  }
  const images = files.paths.filter((path) => imageExtensions.test(path)).length;
  throw new BackdropError('E_DATA', `no labels of a known format among ${files.paths.length} files (${images} pictures)`, {
    hint: 'Known are COCO (JSON with "images", "annotations" and "categories").',
  });
}
