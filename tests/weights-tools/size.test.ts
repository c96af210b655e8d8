import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

it('the readers take at most 12 KiB of a page, and nothing from outside', async () => {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('../../weights-tools/open.ts', import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  });
  const inputs = Object.keys(result.metafile.inputs);
  expect(inputs.filter((path) => !/(?:^|\/)(?:src\/checkpoints|src\/errors|weights-tools)/.test(path))).toEqual([]);
  expect(inputs.some((path) => /node-files|commands/.test(path))).toBe(false);
  const packed = gzipSync(result.outputFiles[0]!.contents, { level: 9 }).length;
  expect(packed).toBeLessThanOrEqual(12 * 1024);
});
