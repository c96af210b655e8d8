import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpDirectory, readPart, readText } from '../../src/data/directory.ts';
import { datasetHash } from '../../src/data/hash.ts';
import { openDataset } from '../../src/data/open.ts';
import { LocalServer, parseRange } from '../../src/host/server.ts';
import { page } from '../setup/gpu.ts';
import { type Files, memoryDirectory, png } from './memory.ts';

const files: Files = {
  'data.yaml': 'train: images\nnames: [a]\n',
  'images/ä 1#.png': png(20, 10),
  'images/b.png': png(20, 10, 1),
  'labels/ä 1#.txt': '0 .5 .5 .2 .2\n',
  'labels/b.txt': '',
};
const paths = Object.keys(files).sort();
const bytesOf = (content: string | Uint8Array) => (typeof content === 'string' ? new TextEncoder().encode(content) : content);

/** What the same set gives in memory, here in Node. */
async function expected(): Promise<string> {
  const directory = memoryDirectory(files);
  return datasetHash((await openDataset(directory, { checkImages: true })).dataset, directory);
}

describe('a data set in the page', () => {
  it('is the same from picked files and from a directory handle', async () => {
    const sent = { paths: ['.DS_Store', ...paths], contents: [new Uint8Array(1), ...paths.map((path) => bytesOf(files[path]!))] };
    const results = await page.call<Record<string, unknown>>('open data set in the page', sent);
    const same = { hash: await expected(), problems: 1, paths };
    expect(results).toEqual({ handle: same, files: same });
  });
});

describe('a data set over HTTP', () => {
  let server: LocalServer;
  let ranges = true;
  let asked: string[] = [];
  const base = () => `${server.origin}/set/`;
  beforeAll(async () => {
    server = await LocalServer.start();
    server.handle('/set/', (request, response, path) => {
      asked.push(`${path} ${request.headers.range ?? ''}`.trim());
      const content = path === 'index.json' ? JSON.stringify(paths) : files[path];
      if (content === undefined) return void response.writeHead(path === 'broken' ? 500 : 404).end();
      const bytes = bytesOf(content);
      const range = ranges ? parseRange(request.headers.range, bytes.length) : null;
      if (range === 'unsatisfiable') return void response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
      if (!range) return void response.writeHead(200).end(bytes);
      response
        .writeHead(206, { 'Content-Range': `bytes ${range.start}-${range.end}/${bytes.length}` })
        .end(bytes.subarray(range.start, range.end + 1));
    });
  });
  afterAll(() => server.close());

  it('is the same, with and without ranges', async () => {
    for (ranges of [true, false]) {
      const directory = await httpDirectory(base());
      const { dataset } = await openDataset(directory, { checkImages: true });
      expect(await datasetHash(dataset, directory)).toBe(await expected());
      expect(await readPart(directory, 'labels/b.txt', 0, 5)).toEqual({ bytes: new Uint8Array(0), size: 0 });
      expect(await readPart(directory, 'data.yaml', 1, 4)).toEqual({ bytes: bytesOf('rai'), size: 25 });
    }
  });

  it('fetches no more of a picture than is looked at', async () => {
    ranges = true;
    asked = [];
    const directory = await httpDirectory(base(), ['images/b.png']);
    await readPart(directory, 'images/b.png', 0, 1);
    expect(asked).toEqual(['images/b.png bytes=0-0']);
  });

  it('says what is missing', async () => {
    const directory = await httpDirectory(base(), ['none', 'broken']);
    await expect(readText(directory, 'none')).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringContaining('no such file') });
    await expect(readText(directory, 'broken')).rejects.toMatchObject({ code: 'E_DATA', message: 'broken: the server answers 500' });
    await expect(httpDirectory(`${server.origin}/nothing/`)).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(httpDirectory('http://127.0.0.1:9/')).rejects.toMatchObject({
      code: 'E_DATA',
      message: expect.stringContaining('cannot be reached'),
    });
  });
});
