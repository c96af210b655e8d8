import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDataset } from '../../src/data/open.ts';
import { generateScene, renderScene } from '../../src/data/scenes/scene.ts';
import { nodeDirectory } from '../../src/host/data-directory.ts';
import { packagedSprites, type SceneSet, writeScenes } from '../../src/host/scenes.ts';

const root = mkdtempSync(join(tmpdir(), 'backdrop-scenes-'));
const set = (name: string, more: Partial<SceneSet> = {}): SceneSet => ({
  out: join(root, name),
  seed: 4,
  images: 10,
  width: 120,
  height: 90,
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

beforeAll(() => write(set('a')));
afterAll(() => rmSync(root, { recursive: true }));

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
    const { annotations: expected, regions } = renderScene(generateScene(4, index), 120, sprites);
    expect([file, width, height]).toEqual([`images/scene-${String(index + 1).padStart(6, '0')}.png`, 120, 90]);
    expect(annotations.map(({ label, box, area }) => ({ label, box, area }))).toEqual(
      expected.map(({ label, box, area }) => ({ label, box, area })),
    );
    const text = readFileSync(join(root, 'a', file.replace('images', 'labels').replace('.png', '.regions.txt')), 'utf8');
    const rows = text.trimEnd().split('\n');
    expect(rows).toHaveLength(90);
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
