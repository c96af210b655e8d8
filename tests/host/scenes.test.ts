import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDataset } from '../../src/data/open.ts';
import { generateScene, renderScene } from '../../src/data/scenes/scene.ts';
import { parseCommand } from '../../src/host/args.ts';
import { scenes } from '../../src/host/commands/data/scenes.ts';
import { nodeDirectory } from '../../src/host/data-directory.ts';
import { createIo } from '../../src/host/io.ts';
import { packagedSprites, type SceneSet, writeScenes } from '../../src/host/scenes.ts';

const root = mkdtempSync(join(tmpdir(), 'backdrop-scenes-'));
const set = (name: string, more: Partial<SceneSet> = {}): SceneSet => ({
  out: join(root, name),
  seed: 4,
  images: 10,
  width: 96,
  height: 72,
  split: [0.5, 0.3, 0.2],
  elsewhere: 0.15,
  regions: true,
  ...more,
});
const files = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
const hashes = (folder: string) =>
  files(folder).map((file) => [file.slice(folder.length), createHash('sha256').update(readFileSync(file)).digest('hex')]);
const write = (each: SceneSet, signal = new AbortController().signal) => writeScenes(each, () => {}, signal);

beforeAll(() => write(set('a')), 120_000);
afterAll(() => rmSync(root, { recursive: true }));

/** Runs the command; what it says for machines. */
async function run(...argv: string[]): Promise<{ code: number; said: Record<string, unknown>[] }> {
  const text: string[] = [];
  const stream = (sink: string[]) => ({ write: (line: string) => sink.push(line) > 0, isTTY: false }) as unknown as NodeJS.WriteStream;
  const options = { json: true, debug: false, signal: new AbortController().signal, stdout: stream(text), stderr: stream([]) };
  const code = await scenes.run(parseCommand(scenes.spec, argv), createIo(options));
  return { code, said: text.map((line) => JSON.parse(line)) };
}

it('is made by the command', async () => {
  const out = join(root, 'command');
  const { code, said } = await run('--out', out, '--images', '10', '--seed', '4', '--size', '96x72', '--split', '0.5,0.3,0.2');
  expect(code).toBe(0);
  const splits = { train: { images: 5 }, val: { images: 3 }, test: { images: 2 } };
  expect(said).toMatchObject([{ type: 'data scenes', out, seed: 4, width: 96, height: 72, splits }]);
  expect(hashes(out)).toEqual(hashes(join(root, 'a')));
});

it('names the option that is wrong', async () => {
  const wrong = (...argv: string[]) => run(...argv).catch((error: Error) => error.message);
  const out = join(root, 'never');
  expect(await wrong('--images', '3')).toContain('--out');
  expect(await wrong('--out', out)).toContain('--images');
  expect(await wrong('--out', out, '--images', '0')).toContain('--images is "0"');
  expect(await wrong('--out', out, '--images', '3', '--seed', '-1')).toContain('--seed is "-1"');
  for (const size of ['640', '640x', '0x0', '50x50', '640x4800', '9000x6000', '640x480x3']) {
    expect(await wrong('--out', out, '--images', '3', '--size', size)).toContain(`--size is "${size}"`);
  }
  for (const split of ['1', '0.5,0.5', '0.8,0.1,0.2', '1.1,-0.1,0', 'a,b,c', '0.5,0.5,', '0.4,0.3,0.2,0.1']) {
    expect(await wrong('--out', out, '--images', '3', '--split', split)).toContain(`--split is "${split}"`);
  }
  expect(existsSync(out)).toBe(false);
});

it('is a data set that the reader finds nothing wrong with', async () => {
  const { dataset, problems } = await openDataset(nodeDirectory(join(root, 'a')), { checkImages: true });
  expect(problems).toEqual([]);
  expect([...dataset.splits].map(([name, { length }]) => [name, length])).toEqual([
    ['train', 5],
    ['val', 3],
    ['test', 2],
  ]);
  expect(dataset.categories).toHaveLength(16);
  const sprites = await packagedSprites();
  const records = [...dataset.splits.values()].flat();
  for (const [index, { file, width, height, annotations }] of records.entries()) {
    const { annotations: expected, regions } = renderScene(generateScene(4, index), 96, sprites);
    expect([file, width, height]).toEqual([`images/scene-${String(index + 1).padStart(6, '0')}.png`, 96, 72]);
    expect(annotations.map(({ label, box, area }) => ({ label, box, area }))).toEqual(
      expected.map(({ label, box, area }) => ({ label, box, area })),
    );
    const text = readFileSync(join(root, 'a', file.replace('images', 'labels').replace('.png', '.regions.txt')), 'utf8');
    const rows = text.trimEnd().split('\n');
    expect(rows).toHaveLength(72);
    expect(rows.flatMap((row) => row.split(' ').map(Number))).toEqual([...regions]);
  }
});

it('is the same again from the same seed, and another from another', async () => {
  await write(set('b'));
  expect(hashes(join(root, 'b'))).toEqual(hashes(join(root, 'a')));
  await write(set('c', { seed: 5, images: 2, regions: false, split: [0, 0, 1] }));
  expect(hashes(join(root, 'c')).map(([file]) => file)).toEqual([
    '/LICENSE-sprites.txt',
    '/README.md',
    '/images/scene-000001.png',
    '/images/scene-000002.png',
    '/test.json',
  ]);
  expect(readFileSync(join(root, 'c/images/scene-000001.png'))).not.toEqual(readFileSync(join(root, 'a/images/scene-000001.png')));
});

it('overwrites nothing', async () => {
  mkdirSync(join(root, 'full'));
  writeFileSync(join(root, 'full/mine.txt'), 'mine');
  await expect(write(set('full'))).rejects.toMatchObject({ code: 'E_FILE_EXISTS' });
  expect(files(join(root, 'full'))).toEqual([join(root, 'full/mine.txt')]);
  await expect(write(set('full/mine.txt'))).rejects.toMatchObject({ code: 'E_FILE_EXISTS' });
});

it('has no label file when it was interrupted', async () => {
  const abort = new AbortController();
  const progress = (done: number) => done === 3 && abort.abort(new Error('interrupted'));
  await expect(writeScenes(set('half'), progress, abort.signal)).rejects.toThrow('interrupted');
  expect(files(join(root, 'half')).filter((file) => file.endsWith('.json'))).toEqual([]);
  expect(readdirSync(join(root, 'half/images'))).toHaveLength(3);
});

it('says what it cannot write', async () => {
  writeFileSync(join(root, 'file'), '');
  await expect(write(set('file/below'))).rejects.toMatchObject({ code: 'E_FILE_WRITE' });
});
