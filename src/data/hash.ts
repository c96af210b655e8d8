/** One number for a data set, by which a resumed run notices that it has changed. */
import { type DataDirectory, type Dataset, splitNames } from './dataset.ts';
import { readPart } from './directory.ts';
import { inParallel } from './parallel.ts';

const utf8 = new TextEncoder();

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

const digest = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

/** Records whose texts are hashed together: the text of a whole set may be longer than a string can be. */
const atOnce = 1000;

/**
 * SHA-256, in hexadecimal, of everything that training sees and that can be had without reading the pictures: classes, splits, the
 * order, names, sizes and labels of the images, and the sizes of their files in bytes. @throws what the directory throws
 */
export async function datasetHash(dataset: Dataset, directory: DataDirectory, signal?: AbortSignal): Promise<string> {
  const parts: Uint8Array[] = [await digest(utf8.encode(JSON.stringify(dataset.categories.map(({ id, name }) => [id, name]))))];
  for (const split of splitNames) {
    const records = dataset.splits.get(split);
    if (!records) continue;
    parts.push(await digest(utf8.encode(`${split} ${records.length}`)));
    for (let from = 0; from < records.length; from += atOnce) {
      const some = records.slice(from, from + atOnce);
      const sizes = await inParallel(some, async ({ file }) => (await readPart(directory, file, 0, 1)).size, signal);
      const rows = some.map(({ id, file, width, height, annotations }, i) => [
        id,
        file,
        width,
        height,
        sizes[i],
        annotations.map(({ id: annotation, label, box, area, crowd }) => [annotation, label, ...box, area, crowd]),
      ]);
      parts.push(await digest(utf8.encode(JSON.stringify(rows))));
    }
  }
  const all = new Uint8Array(parts.length * 32);
  parts.forEach((part, i) => {
    all.set(part, i * 32);
  });
  return hex(await digest(all));
}

/** SHA-256 of a file's content, in hexadecimal. */
export const fileHash = async (directory: DataDirectory, path: string): Promise<string> =>
  hex(await digest(new Uint8Array(await (await directory.read(path)).arrayBuffer())));
