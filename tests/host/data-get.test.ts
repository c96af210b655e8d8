import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackdropError } from '../../src/errors.ts';
import { getPublicSet } from '../../src/host/commands/data/get.ts';
import { type DownloadOptions, download, type RemoteFile } from '../../src/host/download.ts';
import { createIo } from '../../src/host/io.ts';
import { publicSets } from '../../src/host/public-sets.ts';
import { checkName, unzipTo } from '../../src/host/unzip.ts';
import { type Member, zip } from '../weights-tools/archives.ts';

let folder: string;
let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let requests: IncomingMessage[];
let base: string;
const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) ^ (i >> 8));
const md5 = createHash('md5').update(content).digest('hex');
const signal = new AbortController().signal;
const options: DownloadOptions = { signal, onProgress: () => {}, pauseMs: 1, stallMs: 300 };
const io = createIo({ json: true, debug: false, signal, stderr: { write: () => true } as unknown as NodeJS.WriteStream });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'backdrop-get-'));
  requests = [];
  answer = serve(content);
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** A server that knows ranges; it breaks off after `cut` bytes of an answer. */
const serve =
  (bytes: Uint8Array, { tag = '"v1"', cut = Number.POSITIVE_INFINITY }: { tag?: string | undefined; cut?: number } = {}) =>
  ({ headers }: IncomingMessage, response: ServerResponse): void => {
    const wanted = headers['if-range'] === undefined || headers['if-range'] === tag ? headers.range?.match(/^bytes=(\d+)-$/) : undefined;
    const start = wanted ? Number(wanted[1]) : 0;
    if (start >= bytes.length) return void response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
    const rest = bytes.subarray(start);
    response.writeHead(wanted ? 206 : 200, {
      'Content-Length': rest.length,
      ...(tag ? { ETag: tag } : {}),
      ...(wanted ? { 'Content-Range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    if (cut >= rest.length) response.end(rest);
    else response.write(rest.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  };

const target = () => join(folder, 'sub', 'file.zip');
const fetchFile = (file: Partial<RemoteFile> = {}, more: Partial<DownloadOptions> = {}) =>
  download({ url: `${base}/file.zip`, ...file }, target(), { ...options, ...more });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

describe('a download', () => {
  it('gives the bytes, checked, and leaves nothing else', async () => {
    const seen: number[] = [];
    await fetchFile({ size: content.length, md5 }, { onProgress: (done, total) => seen.push(done / total!) });
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(readdirSync(join(folder, 'sub'))).toEqual(['file.zip']);
    expect(seen.at(-1)).toBe(1);
    await fetchFile({ md5 });
    expect(requests).toHaveLength(1);
  });

  it('goes on where the connection broke', async () => {
    answer = serve(content, { cut: 80_000 });
    await fetchFile({ md5 });
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(requests.length).toBeGreaterThan(3);
    const starts = requests.map(({ headers }) => Number(headers.range?.match(/\d+/)?.[0] ?? 0));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
  });

  it('goes on where an earlier call was interrupted', async () => {
    const stop = new AbortController();
    answer = serve(content, { cut: 100_000 });
    const first = failure(
      fetchFile({}, { signal: stop.signal, onProgress: () => setTimeout(() => stop.abort(new Error('interrupted')), 1) }),
    );
    expect(await first).toMatchObject({ message: expect.stringMatching(/abort|interrupted/) });
    const had = readFileSync(`${target()}.part`).length;
    expect(had).toBeGreaterThan(0);
    answer = serve(content);
    await fetchFile();
    expect(requests.at(-1)!.headers.range).toBe(`bytes=${had}-`);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it.each([
    ['another version', '"v2"'],
    ['no word on its version', undefined],
  ])('begins anew when the server has %s', async (_, tag) => {
    mkdirSync(join(folder, 'sub'));
    writeFileSync(`${target()}.part`, 'old bytes');
    writeFileSync(
      `${target()}.part.json`,
      JSON.stringify({ url: `${base}/file.zip`, ...(tag ? { version: '"v1"' } : {}), total: content.length }),
    );
    answer = serve(content, { tag });
    await fetchFile();
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it('begins anew when the server ignores ranges, or has less than there was', async () => {
    const parts = () => {
      mkdirSync(join(folder, 'sub'), { recursive: true });
      writeFileSync(`${target()}.part`, new Uint8Array(content.length + 10));
      writeFileSync(`${target()}.part.json`, JSON.stringify({ url: `${base}/file.zip`, version: '"v1"', total: content.length + 20 }));
    };
    parts();
    await fetchFile({ md5 });
    expect(readFileSync(target()).equals(content)).toBe(true);
    rmSync(target());
    parts();
    answer = (_, response) => void response.writeHead(200, { 'Content-Length': content.length }).end(content);
    await fetchFile({ md5 });
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  it.each<[string, Partial<RemoteFile>, RegExp]>([
    ['sum', { md5: '0'.repeat(32) }, /MD5 sum is [0-9a-f]{32}, expected 0{32}/],
    ['size', { size: 17 }, /300000 bytes, expected 17/],
  ])('with a wrong %s is refused and removed', async (_, file, message) => {
    expect(await failure(fetchFile(file))).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(message) });
    expect(readdirSync(join(folder, 'sub'))).toEqual([]);
  });

  it('leaves a wrong file alone that somebody has put there', async () => {
    mkdirSync(join(folder, 'sub'));
    writeFileSync(target(), 'mine');
    expect(await failure(fetchFile({ md5 }))).toMatchObject({ code: 'E_DATA', hint: expect.stringContaining('Remove') });
    expect(readFileSync(target(), 'utf8')).toBe('mine');
  });

  it('says what to do without a network', async () => {
    const error = await failure(download({ url: 'http://127.0.0.1:9/file.zip' }, target(), options));
    expect(error).toMatchObject({
      code: 'E_NETWORK',
      message: expect.stringMatching(/^http:\/\/127\.0\.0\.1:9\/file\.zip: cannot be reached \(/),
      hint: expect.stringContaining(target()),
    });
  });

  it('gives up on a silent server, and on one that says no', async () => {
    answer = () => {};
    expect(await failure(fetchFile({}, { stallMs: 30 }))).toMatchObject({
      code: 'E_NETWORK',
      message: expect.stringContaining('nothing for 0.03 s'),
    });
    expect(requests).toHaveLength(4);
    answer = (_, response) => void response.writeHead(404).end();
    expect(await failure(fetchFile())).toMatchObject({ code: 'E_NETWORK', message: expect.stringContaining('answers 404') });
    expect(requests).toHaveLength(5);
  });
});

const archiveOf = (members: readonly Member[]) => {
  const path = join(folder, 'a.zip');
  writeFileSync(path, zip(members));
  return path;
};
const bytes = (text: string) => new TextEncoder().encode(text);
const unzip = (members: readonly Member[], maxBytes = 1000) =>
  unzipTo(archiveOf(members), join(folder, 'out'), { place: (name) => name, maxBytes, signal, onProgress: () => {} });

describe('an archive', () => {
  it('is unpacked: stored and deflated members, folders made as needed', async () => {
    const members = [
      { name: 'x/', content: bytes('') },
      { name: 'x/y/a.txt', content: bytes('a'.repeat(300)), deflate: true },
      { name: 'b.txt', content: bytes('b') },
    ];
    expect(await unzip(members)).toBe(2);
    expect(readFileSync(join(folder, 'out/x/y/a.txt'), 'utf8')).toBe('a'.repeat(300));
    expect(readFileSync(join(folder, 'out/b.txt'), 'utf8')).toBe('b');
  });

  it.each(['../evil', 'x/../../evil', '/evil', 'C:evil', 'x\\..\\evil', '..', 'x//evil', 'x/\0evil', '../'])(
    'with a member "%s" is refused whole',
    async (name) => {
      expect(
        await failure(
          unzip([
            { name: 'good', content: bytes('x') },
            { name, content: bytes(name.endsWith('/') ? '' : 'x') },
          ]),
        ),
      ).toMatchObject({ code: 'E_DATA', message: expect.stringContaining('outside of the folder') });
      expect(existsSync(join(folder, 'out'))).toBe(false);
      expect(readdirSync(folder)).toEqual(['a.zip']);
    },
  );

  it('of any names stays within its folder or is refused', () => {
    const part = fc.constantFrom('..', '.', '', 'a', 'b ', '\\', '\0', 'C:', '...');
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const name = parts.join('/');
        try {
          checkName(name, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(BackdropError);
          return;
        }
        expect(`${join('/root/folder', name)}/`.startsWith('/root/folder/')).toBe(true);
        expect(name).not.toMatch(/\\|\0|^[A-Z]:/);
      }),
    );
  });

  it('that is damaged, no archive, too large, or would overwrite a file is refused', async () => {
    const good = { name: 'a', content: bytes('0123456789') };
    expect(await failure(unzip([{ ...good, crc: 1 }]))).toMatchObject({ code: 'E_DATA', message: expect.stringContaining('damaged') });
    expect(await failure(unzip([good], 9))).toMatchObject({ code: 'E_DATA', message: expect.stringContaining('at most 9') });
    writeFileSync(join(folder, 'page.html'), '<html>');
    expect(
      await failure(unzipTo(join(folder, 'page.html'), folder, { place: () => 'x', maxBytes: 9, signal, onProgress: () => {} })),
    ).toMatchObject({ code: 'E_DATA' });
    expect(
      await failure(
        unzip([
          { ...good, name: 'a/b' },
          { ...good, name: 'a' },
        ]),
      ),
    ).toMatchObject({ code: 'E_FILE_WRITE' });
  });
});

describe('a public data set', () => {
  const annotation =
    '<annotation><object><name>RBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>';
  const packed = zip([
    { name: 'BCCD_Dataset-master/README.md', content: bytes('x') },
    { name: 'BCCD_Dataset-master/LICENSE', content: bytes('MIT') },
    { name: 'BCCD_Dataset-master/BCCD/Annotations/a.xml', content: bytes(annotation), deflate: true },
    { name: 'BCCD_Dataset-master/BCCD/ImageSets/Main/train.txt', content: bytes('a\n') },
  ]);
  const here = () => ({
    archives: publicSets.find(({ name }) => name === 'bccd')!.archives.map((archive) => ({ ...archive, url: `${base}/x.zip` })),
  });

  it('is fetched, unpacked, and its archive removed', async () => {
    answer = serve(packed);
    await getPublicSet(here(), join(folder, 'bccd'), io);
    expect(readdirSync(folder)).toEqual(['bccd']);
    expect(readdirSync(join(folder, 'bccd')).sort()).toEqual(['Annotations', 'ImageSets', 'LICENSE']);
    expect(await failure(getPublicSet(here(), join(folder, 'bccd'), io))).toMatchObject({ code: 'E_FILE_EXISTS' });
  });

  it('takes an archive that was brought there by hand', async () => {
    mkdirSync(join(folder, 'bccd.download'));
    writeFileSync(join(folder, 'bccd.download', 'BCCD_Dataset-master.zip'), packed);
    await getPublicSet(here(), join(folder, 'bccd'), io);
    expect(requests).toHaveLength(0);
    expect(existsSync(join(folder, 'bccd/Annotations/a.xml'))).toBe(true);
  });

  it('leaves no half a folder behind', async () => {
    answer = serve(packed.slice(0, -5));
    expect(await failure(getPublicSet(here(), join(folder, 'bccd'), io))).toMatchObject({
      code: 'E_DATA',
      message: expect.stringContaining('damaged or incomplete'),
    });
    expect(readdirSync(folder)).toEqual(['bccd.download']);
  });

  it('is named with an address, and a sum where the publisher has one', () => {
    for (const { archives } of publicSets) {
      for (const { url, md5: sum, size } of archives) {
        expect(url).toMatch(/^https?:\/\/[^/]+\/.+\.zip$/);
        if (url.includes('cocodataset')) expect([sum, size]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), expect.any(Number)]);
      }
    }
  });
});
