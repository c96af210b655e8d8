/** "backdrop verify" on the command line: what it prints, and how it ends. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setup } from '../../src/host/setup.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { fixturePath, readFixture, readHeader } from './gpu-golden.ts';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-verify-'));
const run = (...args: string[]) => {
  const command = [join(root, 'src/host/backdrop.mjs'), 'verify', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  const lines = args.includes('--json')
    ? stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];
  return { status, stdout, stderr, lines };
};

/** A file with its metadata replaced. */
function withMetadata(name: string, metadata: Record<string, string>): string {
  const bytes = readFixture('ops-pool.safetensors');
  const { tensors, dataStart } = readHeader(bytes);
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, ...tensors }));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, header, bytes.subarray(dataStart)]));
  return path;
}

/** The max-pool case told to take another window: it must differ from its reference. */
function wrongPool(): string {
  const cases = JSON.parse(readHeader(readFixture('ops-pool.safetensors')).metadata.cases);
  const pool = cases.find((c: { name: string }) => c.name === 'maxpool_negative');
  return withMetadata('wrong.safetensors', { cases: JSON.stringify([{ ...pool, attrs: { ...pool.attrs, k: 2, p: 0 } }]) });
}

beforeAll(() => setup(), 600_000);
afterAll(() => rmSync(folder, { recursive: true }));

describe('backdrop verify', () => {
  test('prints one line a tensor and ends with 0 when all agree', () => {
    const { status, stdout } = run('--only', 'avgpool_ceil_odd,unfold_3x3p1', fixturePath('ops-pool.safetensors'));
    expect(stdout).toMatch(/^ {2}avgpool_ceil_odd\/out +\S+ +\S+ +\S+ {2}ok$/m);
    expect(stdout).toContain('OK: 4 cases passed, 0 failed, 0 later, 4 tensors compared');
    expect(status).toBe(0);
  });

  test('ends with 1 when a tensor differs, and goes on after a file that is none', () => {
    const weights = withMetadata('weights.safetensors', { format: 'pt' });
    const detr = withMetadata('detr.safetensors', { info: JSON.stringify({ model: 'detr-tiny', sizes: [], losses: {} }) });
    const { status, lines, stderr } = run('--json', weights, detr, wrongPool());
    expect(lines.filter(({ type }) => type === 'error').map(({ code, message }) => `${code} ${message}`)).toEqual([
      expect.stringMatching(/^E_VERIFY .*not a golden file/),
      expect.stringMatching(/^E_VERIFY .*DETR family \(detr-tiny\)/),
    ]);
    const found = lines.find(({ type }) => type === 'case');
    expect(found).toMatchObject({ name: 'maxpool_negative', status: 'fail' });
    expect(found.tensors[0]).toMatchObject({ name: 'out', ok: false, against: 'float64' });
    expect(lines.at(-1)).toMatchObject({ type: 'summary', pass: 0, fail: 2, broken: 2, ok: false });
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(status).toBe(1);
  });

  test('an operation nobody knows is counted apart, and nothing compared is no success', () => {
    const cases = [{ name: 'new', op: 'telepathy', attrs: {}, inputs: [], outputs: ['out'] }];
    const { status, lines } = run('--json', withMetadata('new.safetensors', { cases: JSON.stringify(cases) }));
    expect(lines.find(({ type }) => type === 'case')).toMatchObject({ status: 'later', reason: expect.stringContaining('telepathy') });
    expect(lines.at(-1)).toMatchObject({ pass: 0, fail: 0, later: 1, ok: false });
    expect(status).toBe(1);
  });

  test.each([
    ['no file', [], 2, 'needs a golden file'],
    ['a file that is not there', [join(folder, 'none.safetensors')], 1, 'E_FILE_MISSING'],
    ['an unknown adapter', ['--adapter', 'abacus', fixturePath('ops-pool.safetensors')], 2, 'abacus'],
  ])('with %s it stops and says why', (_, args, code, words) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stdout }).toEqual({ status: code, stdout: '' });
    expect(stderr).toContain(words);
  });
});
