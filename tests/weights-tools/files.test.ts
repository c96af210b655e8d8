/** Every fixture behaves as files.json says: loads bit-exactly, is refused by name, or is reported as damaged. */
import { openAsBlob } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/checkpoints/index.ts';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { errorOf, type FileCase, fixture, fixtureJson, fixturePath, sha256 } from '../checkpoints/fixtures.ts';

const cases = fixtureJson<FileCase[]>('files.json');

async function open(name: string): Promise<TensorSource> {
  return openCheckpoint(await openAsBlob(fixturePath(name)), { fileName: name.split('/').pop()! });
}

async function hashes(source: TensorSource): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { name, dtype, shape } of source.tensors.values()) {
    found.set(name, `${dtype} [${shape}] ${sha256(await source.readBytes(name))}`);
  }
  return found;
}

/** Opens and reads everything: damage may show only there. */
async function readAll(name: string): Promise<Map<string, string>> {
  return hashes(await open(name));
}

async function expectLoads({ file, tensors, more }: FileCase): Promise<void> {
  const found = await readAll(file);
  for (const [name, [dtype, shape, hash]] of Object.entries(tensors!)) expect(found.get(name), name).toBe(`${dtype} [${shape}] ${hash}`);
  if (!more) expect(found.size).toBe(Object.keys(tensors!).length);
}

describe('fixtures', () => {
  it('are all there', () => {
    expect(cases).toHaveLength(62);
  });
  it.each(cases.filter(({ expect }) => expect.startsWith('load')))('$file loads bit by bit', expectLoads);
  it.each(cases.filter(({ expect }) => expect === 'refuse'))('$file is refused because of $global', async ({ file, global }) => {
    const error = await errorOf(open(file));
    expect(error.code).toBe('E_CKPT_GLOBAL');
    expect(error.message).toContain(global);
    expect(error.details.global).toBe(global);
    expect(error.hint).toContain('save_file');
  });
  it.each(cases.filter(({ expect }) => expect === 'error'))('$file is an error that names the file', async ({ file }) => {
    const error = await errorOf(readAll(file));
    expect(error.message).toContain(file.split('/').pop());
    expect(error.hint).toBeTruthy();
  });
  it.each(cases.filter(({ expect }) => expect === 'error-or-identical'))(
    '$file is an error, or loads what it should',
    async ({ file, undamaged }) => {
      let found: Map<string, string>;
      try {
        found = await readAll(file);
      } catch {
        await errorOf(readAll(file));
        return;
      }
      expect(found).toEqual(await readAll(undamaged!));
    },
  );
  it('a flipped bit in data without a checksum ends somehow', async () => {
    for (const { file } of cases.filter(({ expect }) => expect === 'anything')) await readAll(file);
  });
});

describe('what the errors say', () => {
  const damage = (bytes: Uint8Array<ArrayBuffer>, fileName: string) => errorOf(openCheckpoint(bytes, { fileName }));
  it.each([
    ['golden/damaged-zip-short-storage.pth', 'E_CKPT_STORAGE', '424 bytes; 108 f32 take 432'],
    ['golden/damaged-zip-missing-storage.pth', 'E_CKPT_STORAGE', 'storage "1" (4 f32) is missing'],
    ['golden/damaged-small-good-bitflip-in-data.pth', 'E_CKPT_CRC', 'data/0'],
    ['golden/damaged-small-good-truncated-50.pth', 'E_CKPT_TRUNCATED', '1335 bytes'],
    ['golden/damaged-small-good-legacy-truncated-50.pth', 'E_CKPT_TRUNCATED', '789 bytes'],
    ['golden/damaged-truncated.safetensors', 'E_CKPT_TRUNCATED', 'cut off'],
    ['torch213/hostile-lfs_pointer.pth', 'E_CKPT_NOT_CHECKPOINT', 'Git LFS pointer'],
    ['torch213/hostile-html.pth', 'E_CKPT_NOT_CHECKPOINT', 'web page'],
    ['golden/damaged-empty.pth', 'E_CKPT_NOT_CHECKPOINT', 'empty'],
  ])('%s: %s', async (file, code, words) => {
    const error = await errorOf(readAll(file));
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
  });
  it.each([
    ['../../weights/r50.pth\n', 'symlink', 'symbolic link to ../../weights/r50.pth'],
    ['\x1f\x8b\x08', 'gzip', 'gzip'],
    ['\x89HDF\r\n\x1a\n', 'h5', 'HDF5'],
    ['\x1c\0\0\0TFL3', 'tflite', 'TensorFlow Lite'],
    ['\x08\x07\x12\x07pytorch\x1a\x05', 'onnx', 'ONNX'],
    ['\x80\x04\x95\x10\0\0\0', 'pdparams', 'pickle'],
    [`${'a'.repeat(257)}ustar`, 'tar', 'tar'],
    ['{"model_type": "rt_detr"}', 'json', 'JSON'],
    ['\x89PNG\r\n\x1a\n', 'image', 'image'],
    ['\n<html lang="en">', 'html', 'web page'],
    ['hello world', 'unknown', 'of no known format'],
  ])('%j is called %s', async (content, kind, words) => {
    const error = await damage(
      Uint8Array.from(content, (char) => char.charCodeAt(0)),
      'weights.pth',
    );
    expect(error.code).toBe('E_CKPT_NOT_CHECKPOINT');
    expect(error.details.kind).toBe(kind);
    expect(error.message).toContain(words);
  });
  it('a cut header of the legacy format is a cut file', async () => {
    expect((await damage(fixture('golden/small-good-legacy.pth').slice(0, 9), 'x.pth')).code).toBe('E_CKPT_TRUNCATED');
  });
  it('a file of the right name and the wrong content is judged as what its name says', async () => {
    expect((await damage(new TextEncoder().encode('        x header'), 'm.safetensors')).code).toBe('E_ST_HEADER');
  });
});

describe('reading in pieces', () => {
  it('bytes in memory, a Blob and any reader give the same tensors', async () => {
    const bytes = fixture('golden/dtypes-and-views.pth');
    const reader = { size: bytes.length, read: async (begin: number, end: number) => bytes.slice(begin, end) };
    const want = await hashes(await openCheckpoint(bytes));
    expect(await hashes(await openCheckpoint(bytes.buffer))).toEqual(want);
    expect(await hashes(await openCheckpoint(new Blob([bytes])))).toEqual(want);
    expect(await hashes(await openCheckpoint(reader))).toEqual(want);
  });
  it('opening leaves the values in the file', async () => {
    const bytes = fixture('golden/model-wrapped.pth');
    let read = 0;
    const source = await openCheckpoint({
      size: bytes.length,
      read: async (begin, end) => {
        read += end - begin;
        return bytes.slice(begin, end);
      },
    });
    const values = [...source.tensors.keys()].reduce((sum, name) => sum + source.tensors.get(name)!.shape.reduce((a, b) => a * b, 4), 0);
    // The directory at the end is searched in one piece of up to 64 KiB, which in so small a file is everything.
    expect(read).toBeLessThan(2 * bytes.length);
    const before = read;
    await source.readBytes('model.backbone.conv1.conv1_1.conv.weight');
    expect(read - before).toBeLessThan(values / 4);
  });
  it('a reader that returns too little or fails is an error of ours', async () => {
    const bytes = fixture('golden/small-good.pth');
    expect((await errorOf(openCheckpoint({ size: bytes.length, read: async (begin, end) => bytes.slice(begin, end - 1) }))).code).toBe(
      'E_CKPT_TRUNCATED',
    );
    expect((await errorOf(openCheckpoint({ size: bytes.length, read: () => Promise.reject(new Error('NotReadableError')) }))).code).toBe(
      'E_FILE_MISSING',
    );
  });
  it('the caller owns what it gets', async () => {
    const source = await openCheckpoint(fixture('torch213/views.pth'));
    (await source.readFloat32('whole')).fill(7);
    expect([...(await source.readFloat32('tied_a'))].slice(0, 3)).toEqual([0, 1, 2]);
  });
});
