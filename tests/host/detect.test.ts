import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { page } from '../setup/gpu.ts';
import { formulaFile } from '../weights-tools/formula-file.ts';
import { writeWeights } from './weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-detect-'));
const picture = join(folder, 'picture.png');
let weights: string;

const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'src/host/backdrop.mjs'), 'detect', ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
};

beforeAll(async () => {
  weights = writeWeights(folder);
  writeFileSync(picture, await page.call<Uint8Array>('make picture', { type: 'image/png', width: 200, height: 120 }));
  writeFileSync(join(folder, 'text.jpg'), 'no picture');
  writeFileSync(join(folder, 'pointer.pth'), 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 170000000\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('backdrop detect', () => {
  it('gives JSON lines, annotated pictures, and goes on after a bad picture', () => {
    const out = join(folder, 'out');
    const few = ['--weights', weights, '--size', '160', '--threshold', '0.01', '--max', '3'];
    const { status, stdout, stderr } = run(picture, join(folder, 'text.jpg'), ...few, '--json', '--out', out);
    const [fit, found, bad] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(fit).toMatchObject({ type: 'weights', model: 'rtdetr-r18', loaded: 533, missing: [], unexpected: [], misshaped: [] });
    expect(found).toMatchObject({ type: 'detections', image: picture, width: 200, height: 120, model: 'rtdetr-r18' });
    expect(found.detections).toHaveLength(3);
    for (const { score, label, box } of found.detections) {
      expect(score).toBeGreaterThanOrEqual(0.01);
      expect(label).toBeTypeOf('string');
      expect(Object.keys(box)).toEqual(['xmin', 'ymin', 'xmax', 'ymax']);
    }
    expect(Object.keys(found.timings)).toEqual(['decode', 'preprocess', 'inference', 'postprocess']);
    expect(bad).toMatchObject({ type: 'error', code: 'E_IMAGE' });
    expect(status).toBe(1);
    expect(readdirSync(out)).toEqual(['picture.detected.png']);
    if (found.adapter.software) expect(stderr).toContain('software adapter');
  });

  it('takes .pth files and names for the classes, and says what became of the heads', async () => {
    const pth = join(folder, 'r18.pth');
    writeFileSync(pth, await formulaFile('rtdetr-r18'));
    writeFileSync(join(folder, 'names.txt'), 'red\nwhite\n\nplatelet\n');
    const few = ['--size', '160', '--threshold', '0', '--max', '2', '--classes', join(folder, 'names.txt')];
    const { status, stdout, stderr } = run(picture, '--weights', pth, ...few, '--out', join(folder, 'named'));
    expect(stderr).toContain('RT-DETR v1, ResNet-18, from ema.module');
    expect(stderr).toContain('80 → 3 classes: decoder.*.score_head re-initialised');
    expect(stdout).toMatch(/^ {2}0\.\d+ {2}(red|white|platelet) /m);
    expect(stdout).toMatch(/decode .* ms, pre .* ms, inference .* ms, post .* ms/);
    expect(status).toBe(0);
  });

  it('looks at the sample scenes with the embedded model when nothing is named', () => {
    const { status, stdout } = run('--json', '--threshold', '0.4');
    expect(status).toBe(0);
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; image?: string; detections?: { label: string }[] })
      .filter(({ type }) => type === 'detections');
    const { images, annotations, categories } = JSON.parse(readFileSync(join(root, 'demo/samples/test.json'), 'utf8')) as {
      images: { id: number; file_name: string }[];
      annotations: { image_id: number; category_id: number }[];
      categories: { id: number; name: string }[];
    };
    expect(results).toHaveLength(images.length);
    // What the labels name and the model finds, by kind: most of it, or this is not the trained model.
    const kinds = images.map(({ id, file_name }) => {
      const ids = new Set(annotations.filter(({ image_id }) => image_id === id).map(({ category_id }) => category_id));
      const named = categories.filter((category) => ids.has(category.id)).map(({ name }) => name);
      const found = new Set(results.find(({ image }) => image?.endsWith(file_name))?.detections?.map(({ label }) => label));
      return { named: named.length, found: named.filter((name) => found.has(name)).length };
    });
    const sum = (key: 'named' | 'found') => kinds.reduce((total, kind) => total + kind[key], 0);
    expect(sum('found')).toBeGreaterThan(sum('named') / 2);
  });

  it.each([
    ['no such weights', () => [picture, '--weights', join(folder, 'none')], 1, 'E_FILE_MISSING'],
    ['no such picture', () => [join(folder, 'none.jpg'), '--weights', weights], 1, 'E_IMAGE'],
    ['a size that is no multiple of 32', () => [picture, '--weights', weights, '--size', '100'], 2, 'a multiple of 32'],
    ['a threshold above 1', () => [picture, '--weights', weights, '--threshold', '50'], 2, 'from 0 to 1'],
    ['a picture for weights', () => [picture, '--weights', picture], 1, 'an image'],
    ['a Git LFS pointer for weights', () => [picture, '--weights', join(folder, 'pointer.pth')], 1, 'git lfs pull'],
    ['a folder for weights', () => [picture, '--weights', folder], 1, 'this is a directory'],
    ['an unknown model', () => [picture, '--weights', weights, '--model', 'rtdetr-r19'], 1, 'rtdetr-r1'],
    ['a model that the weights do not fit', () => [picture, '--weights', weights, '--model', 'rtdetr-r50'], 1, 'E_CKPT_'],
  ])('with %s it stops, says why, and leaves nothing behind', (_, args, code, words) => {
    const before = readdirSync(folder);
    const { status, stdout, stderr } = run(...args(), '--out', join(folder, 'nothing'));
    expect({ status, stdout }).toEqual({ status: code, stdout: '' });
    expect(stderr).toContain(words);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(existsSync(join(folder, 'nothing'))).toBe(false);
    expect(readdirSync(folder)).toEqual(before);
  });
});
