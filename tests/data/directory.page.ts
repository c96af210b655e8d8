/** Data sets in the page: in the origin's private file system, and as picked files. */
import { filesDirectory, handleDirectory } from '../../src/data/directory.ts';
import { datasetHash } from '../../src/data/hash.ts';
import { openDataset } from '../../src/data/open.ts';
import { register } from '../../src/host/page-registry.ts';

interface Sent {
  paths: string[];
  contents: Uint8Array<ArrayBuffer>[];
}

async function inPrivateFiles({ paths, contents }: Sent): Promise<FileSystemDirectoryHandle> {
  const top = await (await navigator.storage.getDirectory()).getDirectoryHandle(`set-${crypto.randomUUID()}`, { create: true });
  for (const [i, path] of paths.entries()) {
    const parts = path.split('/');
    let folder = top;
    for (const part of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(part, { create: true });
    const writer = await (await folder.getFileHandle(parts.at(-1)!, { create: true })).createWritable();
    await writer.write(contents[i]!);
    await writer.close();
  }
  return top;
}

register('open data set in the page', async (sent: Sent) => {
  const files = sent.paths.map((path, i) => ({ path: `picked/${path}`, file: new File([sent.contents[i]!], path) }));
  const handle = await inPrivateFiles(sent);
  const ways = { handle: await handleDirectory(handle), files: filesDirectory(files) };
  const results: Record<string, unknown> = {};
  for (const [way, directory] of Object.entries(ways)) {
    const { dataset, problems } = await openDataset(directory, { checkImages: true });
    results[way] = { hash: await datasetHash(dataset, directory), problems: problems.length, paths: await directory.list() };
  }
  return results;
});
