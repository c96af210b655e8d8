/** "backdrop data" as people call it, on a set of three pictures that is written here. */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readText } from '../../src/data/directory.ts';
import { dataPlace, nodeDirectory } from '../../src/host/data-directory.ts';
import { setup } from '../../src/host/setup.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { png } from '../data/memory.ts';

const program = join(root, 'src/host/backdrop.mjs');
let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'data', ...args], { encoding: 'utf8', cwd: folder });
  return {
    status,
    stdout,
    stderr,
    lines: () =>
      stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
  };
};
const write = (path: string, content: string | Uint8Array) => {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
};
const json = (names: string[], width = 40) =>
  JSON.stringify({
    images: names.map((file_name, i) => ({ id: i + 1, file_name, width, height: 30 })),
    annotations: names.map((_, i) => ({ id: i + 1, image_id: i + 1, category_id: 1, bbox: [1.5, 2, 10, 20] })),
    categories: [{ id: 1, name: 'cell' }],
  });

beforeAll(() => setup({ chrome: false }), 600_000);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'backdrop-data-'));
  write('set/train.json', json(['a.png', 'b.png']));
  write('set/val.json', json(['c.png']));
  for (const [i, name] of ['a', 'b', 'c'].entries()) write(`set/images/${name}.png`, png(40, 30, i));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('backdrop data', { timeout: 60_000 }, () => {
  it('says what it can do', () => {
    expect(run()).toMatchObject({ status: 2, stdout: expect.stringContaining('data convert') });
    expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('data get') });
    expect(run('chek', 'set')).toMatchObject({ status: 2, stderr: expect.stringContaining('did you mean "data check"?') });
    expect(run('convert', 'set', '--to', 'yolo')).toMatchObject({ status: 2, stderr: expect.stringContaining('--out DIR is missing') });
    expect(run('check', 'nowhere')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('E_DATA: nowhere: there is no such folder or file'),
    });
  });

  it('check: exit code 0 when sound, 1 for errors, and for warnings when strict', () => {
    expect(run('check', 'set')).toMatchObject({ status: 0, stdout: expect.stringContaining('nothing wrong') });
    write('set/val.json', json(['c.png'], 41));
    expect(run('check', 'set')).toMatchObject({ status: 0, stdout: expect.stringContaining('0 errors, 1 warnings') });
    const strict = run('check', 'set', '--strict', '--json');
    expect(strict.status).toBe(1);
    expect(strict.lines()).toMatchObject([
      {
        type: 'problem',
        severity: 'warning',
        code: 'image-size',
        file: 'val.json',
        id: 1,
        message: 'val.json: images/c.png has 40 × 30 pixels, the labels say 41 × 30; the file counts',
      },
      {
        type: 'data check',
        format: 'coco',
        classes: ['cell'],
        splits: [
          { split: 'train', images: 2, boxes: 2 },
          { split: 'val', images: 1, boxes: 1 },
        ],
        errors: 0,
        warnings: 1,
        sound: false,
      },
    ]);
    write('set/val.json', '{"images": [');
    expect(run('check', 'set')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('val.json:1:13: broken JSON: the text ends where a value was expected'),
    });
    expect(run('check', 'set/train.json').status).toBe(0);
  });

  it('convert: there and back, copied or linked, overwriting nothing', () => {
    expect(run('convert', 'set', '--to', 'yolo', '--out', 'yolo')).toMatchObject({
      status: 0,
      stdout: 'YOLO in yolo: train 2, val 1 images\n',
    });
    expect(readFileSync(at('yolo/images/train/a.png')).equals(readFileSync(at('set/images/a.png')))).toBe(true);
    expect(run('convert', 'yolo', '--to', 'coco', '--out', 'back', '--images', 'link').status).toBe(0);
    expect(lstatSync(at('back/val/c.png')).isSymbolicLink()).toBe(true);
    expect(JSON.parse(readFileSync(at('back/annotations/instances_train.json'), 'utf8')).annotations[0].bbox).toEqual(
      [1.5, 2, 10, 20].map((value) => expect.closeTo(value, 12)),
    );
    expect(run('check', 'back').status).toBe(0);
    const again = run('convert', 'set', '--to', 'voc', '--out', 'yolo');
    expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining('E_FILE_EXISTS: yolo exists already') });
    expect(readdirSync(at('yolo')).sort()).toEqual(['data.yaml', 'images', 'labels']);
  });

  it('convert: a place that cannot be written to, and a set with errors, leave nothing behind', () => {
    expect(run('convert', 'set', '--to', 'yolo', '--out', '/proc/nowhere/out')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('E_FILE_WRITE'),
    });
    write('set/val.json', '{}');
    expect(run('convert', 'set', '--to', 'yolo', '--out', 'yolo')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('"images": expected a list, found nothing'),
    });
    expect(readdirSync(folder)).toEqual(['set']);
  });

  it('split: the same for the same seed', () => {
    expect(run('split', 'set', '--out', 'one', '--val', '0.34', '--seed', '3', '--to', 'voc').status).toBe(0);
    expect(run('split', 'set', '--out', 'two', '--val', '0.34', '--seed', '3', '--to', 'voc', '--images', 'link').status).toBe(0);
    const lists = (set: string) => ['train', 'val'].map((split) => readFileSync(at(set, `ImageSets/Main/${split}.txt`), 'utf8'));
    expect(lists('one')).toEqual(lists('two'));
    expect(lists('one').map((text) => text.split('\n').length - 1)).toEqual([2, 1]);
    expect(run('split', 'set', '--out', 'three', '--val', '1')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('leave nothing for train'),
    });
  });

  it('stats: numbers for people and machines', () => {
    expect(run('stats', 'set').stdout).toMatch(/cell +2 +2 +1 +1\n/);
    expect(run('stats', 'set', '--json').lines()).toMatchObject([
      { type: 'data stats', hash: expect.stringMatching(/^[0-9a-f]{64}$/), splits: [{ images: 2 }, { images: 1 }] },
    ]);
  });
});

describe('a folder of the disk', () => {
  it('lists its files, those behind links too, none twice, hidden ones not', async () => {
    write('set/.git/config', 'x');
    write('elsewhere/d.png', 'x');
    symlinkSync(at('elsewhere'), at('set/linked'));
    symlinkSync(at('set'), at('set/loop'));
    symlinkSync(at('nowhere'), at('set/broken'));
    const files = await nodeDirectory(at('set')).list();
    expect(files).toEqual(['images/a.png', 'images/b.png', 'images/c.png', 'linked/d.png', 'train.json', 'val.json']);
  });

  it('reads a file, or says that it cannot', async () => {
    const directory = nodeDirectory(at('set'));
    expect(JSON.parse(await readText(directory, 'val.json')).images).toHaveLength(1);
    await expect(directory.read('none.json')).rejects.toMatchObject({ code: 'E_DATA', details: { file: 'none.json' } });
    await expect(nodeDirectory(at('none')).list()).rejects.toMatchObject({ code: 'E_DATA' });
    write('set/utf16.json', new Uint8Array([0xff, 0xfe, 0x7b, 0]));
    await expect(readText(directory, 'utf16.json')).rejects.toMatchObject({ message: 'utf16.json: this is UTF-16, not UTF-8' });
  });

  it('is found by the file that describes the set', async () => {
    write('coco/annotations/instances_val2017.json', json(['c.png']));
    expect(await dataPlace(at('coco/annotations/instances_val2017.json'))).toMatchObject({
      root: at('coco'),
      file: 'annotations/instances_val2017.json',
    });
    expect(await dataPlace(at('set/val.json'))).toMatchObject({ root: at('set'), file: 'val.json' });
    const place = await dataPlace(at('set'));
    expect([place.root, place.file]).toEqual([at('set'), undefined]);
  });
});
