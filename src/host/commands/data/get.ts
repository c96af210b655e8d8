/** "backdrop data get": a public data set, from its publisher. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readDataset } from '../../../data/open.ts';
import { didYouMean } from '../../../spelling.ts';
import { textOption, usageError } from '../../args.ts';
import type { Command } from '../../cli.ts';
import { nodeDirectory } from '../../data-directory.ts';
import { refuseFullFolder, writeFolder } from '../../data-write.ts';
import { download } from '../../download.ts';
import type { Io } from '../../io.ts';
import { type PublicSet, publicSets } from '../../public-sets.ts';
import { unzipTo } from '../../unzip.ts';
import { outOption } from './options.ts';

const megabytes = (bytes: number): string => (bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

export const get: Command = {
  spec: {
    name: 'data get',
    summary: 'fetch a public data set',
    usage: 'NAME [--out DIR]',
    description: [
      ...publicSets.map(({ name, summary, bytes, licence }) => `${name}: ${summary}; ${megabytes(bytes)} to fetch; ${licence}.`),
      'Archives are fetched into DIR.download, checked, unpacked into DIR and removed. What was interrupted is gone on with. Without a network an ' +
        'archive that you have brought there yourself is used.',
    ].join('\n'),
    positionals: { name: 'name of a data set', min: 1, max: 1 },
    options: { out: { ...outOption, help: 'the folder to be made (default: datasets/NAME)' } },
    examples: ['backdrop data get bccd', 'backdrop data get coco-val --out coco'],
  },
  async run(args, io) {
    const name = args.positionals[0]!;
    const set = publicSets.find((known) => known.name === name);
    if (!set) {
      const names = publicSets.map((known) => known.name);
      const near = didYouMean(name, names);
      throw usageError(`there is no public data set "${name}"${near ? `; did you mean "${near}"?` : ''}`, `Known are ${names.join(', ')}.`);
    }
    const out = textOption(args, 'out') ?? join('datasets', name);
    await getPublicSet(set, out, io);
    const { dataset } = await readDataset(nodeDirectory(out), { signal: io.signal });
    const splits = [...dataset.splits].map(([split, records]) => ({ split, images: records.length }));
    io.emit({ type: 'data get', name, out, format: dataset.format, splits, licence: set.licence });
    io.print(
      `${name} in ${io.paint('bold', out)}: ${splits.map((one) => `${one.split} ${one.images}`).join(', ')} images; licence: ${set.licence}`,
    );
    io.note(`"backdrop data check ${out}" looks into it.`);
    return 0;
  },
};

/** Throws E_FILE_EXISTS, E_NETWORK, E_DATA, E_FILE_WRITE; what was fetched stays for the next time. */
export async function getPublicSet({ archives }: Pick<PublicSet, 'archives'>, out: string, io: Io): Promise<void> {
  await refuseFullFolder(out);
  const folder = `${out}.download`;
  for (const archive of archives) {
    await download(archive, join(folder, archive.file), {
      signal: io.signal,
      onProgress: (done, total) => io.progress(`fetching ${archive.file}`, total === undefined ? undefined : done / total),
    });
    io.progressDone();
  }
  await writeFolder(out, async (target) => {
    for (const { file, place, maxBytes } of archives) {
      const onProgress = (done: number, total: number) => io.progress(`unpacking ${file}`, done / total);
      await unzipTo(join(folder, file), target, { place, maxBytes, signal: io.signal, onProgress });
      io.progressDone();
    }
  });
  await rm(folder, { recursive: true, force: true });
}
