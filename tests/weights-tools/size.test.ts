import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

it('the readers take at most 5 KiB of a page, those of PyTorch files 8.5 more when the first one is opened, and nothing from outside', async () => {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('../../weights-tools/open.ts', import.meta.url))],
    bundle: true,
    splitting: true,
    outdir: 'out',
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(result.metafile.inputs);
  expect(inputs.filter((path) => !/(?:^|\/)(?:src\/checkpoints|src\/errors|weights-tools)/.test(path))).toEqual([]);
  expect(inputs.some((path) => /node-files|commands/.test(path))).toBe(false);
  const packed = (late: boolean) =>
    result.outputFiles
      .filter(({ path }) => basename(path).startsWith('torch-file') === late)
      .reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
  expect(packed(false)).toBeLessThanOrEqual(5 * 1024);
  expect(packed(true)).toBeLessThanOrEqual(8.5 * 1024);
});
